"""A batch of images brought to another size.

Images of any size as a model takes them.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import validators


def resize(images: Any, size: tuple[int, int]) -> Any:
    """Bilinear with antialias: (B, x, y, C) -> (B, X, Y, C) for `size` (X, Y).

    Two matrix products, as `jax.image.resize` has it; TensorFlow's own operation does not compile
    under XLA.
    """
    rows, columns = images.shape[1:3]
    images = ops.einsum("Xx,bxyc->bXyc", _interpolation(rows, size[0]), images)
    return ops.einsum("Yy,bXyc->bXYc", _interpolation(columns, size[1]), images)


def _interpolation(old: int, new: int) -> np.ndarray:
    """(new, old): what each old pixel gives to each new one; a triangle as wide as the larger."""
    centres = (np.arange(new)[:, None] + 0.5) * old / new - 0.5
    weights = np.maximum(0, 1 - np.abs(centres - np.arange(old)) / max(old / new, 1))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


class OnBatches(keras.Model):
    """A model in inference on batches of a split: images (B, x, y, c) and labels (B,), unused."""

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs):
        images, _ = inputs
        images = to_model_input(ops.cast(images, "float32"), self.model.input_shape[1:])
        return self.model(images, training=False)


def to_model_input(images: Any, shape: tuple[int, int, int]) -> Any:
    """(B, x, y, c) -> (B, X, Y, C): resized; grey repeated over the channels."""
    if images.shape[1:3] != shape[:2]:
        images = resize(images, shape[:2])
    if images.shape[-1] == 1 and shape[-1] > 1:
        images = ops.repeat(images, shape[-1], axis=-1)
    return images


def resize_to_input(images: np.ndarray, model: keras.Model) -> np.ndarray:
    """(B, x, y, c) uint8 -> (B, X, Y, C) uint8: resized as in training, grey repeated."""
    pixels = to_model_input(ops.convert_to_tensor(images, "float32"), model.input_shape[1:])
    return ops.convert_to_numpy(pixels).round().clip(0, 255).astype("uint8")


def normalization(pixel_mean: Any, pixel_std: Any) -> keras.layers.Layer:
    """(pixels / 255 - mean) / std, in float32: bfloat16 would round the pixels first."""
    mean, std = (
        np.asarray(validators.as_list(value), "float64") for value in (pixel_mean, pixel_std)
    )
    scale, offset = (1 / (255 * std)).tolist(), (-mean / std).tolist()
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalization")
