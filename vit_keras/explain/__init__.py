"""Explain predictions: attention maps, class relevance maps and views of embeddings.

Functions are loaded on first use, because they import Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vit_keras.explain.attention_maps import (
        attention,
        attention_distance,
        joint_attention,
        rollout,
    )
    from vit_keras.explain.embedding_maps import feature_pca, patch_filters, position_similarity
    from vit_keras.explain.explanation import Explanation, explain_image, explain_run
    from vit_keras.explain.relevance_maps import relevance

_HOMES = {
    "Explanation": "explanation",
    "attention": "attention_maps",
    "attention_distance": "attention_maps",
    "explain_image": "explanation",
    "explain_run": "explanation",
    "feature_pca": "embedding_maps",
    "joint_attention": "attention_maps",
    "patch_filters": "embedding_maps",
    "position_similarity": "embedding_maps",
    "relevance": "relevance_maps",
    "rollout": "attention_maps",
}

__all__ = [
    "Explanation",
    "attention",
    "attention_distance",
    "explain_image",
    "explain_run",
    "feature_pca",
    "joint_attention",
    "patch_filters",
    "position_similarity",
    "relevance",
    "rollout",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vit_keras.explain' has no attribute '{name}'")
    return getattr(importlib.import_module(f"vit_keras.explain.{_HOMES[name]}"), name)
