"""Class relevance maps: gradient-weighted attention (Chefer et al. 2021).

"Generic Attention-model Explainability" (https://arxiv.org/abs/2103.15679), the rule for
self-attention. Letters as in `attention_maps.py`.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.explain.attention_maps import (
    attention,
    checked_images,
    logits_with_hook,
    pooled_map,
)
from vit_keras.model.ensemble import members_of
from vit_keras.text import counted


def relevance(model: keras.Model, images: Any, class_index: Any = None) -> np.ndarray:
    """Images (B, X, Y, C) in 0..255 -> (B, R, S), the relevance of each patch for a class.

    R ← R + E[(∇A ⊙ A)⁺] R from R = I, block after block (the paper's eq. 5 and 6), with E the mean
    over heads and ∇A the gradient of the class's logit. Of an ensemble, the mean of its members'
    maps for the class, each scaled to a sum of 1 so that all count alike.

    Args:
        model: of `build_vit`, or a run's.
        images: a batch, uint8 or float.
        class_index: class of the logit; one for all images, or one for each. None is the predicted
            class.

    Raises:
        SettingError: as `attention`; an unknown class; a backend without gradients.
    """
    if members := members_of(model):
        if class_index is None:
            logits = model(checked_images(model, images), training=False)
            class_index = ops.convert_to_numpy(logits).argmax(axis=-1)
        maps = [relevance(member, images, class_index) for member in members]
        return mean_of_members(np.stack(maps))
    weights = attention(model, images)
    gradients = attention_gradients(model, images, class_index, weights)
    identity = np.eye(weights[0].shape[-1])
    joint = identity
    for block, gradient in zip(weights, gradients, strict=True):
        joint = joint + np.maximum(gradient * block, 0).mean(axis=1) @ joint
    return pooled_map(model, images, joint - identity)


def mean_of_members(maps: np.ndarray) -> np.ndarray:
    """Maps (M, B, R, S) of M models -> their mean (B, R, S), each scaled to a sum of 1."""
    totals = maps.sum(axis=(2, 3), keepdims=True)
    return (maps / np.maximum(totals, 1e-12)).mean(axis=0)


def attention_gradients(
    model: keras.Model, images: Any, class_index: Any, weights: list[np.ndarray]
) -> list[np.ndarray]:
    """∂ logit / ∂ A for the weights (B, H, N, N) of each block, in the same shapes."""

    def logits(offsets: list[Any]) -> Any:
        return logits_with_hook(
            model, images, lambda index, a: a + ops.cast(offsets[index], a.dtype)
        )

    # ∂/∂A is the gradient with respect to an offset of A at 0.
    offsets = [ops.zeros(block.shape, "float32") for block in weights]
    mask = _one_hot(ops.convert_to_numpy(logits(offsets)), class_index)
    # The logits of an image depend on its own weights only, so one gradient of the sum is enough.
    gradients = _gradients(lambda offsets: ops.sum(logits(offsets) * mask), offsets)
    return [ops.convert_to_numpy(gradient) for gradient in gradients]


def _one_hot(logits: np.ndarray, class_index: Any) -> np.ndarray:
    """(B, classes) -> the same shape: 1 at the class of each image, by default the predicted."""
    batch, classes = logits.shape
    index = logits.argmax(axis=-1) if class_index is None else np.asarray(class_index)
    if index.dtype.kind not in "iu" or index.shape not in ((), (batch,)):
        raise SettingError(
            f"class_index={class_index} is not a class for each of {counted(batch, 'image[s]')}; "
            f"use one whole number, or {batch} of them"
        )
    if (index < 0).any() or (index >= classes).any():
        raise SettingError(f"class_index={class_index} is out of range; use 0 to {classes - 1}")
    return np.eye(classes, dtype="float32")[np.broadcast_to(index, (batch,))]


def _gradients(score: Callable[[list[Any]], Any], at: list[Any]) -> list[Any]:
    """The gradient of a scalar function with respect to each array of `at`."""
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
        f"KERAS_BACKEND={backend} has no gradients here; use tensorflow or jax, or rollout, which "
        "needs none"
    )
