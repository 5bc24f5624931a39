"""The range of pixel values: one decision for arrays, files and Pillow images -> uint8.

    uint8               as they are
    bool                0 and 255
    integers            of the bits that the file says or `data.bit_depth` sets; otherwise 0 to 255
                        as they are, and 16-bit samples by their largest value: of one image only
                        if that uses 15 or 16 bits, of a training set 8, 10, 12, 14 or 16 bits
    floats              0 to 255; a training set may also have 0 to 1

Everything else is refused. The bits of a training set are kept as its run's `data.bit_depth`.
"""

import numpy as np

from vit_keras.text import counted

BIT_DEPTHS = (8, 10, 12, 14, 16)  # of cameras and scanners
UNAMBIGUOUS = 2**14  # a 16-bit image with a value from here on is taken for one of 16 bits


class RangeError(ValueError):
    """Pixel values whose meaning is not known; the message begins with what they are."""


def smallest_bit_depth(largest: int) -> int:
    """The fewest bits of `BIT_DEPTHS` that hold the largest value of a data set."""
    return next((bits for bits in BIT_DEPTHS if largest < 2**bits), BIT_DEPTHS[-1])


def sample_bits(largest: int, is_16_bit: bool, known: int = 0, bit_depth: int | None = None) -> int:
    """The bits of integers that are wider than uint8, from their largest value.

    Args:
        largest: value of the image or the data set.
        is_16_bit: samples of 16 bits, not wider ones.
        known: bits that the file says; 0 if it does not.
        bit_depth: `data.bit_depth` of the run.

    Raises:
        RangeError: it is ambiguous, or does not hold the largest value.
    """
    if known:  # samples of few bits may be stored as they are, or scaled to 16 bits, as PNG has it
        return known if largest < 2**known else 16
    if bit_depth is None and largest < 256:
        return 8
    if bit_depth is None and is_16_bit and UNAMBIGUOUS <= largest < 2**16:
        return 16
    if bit_depth is None:
        likely = smallest_bit_depth(largest)
        bits = f", so 16 bits or {likely}" if is_16_bit else ""
        raise RangeError(
            f"values of 0 to {largest}{bits}; give 0 to 255, or train with data.bit_depth={likely}"
        )
    if largest >= 2**bit_depth:
        raise RangeError(
            f"values of 0 to {largest}, and data.bit_depth={bit_depth} ends at {2**bit_depth - 1}"
        )
    return bit_depth


def check_values(array: np.ndarray) -> None:
    """Refuse values that are no pixels of any range: complex, not finite or negative.

    Raises:
        RangeError: naming them.
    """
    if array.dtype.kind not in "iufb":
        raise RangeError(f"pixels of {array.dtype}; give uint8, or floats")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise RangeError(
            counted(count, "value[s] that [is|are] not finite (NaN or infinite)")
            + "; correct or remove those images"
        )
    if array.size and array.min() < 0:
        raise RangeError(
            f"pixels of {array.min():g} to {array.max():g}; pass 0 to 255, before any "
            "normalisation, which is part of the model"
        )


def to_uint8(
    array: np.ndarray,
    known: int = 0,
    bit_depth: int | None = None,
    is_unit: bool | None = None,
) -> np.ndarray:
    """Pixels of any dtype -> uint8, in the same shape; see the top of this file.

    Args:
        array: of one image, or of images in one range.
        known: bits that the image's file says; 0 if it does not.
        bit_depth: `data.bit_depth` of the run.
        is_unit: whether floats are 0 to 1, as a whole training set shows; None if it is not known.

    Raises:
        RangeError: the range is ambiguous, or none that pixels have.
    """
    if array.dtype == np.uint8:
        return array
    check_values(array)
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    largest = array.max() if array.size else 0
    if array.dtype.kind != "f":
        bits = sample_bits(int(largest), array.dtype.itemsize == 2, known, bit_depth)
        return _scaled(array, np.float32((2**bits - 1) / 255)) if bits != 8 else array.astype("u1")
    if is_unit:
        return np.rint(array * np.float32(255)).astype(np.uint8)
    if is_unit is None and 0 < largest <= 1:
        raise RangeError(
            f"pixels of {array.min():g} to {largest:g} as {array.dtype}, and the model takes 0 to "
            "255; multiply by 255"
        )
    if largest > 255:
        raise RangeError(f"pixels of {array.min():g} to {largest:g}; give 0 to 255")
    return np.rint(array).astype(np.uint8)


def _scaled(array: np.ndarray, divisor: np.float32) -> np.ndarray:
    return np.rint(array.astype(np.float32) / divisor).clip(0, 255).astype(np.uint8)
