"""`data.value_range`: which stored values a model sees, as float32 of 0 to 255.

    [low, high]    mapped linearly to 0 to 255; values beyond are clipped
    auto           the range that is known: by the bits, or floats of 0 to 1; of DICOM files that
                   all have a window, `window`
    percentile     the values at 0.5% and 99.5% of the training images
    window         of each DICOM file its own (VOI LUT, PS3.3 C.11.2)

A run keeps [low, high], or `window`. Without the setting images have 256 levels, see `pixel_range`.
"""

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vit_keras.data.pixel_range import BIT_DEPTHS, RangeError, smallest_bit_depth
from vit_keras.errors import SettingError

WORDS = AUTO, PERCENTILE, WINDOW = ("auto", "percentile", "window")
PERCENTILES = (0.5, 99.5)
Range = tuple[float, float]
WAY_OUT = "set data.value_range=[low,high], or percentile"


class ValueFacts(NamedTuple):
    """What is known of the values of an image, or of images in one range."""

    channels: int
    dtype: str
    low: float
    high: float
    full: Range | None = None  # what its file, or its type, says that values can be
    has_window: bool = False  # a DICOM file's


def as_setting(value: Any) -> Any:
    """`data.value_range` as a word, a pair of floats or None.

    Raises:
        SettingError: it is none of these, or low is not below high.
    """
    if value is None or (isinstance(value, str) and value in WORDS):
        return value
    is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not is_pair or not all(_is_finite(number) for number in value):
        raise SettingError(
            f"data.value_range={value} is no range; use {', '.join(WORDS)} or two numbers, such as "
            "[0,4095]"
        )
    low, high = map(float, value)
    if low >= high:
        raise SettingError(
            f"data.value_range=[{low:g},{high:g}] does not begin below its end; give the lower "
            "value first"
        )
    return low, high


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def facts_of(array: np.ndarray, full: Range | None = None, has_window: bool = False) -> ValueFacts:
    """Of an array whose last axis is the channels.

    Raises:
        RangeError: values that are no numbers, or not finite.
    """
    if array.dtype.kind not in "iufb":
        raise RangeError(f"values of {array.dtype}; give integers or floats")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RangeError("values that are not finite (NaN or infinite)")
    if full is None and array.dtype.itemsize == 1 and array.dtype.kind in "ub":
        full = (0.0, 255.0 if array.dtype.kind == "u" else 1.0)
    return ValueFacts(
        array.shape[-1], array.dtype.name, float(array.min()), float(array.max()), full, has_window
    )


def range_of(facts: Iterable[tuple[str, ValueFacts]], bit_depth: int | None = None) -> Any:
    """`auto`: WINDOW or (low, high), of images (name, facts).

    Args:
        facts: of all images.
        bit_depth: `data.bit_depth`, of integers whose files do not say it.

    Raises:
        RangeError: the range is not known, or not that of all images.
    """
    images = list(facts)
    if images and all(one.has_window for _, one in images):
        return WINDOW
    firsts: dict[Any, str] = {}
    for name, one in images:
        firsts.setdefault(one.full or np.dtype(one.dtype).kind, name)
    if len(firsts) > 1:
        (one, other), (first, second) = list(firsts)[:2], list(firsts.values())[:2]
        raise RangeError(
            f"{first} has {_described(one)} and {second} {_described(other)}; {WAY_OUT}, or "
            "keep them apart"
        )
    kind = next(iter(firsts))
    if isinstance(kind, tuple):
        return kind
    low, high = min(one.low for _, one in images), max(one.high for _, one in images)
    if kind in "iu" and bit_depth is not None:
        return 0.0, 2.0**bit_depth - 1
    if kind == "f" and low >= 0 and 0 < high <= 1:
        return 0.0, 1.0
    if kind in "iu" and low >= 0 and high < 2**16:
        bits = 8 if high < 256 else smallest_bit_depth(int(high))
        return 0.0, 2.0**bits - 1
    raise RangeError(
        f"values of {low:g} to {high:g} ({images[0][1].dtype}), whose range is not known; {WAY_OUT}"
    )


def _described(kind: Any) -> str:
    if isinstance(kind, tuple):
        return f"values of {kind[0]:g} to {kind[1]:g} by its type"
    return "floats" if kind == "f" else "integers that do not say how many bits they use"


def check_fits(facts: ValueFacts, value_range: Any) -> None:
    """Refuse an image of another depth than the range is of.

    Raises:
        RangeError: naming both.
    """
    if value_range == WINDOW:
        if not facts.has_window:
            raise RangeError(
                "no window of a DICOM file, and data.value_range=window takes nothing else"
            )
        return
    low, high = value_range
    described = f"values of {facts.low:g} to {facts.high:g} ({facts.dtype})"
    expected = f"data.value_range is [{low:g},{high:g}]"
    is_8_bit = facts.dtype == "uint8" and high > 255
    is_unit = facts.dtype.startswith("float") and facts.low >= 0 and 0 < facts.high <= 1
    if is_8_bit or (is_unit and high > 255 and facts.full is None):
        raise RangeError(f"{described}, and {expected}; give values as they were trained on")
    is_of_bits = low == 0 and high + 1 in [2**bits for bits in BIT_DEPTHS]
    if is_of_bits and facts.dtype[0] in "iu" and facts.high > high:
        raise RangeError(f"{described}, and {expected}; give values of that many bits")


def to_pixels(values: np.ndarray, value_range: Range, is_inverted: bool = False) -> np.ndarray:
    """Values of any dtype -> float32 of 0 to 255 in the same shape; 255 is black if inverted."""
    low, high = value_range
    pixels = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    pixels = pixels.clip(0, 255)
    return 255 - pixels if is_inverted else pixels


def preview(values: np.ndarray) -> np.ndarray:
    """(x, y, c) of any values -> (x, y) uint8: the mean of the channels, from its least on."""
    grey = values.mean(axis=-1, dtype=np.float64)
    span = grey.max() - grey.min()
    return np.rint((grey - grey.min()) * (255 / span if span else 0)).astype(np.uint8)
