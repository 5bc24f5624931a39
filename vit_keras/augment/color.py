"""Color operations on a batch, equal to Pillow's within one grey level.

Letters: B batch, n images that get an operation, (X, Y) height and width, C channels, 1 or 3.
An operation maps images (n, X, Y, C), float32 integers of 0 to 255, and strengths (n,), see
`ops.STRENGTHS`, to images of the same shape and range.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment.ops import CODES, Step, apply_to_selected

LUMA = (19595, 38470, 7471)  # of 65536: ITU-R 601-2 luma weights as Pillow's integers
# Added before `floor`: larger than float32's rounding error, smaller than 1 / 255, the least
# distance of an inexact quotient from the next integer.
ROUNDING = 2.0**-9
BLUR_RADIUS = 8  # pixels on each side: four standard deviations of the widest blur


def apply_color_ops(images: Any, steps: Sequence[Step]) -> Any:
    """Apply each image's color operations in order: (B, X, Y, C) -> (B, X, Y, C)."""
    possible = frozenset().union(*(step.possible for step in steps)) & OPERATIONS.keys()
    if not possible:
        return images
    operation = ops.stack([step.operation for step in steps])  # (steps, B)
    strength = ops.stack([step.strength for step in steps])

    def apply(index, images):
        for name in sorted(possible):
            selected = ops.equal(operation[index], CODES[name])
            images = apply_to_selected(OPERATIONS[name], images, selected, strength[index])
        return images

    # A loop, so that each operation is compiled once and not once per step.
    return ops.fori_loop(0, len(steps), apply, ops.round(images))


def grey(images: Any) -> Any:
    """Grey levels as Pillow's mode "L": (n, X, Y, C) -> (n, X, Y, 1)."""
    if images.shape[-1] == 1:
        return images
    total = sum(images[..., i : i + 1] * weight for i, weight in enumerate(LUMA))
    return ops.floor((total + 32768) * 2.0**-16)


def _blend(neutral: Any, images: Any, strength: Any) -> Any:
    """neutral + (1 + strength) (images - neutral), as Pillow's ImageEnhance."""
    # With multiples of 2^-14 the products with integers are exact, and `floor` gives the same
    # result on every backend.
    factor = _per_image(ops.round((1 + strength) * 2.0**14) * 2.0**-14)
    return ops.floor(ops.clip(neutral + factor * (images - neutral), 0, 255))


def _brightness(images: Any, strength: Any) -> Any:
    return _blend(0.0, images, strength)


def _contrast(images: Any, strength: Any) -> Any:
    mean = ops.mean(grey(images), axis=(1, 2, 3), keepdims=True)
    return _blend(ops.floor(mean + 0.5), images, strength)


def _color(images: Any, strength: Any) -> Any:
    return _blend(grey(images), images, strength)


def _sharpness(images: Any, strength: Any) -> Any:
    """Blend with Pillow's SMOOTH filter, which leaves the outermost pixels unchanged."""
    if min(images.shape[1:3]) < 3:
        return images
    across = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    around = across[:, :-2] + across[:, 1:-1] + across[:, 2:]
    smooth = ops.floor((around + 4 * images[:, 1:-1, 1:-1]) / 13 + 0.5 + ROUNDING)
    # Padding, not an in-place update: XLA on a CPU would read neighbours already overwritten.
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]
    is_inner = np.pad(np.ones([1, *images.shape[1:]], "bool")[:, 1:-1, 1:-1], border)
    return _blend(ops.where(is_inner, ops.pad(smooth, border), images), images, strength)


def _posterize(images: Any, bits: Any) -> Any:
    width = _per_image(ops.round(ops.power(2.0, 8 - bits)))
    return ops.floor(images / width + ROUNDING) * width


def _solarize(images: Any, threshold: Any) -> Any:
    return ops.where(images >= _per_image(threshold), 255 - images, images)


def _autocontrast(images: Any, _: Any) -> Any:
    """Stretch the levels of each channel to 0 to 255."""
    low = ops.min(images, axis=(1, 2), keepdims=True)
    high = ops.max(images, axis=(1, 2), keepdims=True)
    stretched = ops.floor((images - low) * 255 / ops.maximum(high - low, 1) + ROUNDING)
    return ops.where(high > low, stretched, images)


def _equalize(images: Any, _: Any) -> Any:
    """Equalize the histogram of each channel with Pillow's integer arithmetic."""
    rows, columns, channels = images.shape[1:]
    planes = ops.reshape(ops.transpose(images, (0, 3, 1, 2)), (-1, rows * columns))
    count = ops.shape(planes)[0]  # n C planes, with 256 levels each
    levels = ops.cast(planes, "int32") + 256 * ops.arange(count, dtype="int32")[:, None]
    levels = ops.reshape(levels, (-1,))
    pixels = ops.scatter(levels[:, None], ops.ones_like(levels), (count * 256,))
    pixels = ops.reshape(pixels, (-1, 256))
    all_levels = ops.arange(256, dtype="int32")
    highest = ops.max(ops.where(pixels > 0, all_levels, 0), axis=1, keepdims=True)
    step = (rows * columns - ops.take_along_axis(pixels, highest, axis=1)) // 255
    darker = ops.cumsum(pixels, axis=1) - pixels
    table = ops.minimum((step // 2 + darker) // ops.maximum(step, 1), 255)
    table = ops.cast(ops.where(step > 0, table, all_levels), "float32")
    planes = ops.take(ops.reshape(table, (-1,)), levels)
    return ops.transpose(ops.reshape(planes, (-1, channels, rows, columns)), (0, 2, 3, 1))


def _hue(images: Any, fraction: Any) -> Any:
    """Shift the hue of HSV (Smith 1978) by a fraction of the color circle."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., i] for i in range(3))
    value, low = ops.max(images, axis=-1), ops.min(images, axis=-1)
    spread = ops.maximum(value - low, 1)
    # The hue in sixths of the circle: red 0, green 2, blue 4.
    hue = ops.where(value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread)
    hue = ops.where(value == red, (green - blue) / spread, hue)
    # Back to RGB: V - V S max(0, min(k, 4 - k, 1)) with k = (n + hue) mod 6, n = 5, 3 and 1.
    k = (hue + 6 * _per_image(fraction)[..., 0])[..., None] + np.array([5, 3, 1], "float32")
    k = k - 6 * ops.floor(k / 6)
    loss = ops.clip(ops.minimum(k, 4 - k), 0, 1) * (value - low)[..., None]
    return ops.floor(value[..., None] - loss + 0.5 + ROUNDING)


def _blur(images: Any, deviation: Any) -> Any:
    """Separable Gaussian blur with edge padding."""
    distance = np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1).astype("float32")
    weights = ops.exp(-0.5 * ops.square(distance / deviation[:, None]))
    weights = weights / ops.sum(weights, axis=1, keepdims=True)  # (n, taps)
    for _ in range(2):
        rows = images.shape[1]
        near = np.clip(np.arange(-BLUR_RADIUS, rows + BLUR_RADIUS), 0, rows - 1)
        padded = ops.take(images, near, axis=1)
        taps = (_per_image(weights[:, i]) * padded[:, i : i + rows] for i in range(len(distance)))
        images = ops.transpose(sum(taps), (0, 2, 1, 3))
    return ops.floor(images + 0.5 + ROUNDING)


def _per_image(values: Any) -> Any:
    """(n,) -> (n, 1, 1, 1)."""
    return ops.reshape(values, (-1, 1, 1, 1))


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "color": _color,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "hue": _hue,
    "blur": _blur,
}
