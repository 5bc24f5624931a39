"""Batch augmentation and resizing on the device, inside the compiled training step.

Each augmentation takes a batch (B, X, Y, C) of any dtype and a seed, an int (the same numbers each
time) or a `keras.random.SeedGenerator` (the next ones), and gives a batch of the same shape.
"""

from typing import Any

import numpy as np
from keras import ops, random

from vit_keras.config import AugmentConfig


def random_crop(images: Any, padding: int, seed: Any) -> Any:
    """Pad by `padding` black pixels and cut each image out again at a place of its own.

    He et al. 2016, section 4.2, with a padding of 4 at 32x32.
    """
    batch = ops.shape(images)[0]
    rows, columns, channels = images.shape[1:]
    padded = ops.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    offsets = random.randint((batch, 2), 0, 2 * padding + 1, dtype="int32", seed=seed)
    row = offsets[:, 0, None, None] + ops.arange(rows, dtype="int32")[:, None]  # (B, X, 1)
    column = offsets[:, 1, None, None] + ops.arange(columns, dtype="int32")  # (B, 1, Y)
    height, width = rows + 2 * padding, columns + 2 * padding
    image = ops.arange(batch, dtype="int32")[:, None, None] * (height * width)
    pixel = image + row * width + column  # (B, X, Y): places in the batch as one long row
    return ops.take(ops.reshape(padded, (-1, channels)), pixel, axis=0)


def random_flip(images: Any, seed: Any) -> Any:
    """Mirror each image left to right with probability 1/2."""
    # Integers, because XLA and TensorFlow make different floats of one seed.
    mirrored = random.randint((ops.shape(images)[0], 1, 1, 1), 0, 2, dtype="int32", seed=seed)
    return ops.where(mirrored == 1, ops.flip(images, axis=2), images)


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


def augment(images: Any, config: AugmentConfig, seed: Any) -> Any:
    """Every augmentation that `config` asks for, in order."""
    if config.crop_padding:
        images = random_crop(images, config.crop_padding, seed)
    if config.flip:
        images = random_flip(images, seed)
    return images
