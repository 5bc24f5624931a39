"""Images of any size as a model takes them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.augment import resize


class OnBatches(keras.Model):
    """A model in inference on batches of a split: images (B, x, y, c) and labels (B,), unused."""

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs):
        images, _ = inputs
        images = as_input(ops.cast(images, "float32"), self.model.input_shape[1:])
        return self.model(images, training=False)


def as_input(images: Any, shape: tuple[int, int, int]) -> Any:
    """(B, x, y, c) -> (B, X, Y, C): resized; grey repeated over the channels."""
    if images.shape[1:3] != shape[:2]:
        images = resize(images, shape[:2])
    if images.shape[-1] == 1 and shape[-1] > 1:
        images = ops.repeat(images, shape[-1], axis=-1)
    return images


def fitted(images: np.ndarray, model: keras.Model) -> np.ndarray:
    """(B, x, y, c) uint8 -> (B, X, Y, C) uint8: resized as in training, grey repeated."""
    pixels = as_input(ops.convert_to_tensor(images, "float32"), model.input_shape[1:])
    return ops.convert_to_numpy(pixels).round().clip(0, 255).astype("uint8")
