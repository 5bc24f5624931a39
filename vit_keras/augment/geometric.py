"""Geometric operations: crops, flips, shears, shifts and rotations as one affine map.

In shapes: B batch, (x, y) and (X, Y) height and width before and after, C channels. Sizes are
(rows, columns). `uniform` are random numbers in [0, 1).

An affine map is six (B,) tensors a to f, as in Pillow: the output pixel in column u and row v is
read from the input at column a u + b v + c, row d u + e v + f; the first pixel's centre is
(0.5, 0.5).
"""

import math
from typing import Any

from keras import ops

from vit_keras.augment.ops import CODES, GEOMETRIC_OPS, Step
from vit_keras.augment.prng import TRIES, randint

AffineMap = tuple[Any, Any, Any, Any, Any, Any]


def warp(images: Any, affine: AffineMap, size: tuple[int, int]) -> Any:
    """Apply an affine map: (B, x, y, C) -> (B, X, Y, C) for `size` (X, Y).

    Bilinear interpolation, black outside of the image.
    """
    rows, columns, channels = images.shape[1:]
    a, b, c, d, e, f = (ops.reshape(part, (-1, 1, 1)) for part in affine)
    x = ops.arange(size[1], dtype="float32") + 0.5
    y = ops.arange(size[0], dtype="float32")[:, None] + 0.5
    column, row = a * x + b * y + c, d * x + e * y + f  # (B, X, Y)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    left, upper = ops.floor(column - 0.5), ops.floor(row - 0.5)
    right_weight, lower_weight = column - 0.5 - left, row - 0.5 - upper
    pixels = ops.reshape(images, (-1, channels))
    first_pixel = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (rows * columns)

    def read(row, column):
        # Clipped: within half a pixel of the border Pillow repeats the outermost pixel.
        row = ops.cast(ops.clip(row, 0, rows - 1), "int32")
        column = ops.cast(ops.clip(column, 0, columns - 1), "int32")
        return ops.take(pixels, first_pixel + row * columns + column, axis=0)

    def lerp(start, end, weight):
        return start + weight[..., None] * (end - start)

    above = lerp(read(upper, left), read(upper, left + 1), right_weight)
    below = lerp(read(upper + 1, left), read(upper + 1, left + 1), right_weight)
    return lerp(above, below, lower_weight) * ops.cast(inside, "float32")[..., None]


def compose(first: AffineMap, then: AffineMap) -> AffineMap:
    """The affine map of applying `first` and then `then` to an image."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    # Written out: many accelerators compute matrix products in reduced precision.
    return (
        *(a * p + b * s, a * q + b * t, a * r + b * u + c),
        *(d * p + e * s, d * q + e * t, d * r + e * u + f),
    )


def crop_map(uniform: Any, padding: int) -> AffineMap:
    """Random crop of the padded image, at (2 padding + 1)² offsets: uniform (B, 2) -> a map."""
    offset = ops.cast(randint(uniform, 2 * padding + 1) - padding, "float32")
    one, zero = ops.ones_like(offset[:, 0]), ops.zeros_like(offset[:, 0])
    return one, zero, offset[:, 1], zero, one, offset[:, 0]


def flip_map(is_flipped: Any, columns: int) -> AffineMap:
    """Horizontal flip of some images: (B,) booleans -> a map."""
    one = ops.ones_like(is_flipped, "float32")
    zero = ops.zeros_like(one)
    a, c = ops.where(is_flipped, -one, one), ops.where(is_flipped, columns, zero)
    return a, zero, c, zero, one, zero


def resized_crop_map(
    uniform: Any, area: list[float], old: tuple[int, int], new: tuple[int, int]
) -> AffineMap:
    """Random resized crop (Szegedy et al. 2015, section 6), as torchvision's RandomResizedCrop.

    Args:
        uniform: (B, 2 TRIES + 2) numbers in [0, 1).
        area: least and largest fraction of the image's area; the aspect ratio is 3/4 to 4/3.
        old: size of the images.
        new: size after resizing.
    """
    height, width, fits = random_box(uniform, area, (3 / 4, 4 / 3), old, old)
    # Where no box fits: the largest centre crop whose aspect ratio is in range.
    largest_width = min(old[1], round(old[0] * 4 / 3))
    largest_height = min(old[0], round(old[1] * 4 / 3))
    height, width = ops.where(fits, height, largest_height), ops.where(fits, width, largest_width)
    free = ops.stack([old[0] - height, old[1] - width], axis=1)
    random_offset = ops.cast(randint(uniform[:, 2 * TRIES : 2 * TRIES + 2], free + 1), "float32")
    offset = ops.where(fits[:, None], random_offset, ops.floor(free / 2))
    zero = ops.zeros_like(height)
    return width / new[1], zero, offset[:, 1], zero, height / new[0], offset[:, 0]


def random_box(
    uniform: Any,
    area: Any,
    ratio: tuple[float, float],
    size: tuple[int, int],
    largest: tuple[int, int],
) -> tuple[Any, Any, Any]:
    """The first of TRIES random boxes that fits: height, width and whether one fits, (B,) each.

    Args:
        uniform: (B, 2 TRIES or more) numbers in [0, 1).
        area: least and largest fraction of the image's area, uniformly distributed.
        ratio: least and largest aspect ratio, width / height, log-uniformly distributed.
        size: of the image.
        largest: largest size of a box.
    """
    low, high = area
    pixels = (low + (high - low) * uniform[:, :TRIES]) * (size[0] * size[1])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = ops.exp(low + (high - low) * uniform[:, TRIES : 2 * TRIES])
    width, height = ops.round(ops.sqrt(pixels * aspect)), ops.round(ops.sqrt(pixels / aspect))
    fits = (width <= largest[1]) & (height <= largest[0]) & (width > 0) & (height > 0)
    first = ops.argmax(ops.cast(fits, "int32"), axis=1)[:, None]
    height = ops.take_along_axis(height, first, axis=1)[:, 0]
    width = ops.take_along_axis(width, first, axis=1)[:, 0]
    return height, width, ops.any(fits, axis=1)


def geometric_map(step: Step, size: tuple[int, int]) -> AffineMap:
    """The shears, shifts and rotations of a step; the identity for any other operation."""
    amount = {
        name: ops.where(ops.equal(step.operation, CODES[name]), step.strength, 0.0)
        for name in GEOMETRIC_OPS
    }
    cosine = ops.cos(amount["rotate"] * (math.pi / 180))
    sine = ops.sin(amount["rotate"] * (math.pi / 180))
    x, y = size[1] / 2, size[0] / 2  # the centre of rotation
    return (
        cosine,
        amount["shear_x"] - sine,
        x - cosine * x + sine * y - amount["translate_x"],
        amount["shear_y"] + sine,
        cosine,
        y - sine * x - cosine * y - amount["translate_y"],
    )


def shift_and_flip(images: Any, offset: Any, is_flipped: Any) -> Any:
    """Shift by whole pixels and flip: (B, X, Y, C) -> (B, X, Y, C), any dtype, black padding.

    Args:
        images: (B, X, Y, C).
        offset: (B, 2) int32, the row and column from which the first output pixel is read.
        is_flipped: (B,) booleans.
    """
    rows, columns, channels = images.shape[1:]
    row = offset[:, 0, None] + ops.arange(rows, dtype="int32")  # (B, X)
    column = ops.arange(columns, dtype="int32")
    column = ops.where(is_flipped[:, None], columns - 1 - column, column)
    column = offset[:, 1, None] + column  # (B, Y)
    inside = ((row >= 0) & (row < rows))[:, :, None] & ((column >= 0) & (column < columns))[:, None]
    row, column = ops.clip(row, 0, rows - 1), ops.clip(column, 0, columns - 1)
    first_pixel = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (rows * columns)
    pixel = first_pixel + row[:, :, None] * columns + column[:, None]  # (B, X, Y)
    read = ops.take(ops.reshape(images, (-1, channels)), pixel, axis=0)
    return ops.where(inside[..., None], read, ops.zeros_like(read))
