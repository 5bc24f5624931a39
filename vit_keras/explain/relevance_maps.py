"""Which patches speak for a class: attention weighted by its gradients.

Chefer et al. 2021, "Generic Attention-model Explainability"
(https://arxiv.org/abs/2103.15679), its rule for self-attention. Letters as in `attention_maps.py`.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.explain.attention_maps import attention, logits_of, pooled_map


def relevance(model: keras.Model, images: Any, class_index: Any = None) -> np.ndarray:
    """Images (B, X, Y, C) in 0..255 -> (B, R, S), how much each patch speaks for a class.

    R ← R + E[(∇A ⊙ A)⁺] R from R = I, block after block (the paper's eq. 5 and 6), with E the mean
    over heads and ∇A what the class's logit has as its gradient.

    Args:
        model: of `build_vit`, or a run's.
        images: a batch, uint8 or float.
        class_index: whose logit; one for all, or one for each image. None takes the predicted.

    Raises:
        SettingError: as `attention`; a class that there is none of; a backend without gradients.
    """
    weights = attention(model, images)
    gradients = attention_gradients(model, images, class_index, weights)
    identity = np.eye(weights[0].shape[-1])
    joint = identity
    for block, gradient in zip(weights, gradients, strict=True):
        joint = joint + np.maximum(gradient * block, 0).mean(axis=1) @ joint
    return pooled_map(model, joint - identity)


def attention_gradients(
    model: keras.Model, images: Any, class_index: Any, weights: list[np.ndarray]
) -> list[np.ndarray]:
    """∂ logit / ∂ A for each block's weights (B, H, N, N), in their shapes."""

    def logits(changes: list[Any]) -> Any:
        return logits_of(
            model, images, lambda index, seen: seen + ops.cast(changes[index], seen.dtype)
        )

    # The gradient at the weights is that of a change to them, where the change is 0.
    changes = [ops.zeros(block.shape, "float32") for block in weights]
    chosen = _one_hot(ops.convert_to_numpy(logits(changes)), class_index)
    # No image's logit depends on another's weights, so the sum's gradients are each image's own.
    gradients = _gradients(lambda changes: ops.sum(logits(changes) * chosen), changes)
    return [ops.convert_to_numpy(gradient) for gradient in gradients]


def _one_hot(logits: np.ndarray, class_index: Any) -> np.ndarray:
    batch, classes = logits.shape
    index = logits.argmax(axis=-1) if class_index is None else np.asarray(class_index)
    if index.dtype.kind not in "iu" or index.shape not in ((), (batch,)):
        raise SettingError(
            f"class_index={class_index} is no class for each of {batch} images; give one whole "
            f"number, or {batch} of them"
        )
    if (index < 0).any() or (index >= classes).any():
        raise SettingError(f"class_index={class_index} is out of range; use 0 to {classes - 1}")
    return np.eye(classes, dtype="float32")[np.broadcast_to(index, (batch,))]


def _gradients(score: Callable[[list[Any]], Any], at: list[Any]) -> list[Any]:
    """The gradient of a number with respect to each array of `at`."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = score(at)
        return tape.gradient(value, at)
    if backend == "jax":
        import jax

        return jax.grad(score)(at)
    raise SettingError(
        f"KERAS_BACKEND={backend} gives no gradients here; use tensorflow or jax, or rollout, "
        "which needs none"
    )
