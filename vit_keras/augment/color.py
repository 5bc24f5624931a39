"""What changes the colours of an image, each as Pillow does it, on a whole batch at once.

Images are (n, X, Y, C) float32 of whole grey levels, 0 to 255, with one channel or three, and stay
so; a strength (n,) is what `steps.STRENGTHS` says. Factors are multiples of 2^-14, which makes the
arithmetic on whole levels exact, and the rounding to whole levels again the same everywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment.ops import CODES, Step, apply_where_chosen

LUMA = (19595, 38470, 7471)  # of 65536: ITU-R 601-2, in Pillow's whole numbers
ROUNDING = 2.0**-9  # above what a float is off by, below the 1 / 255 that a quotient can miss by
BLUR_REACH = 8  # pixels on each side: four standard deviations of the widest blur


def apply_color_ops(images: Any, steps: Sequence[Step]) -> Any:
    """(B, X, Y, C) -> (B, X, Y, C): each image through its operations, in order.

    Steps of one kind share one compiled loop, however many there are.
    """
    among = frozenset().union(*(step.among for step in steps)) & OPERATIONS.keys()
    if not among:
        return images
    operation = ops.stack([step.operation for step in steps])  # (steps, B)
    strength = ops.stack([step.strength for step in steps])

    def apply(at, images):
        for name in sorted(among):
            chosen = ops.equal(operation[at], CODES[name])
            images = apply_where_chosen(OPERATIONS[name], images, chosen, strength[at])
        return images

    return ops.fori_loop(0, len(steps), apply, ops.round(images))


def grey(images: Any) -> Any:
    """(n, X, Y, C) -> (n, X, Y, 1): Pillow's "L"."""
    if images.shape[-1] == 1:
        return images
    total = sum(images[..., at : at + 1] * part for at, part in enumerate(LUMA))
    return ops.floor((total + 32768) * 2.0**-16)


def _blend(neutral: Any, images: Any, strength: Any) -> Any:
    """Away from what is neutral, or towards it."""
    factor = _each(ops.round((1 + strength) * 2.0**14) * 2.0**-14)
    return ops.floor(ops.clip(neutral + factor * (images - neutral), 0, 255))


def _brightness(images: Any, strength: Any) -> Any:
    return _blend(0.0, images, strength)


def _contrast(images: Any, strength: Any) -> Any:
    mean = ops.mean(grey(images), axis=(1, 2, 3), keepdims=True)
    return _blend(ops.floor(mean + 0.5), images, strength)


def _colour(images: Any, strength: Any) -> Any:
    return _blend(grey(images), images, strength)


def _sharpness(images: Any, strength: Any) -> Any:
    """Away from Pillow's SMOOTH, whose outermost pixels are the image's own."""
    if min(images.shape[1:3]) < 3:
        return images
    across = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    around = across[:, :-2] + across[:, 1:-1] + across[:, 2:]
    smooth = ops.floor((around + 4 * images[:, 1:-1, 1:-1]) / 13 + 0.5 + ROUNDING)
    # Padded, and not written into the image: XLA on a CPU then reads neighbours already written.
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]
    is_inner = np.pad(np.ones([1, *images.shape[1:]], "bool")[:, 1:-1, 1:-1], border)
    return _blend(ops.where(is_inner, ops.pad(smooth, border), images), images, strength)


def _posterize(images: Any, bits: Any) -> Any:
    width = _each(ops.round(ops.power(2.0, 8 - bits)))
    return ops.floor(images / width + ROUNDING) * width


def _solarize(images: Any, threshold: Any) -> Any:
    return ops.where(images >= _each(threshold), 255 - images, images)


def _autocontrast(images: Any, _: Any) -> Any:
    """The levels of each channel stretched to 0 to 255."""
    low = ops.min(images, axis=(1, 2), keepdims=True)
    high = ops.max(images, axis=(1, 2), keepdims=True)
    stretched = ops.floor((images - low) * 255 / ops.maximum(high - low, 1) + ROUNDING)
    return ops.where(high > low, stretched, images)


def _equalize(images: Any, _: Any) -> Any:
    """The levels of each channel spread to be about as frequent, counted as Pillow counts."""
    rows, columns, channels = images.shape[1:]
    planes = ops.reshape(ops.transpose(images, (0, 3, 1, 2)), (-1, rows * columns))
    count = ops.shape(planes)[0]  # n C planes, with 256 levels each
    levels = ops.cast(planes, "int32") + 256 * ops.arange(count, dtype="int32")[:, None]
    levels = ops.reshape(levels, (-1,))
    pixels = ops.scatter(levels[:, None], ops.ones_like(levels), (count * 256,))
    pixels = ops.reshape(pixels, (-1, 256))
    every = ops.arange(256, dtype="int32")
    highest = ops.max(ops.where(pixels > 0, every, 0), axis=1, keepdims=True)
    step = (rows * columns - ops.take_along_axis(pixels, highest, axis=1)) // 255
    darker = ops.cumsum(pixels, axis=1) - pixels
    table = ops.minimum((step // 2 + darker) // ops.maximum(step, 1), 255)
    table = ops.cast(ops.where(step > 0, table, every), "float32")
    planes = ops.take(ops.reshape(table, (-1,)), levels)
    return ops.transpose(ops.reshape(planes, (-1, channels, rows, columns)), (0, 2, 3, 1))


def _hue(images: Any, part: Any) -> Any:
    """The hue of HSV (Smith 1978) turned by a part of the circle; saturation and value stay."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., at] for at in range(3))
    value, low = ops.max(images, axis=-1), ops.min(images, axis=-1)
    spread = ops.maximum(value - low, 1)
    of_green_or_blue = ops.where(
        value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread
    )
    hue = ops.where(value == red, (green - blue) / spread, of_green_or_blue)
    # In sixths of the circle; a channel loses as much of the spread as the hue is away from it.
    away = (hue + 6 * _each(part)[..., 0])[..., None] + np.array([5, 3, 1], "float32")
    away = away - 6 * ops.floor(away / 6)
    lost = ops.clip(ops.minimum(away, 4 - away), 0, 1) * (value - low)[..., None]
    return ops.floor(value[..., None] - lost + 0.5 + ROUNDING)


def _blur(images: Any, deviation: Any) -> Any:
    """Gaussian, down the columns and along the rows, the border repeated outwards."""
    distance = np.arange(-BLUR_REACH, BLUR_REACH + 1).astype("float32")
    weights = ops.exp(-0.5 * ops.square(distance / deviation[:, None]))
    weights = weights / ops.sum(weights, axis=1, keepdims=True)  # (n, taps)
    for _ in range(2):
        rows = images.shape[1]
        near = np.clip(np.arange(-BLUR_REACH, rows + BLUR_REACH), 0, rows - 1)
        padded = ops.take(images, near, axis=1)
        taps = (_each(weights[:, at]) * padded[:, at : at + rows] for at in range(len(distance)))
        images = ops.transpose(sum(taps), (0, 2, 1, 3))
    return ops.floor(images + 0.5 + ROUNDING)


def _each(values: Any) -> Any:
    """(n,) -> (n, 1, 1, 1)."""
    return ops.reshape(values, (-1, 1, 1, 1))


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "colour": _colour,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "hue": _hue,
    "blur": _blur,
}
