"""All that moves the pixels of an image, as one affine map and one interpolation.

A map is six (B,) numbers a to f, in Pillow's manner: the pixel of the result at (x, y), x along a
row, is read at (a x + b y + c, d x + e y + f), where the centre of the first pixel is (0.5, 0.5).
Sizes are (rows, columns).
"""

import math
from typing import Any

from keras import ops

from vit_keras.augment.ops import CODES, MOVES, Step
from vit_keras.augment.prng import TRIES, whole

Map = tuple[Any, Any, Any, Any, Any, Any]


def warp(images: Any, places: Map, size: tuple[int, int]) -> Any:
    """(B, x, y, C) -> (B, X, Y, C), for `size` (X, Y): read bilinearly, black outside.

    What is read from the outer half of the outermost pixels has their level, as in Pillow.
    """
    rows, columns, channels = images.shape[1:]
    a, b, c, d, e, f = (ops.reshape(part, (-1, 1, 1)) for part in places)
    x = ops.arange(size[1], dtype="float32") + 0.5
    y = ops.arange(size[0], dtype="float32")[:, None] + 0.5
    column, row = a * x + b * y + c, d * x + e * y + f  # (B, X, Y)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    left, upper = ops.floor(column - 0.5), ops.floor(row - 0.5)
    right_share, lower_share = column - 0.5 - left, row - 0.5 - upper
    pixels = ops.reshape(images, (-1, channels))  # the batch as one long row
    image = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (rows * columns)

    def read(row, column):
        row = ops.cast(ops.clip(row, 0, rows - 1), "int32")
        column = ops.cast(ops.clip(column, 0, columns - 1), "int32")
        return ops.take(pixels, image + row * columns + column, axis=0)

    def mix(one, other, share):
        return one + share[..., None] * (other - one)

    above = mix(read(upper, left), read(upper, left + 1), right_share)
    below = mix(read(upper + 1, left), read(upper + 1, left + 1), right_share)
    return mix(above, below, lower_share) * ops.cast(inside, "float32")[..., None]


def after(first: Map, then: Map) -> Map:
    """The map of doing `first` and `then` to an image, one after the other.

    Written out: a matrix product would be rounded to fewer digits on many accelerators.
    """
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    return (
        *(a * p + b * s, a * q + b * t, a * r + b * u + c),
        *(d * p + e * s, d * q + e * t, d * r + e * u + f),
    )


def padded_crop(uniform: Any, padding: int) -> Map:
    """Cut out at one of (2 padding + 1)² places: (B, 2) numbers in [0, 1) -> a map."""
    offset = ops.cast(whole(uniform, 2 * padding + 1) - padding, "float32")
    one, zero = ops.ones_like(offset[:, 0]), ops.zeros_like(offset[:, 0])
    return one, zero, offset[:, 1], zero, one, offset[:, 0]


def mirrored(uniform: Any, columns: int) -> Map:
    """Left and right swapped for half of the images: (B, 1) numbers in [0, 1) -> a map."""
    is_swapped = uniform[:, 0] < 0.5
    one, zero = ops.ones_like(uniform[:, 0]), ops.zeros_like(uniform[:, 0])
    return (
        ops.where(is_swapped, -one, one),
        zero,
        ops.where(is_swapped, columns, zero),
        zero,
        one,
        zero,
    )


def resized_crop(
    uniform: Any, share: list[float], old: tuple[int, int], new: tuple[int, int]
) -> Map:
    """A box of the image brought to `new` (Szegedy et al. 2015, section 6).

    The box has a share of the area as likely as any other, and a width of 3/4 to 4/3 of its
    height. Where none of ten fits, it is the middle of the image, as large as can be.
    """
    height, width, fits = box(uniform, share, (3 / 4, 4 / 3), old, old)
    most = min(old[1], round(old[0] * 4 / 3)), min(old[0], round(old[1] * 4 / 3))
    height, width = ops.where(fits, height, most[1]), ops.where(fits, width, most[0])
    free = ops.stack([old[0] - height, old[1] - width], axis=1)
    drawn = ops.cast(whole(uniform[:, 2 * TRIES : 2 * TRIES + 2], free + 1), "float32")
    offset = ops.where(fits[:, None], drawn, ops.floor(free / 2))
    zero = ops.zeros_like(height)
    return width / new[1], zero, offset[:, 1], zero, height / new[0], offset[:, 0]


def box(
    uniform: Any,
    share: Any,
    ratio: tuple[float, float],
    size: tuple[int, int],
    largest: tuple[int, int],
) -> tuple[Any, Any, Any]:
    """The first of ten boxes that fits: height, width, and whether one does, (B,) each.

    Args:
        uniform: (B, 20 or more) numbers in [0, 1).
        share: the least and the most of the area of `size`.
        ratio: the least and the most of width / height, whose logarithm is drawn.
        size: of the image.
        largest: rows and columns that a box can have.
    """
    low, high = share
    area = (low + (high - low) * uniform[:, :TRIES]) * (size[0] * size[1])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    proportion = ops.exp(low + (high - low) * uniform[:, TRIES : 2 * TRIES])
    width, height = ops.round(ops.sqrt(area * proportion)), ops.round(ops.sqrt(area / proportion))
    fits = (width <= largest[1]) & (height <= largest[0]) & (width > 0) & (height > 0)
    first = ops.argmax(ops.cast(fits, "int32"), axis=1)[:, None]
    height, width = (ops.take_along_axis(part, first, axis=1)[:, 0] for part in (height, width))
    return height, width, ops.any(fits, axis=1)


def geometric_map(step: Step, size: tuple[int, int]) -> Map:
    """What a step of shears, shifts and turns does; nothing to an image of another operation."""
    amount = {
        name: ops.where(ops.equal(step.operation, CODES[name]), step.strength, 0.0)
        for name in MOVES
    }
    cosine = ops.cos(amount["rotate"] * (math.pi / 180))
    sine = ops.sin(amount["rotate"] * (math.pi / 180))
    x, y = size[1] / 2, size[0] / 2  # what it is turned about
    return (
        cosine,
        amount["shear_x"] - sine,
        x - cosine * x + sine * y - amount["translate_x"],
        amount["shear_y"] + sine,
        cosine,
        y - sine * x - cosine * y - amount["translate_y"],
    )


def shift_and_mirror(images: Any, offset: Any, is_mirrored: Any) -> Any:
    """(B, X, Y, C) -> (B, X, Y, C) of any dtype: whole pixels moved, black where none came from.

    Args:
        images: (B, X, Y, C).
        offset: (B, 2) int32, the row and the column that the first pixel is read at.
        is_mirrored: (B,) booleans.
    """
    rows, columns, channels = images.shape[1:]
    row = offset[:, 0, None] + ops.arange(rows, dtype="int32")  # (B, X)
    along = ops.arange(columns, dtype="int32")
    along = ops.where(is_mirrored[:, None], columns - 1 - along, along)
    column = offset[:, 1, None] + along  # (B, Y)
    inside = ((row >= 0) & (row < rows))[:, :, None] & ((column >= 0) & (column < columns))[:, None]
    row, column = ops.clip(row, 0, rows - 1), ops.clip(column, 0, columns - 1)
    image = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (rows * columns)
    pixel = image + row[:, :, None] * columns + column[:, None]  # (B, X, Y)
    read = ops.take(ops.reshape(images, (-1, channels)), pixel, axis=0)
    return ops.where(inside[..., None], read, ops.zeros_like(read))
