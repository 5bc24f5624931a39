"""Preprocessing on the device: normalisation, resizing, and model inference on batches of a split.

Letters: B batch, (x, y) height and width of the image, (X, Y) of the model's input, C channels.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import validators


def normalization(pixel_mean: Any, pixel_std: Any) -> keras.layers.Layer:
    """Layer computing (pixels / 255 - mean) / std: (B, X, Y, C) in 0..255 -> the same, float32.

    Args:
        pixel_mean: per channel or one for all, in units of the full range (0 to 1).
        pixel_std: as `pixel_mean`.
    """
    mean = np.asarray(validators.as_list(pixel_mean), "float64")
    std = np.asarray(validators.as_list(pixel_std), "float64")
    scale, offset = (1 / (255 * std)).tolist(), (-mean / std).tolist()
    # float32 under every precision policy: bfloat16 cannot hold all pixel values.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalization")


def resize(images: Any, size: tuple[int, int]) -> Any:
    """Bilinear resizing with antialiasing: (B, x, y, C) -> (B, X, Y, C) for `size` (X, Y)."""
    rows, columns = images.shape[1:3]
    # Two matrix products, as in `jax.image.resize`: XLA cannot compile `tf.image.resize`.
    images = ops.einsum("Xx,bxyc->bXyc", _interpolation(rows, size[0]), images)
    return ops.einsum("Yy,bXyc->bXYc", _interpolation(columns, size[1]), images)


def to_model_input(images: Any, shape: tuple[int, int, int]) -> Any:
    """Resize to `shape` and repeat a grey channel: (B, x, y, c) -> (B, X, Y, C)."""
    if images.shape[1:3] != shape[:2]:
        images = resize(images, shape[:2])
    if images.shape[-1] == 1 and shape[-1] > 1:
        images = ops.repeat(images, shape[-1], axis=-1)
    return images


def resize_to_input(images: np.ndarray, model: keras.Model) -> np.ndarray:
    """`to_model_input` for arrays: (B, x, y, c) -> (B, X, Y, C); uint8 is rounded, float32 not."""
    tensor = to_model_input(ops.convert_to_tensor(images, "float32"), model.input_shape[1:])
    pixels = ops.convert_to_numpy(tensor)
    if images.dtype != np.uint8:
        return pixels
    return pixels.round().clip(0, 255).astype("uint8")


class OnBatches(keras.Model):
    """`model` in inference mode on batches of a split: (images (B, x, y, c), unused labels)."""

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs):
        images, _ = inputs
        images = to_model_input(ops.cast(images, "float32"), self.model.input_shape[1:])
        return self.model(images, training=False)


def _interpolation(old: int, new: int) -> np.ndarray:
    """Weights (new, old) of a triangle kernel, widened by old / new when downscaling."""
    centres = (np.arange(new)[:, None] + 0.5) * old / new - 0.5
    weights = np.maximum(0, 1 - np.abs(centres - np.arange(old)) / max(old / new, 1))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
