"""A batch of images brought to another size."""

from typing import Any

import numpy as np
from keras import ops


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
