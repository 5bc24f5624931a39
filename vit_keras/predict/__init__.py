"""Prediction with a trained run. Names are loaded on first use."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vit_keras.predict.predictor import Candidate, Prediction, Predictor, Unreadable

__all__ = ["Candidate", "Prediction", "Predictor", "Unreadable"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vit_keras.predict' has no attribute '{name}'")
    return getattr(importlib.import_module("vit_keras.predict.predictor"), name)
