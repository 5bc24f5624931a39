"""Numbers that a setting may have, and what would do instead.

Nothing here imports Keras.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

from vit_keras.errors import SettingError, did_you_mean


def check_choice(setting: str, value: object, allowed: Iterable[str]) -> None:
    """Raise a `SettingError` with the nearest allowed name unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise SettingError(f"{setting}={value} is unknown{did_you_mean(value, allowed)}")


RATE = "0 up to below 1"


def check_int(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        kind = "positive whole number" if least == 1 else "whole number"
        raise SettingError(f"{name}={value} is not a {kind}; use {least} or more")


def check_number(name: str, value: Any, way_out: str) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise SettingError(f"{name}={value} is not a number; use {way_out}")


def check_rate(name: str, value: Any) -> None:
    check_number(name, value, RATE)
    if not 0 <= value < 1:
        raise SettingError(f"{name}={value} is not a rate; use {RATE}")


def check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SettingError(f"{name}={value} is neither yes nor no; use true or false")


def as_list(setting: Any) -> list[Any]:
    """One value or several, as a list: 0.5 -> [0.5]."""
    is_many = isinstance(setting, Iterable) and not isinstance(setting, str)
    return list(setting) if is_many else [setting]


def check_per_channel(name: str, value: Any, channels: int, positive: bool = False) -> None:
    """Raise a `SettingError` unless `value` is one number for all `channels`, or one for each."""
    values = as_list(value)
    if len(values) not in (1, channels):
        fitting = join_options(sorted({1, channels}))
        raise SettingError(f"{name}={values} has {len(values)} values; use {fitting} of them")
    for one in values:
        check_number(name, one, "above 0, up to 1" if positive else "0 to 1")
        if positive and one <= 0:
            raise SettingError(f"{name}={value} would divide by zero or less; use above 0")


def divisors(of: int, low: int, at_most: int = 64) -> list[int]:
    found = [d for d in range(low, min(of, at_most) + 1) if of % d == 0]
    return found or [of]


def multiples_around(value: int, factor: int) -> list[int]:
    below = value // factor * factor
    return [multiple for multiple in (below, below + factor) if multiple]


def join_options(allowed: list[int]) -> str:
    *first, last = map(str, allowed)
    return f"{', '.join(first)} or {last}" if first else last


def check_range(setting: str, value: Any, low: float, closed: bool, high: float | None) -> None:
    if value is None:
        return
    good = value >= low if closed else value > low
    if math.isfinite(value) and good and (high is None or value <= high):
        return
    above = f"{low:g} or more" if closed else f"above {low:g}"
    below = f", {high} at most" if high is not None else ""
    raise SettingError(f"{setting}={value} is out of range; use {above}{below}")


def height_and_width(image_size: Any, name: str = "image_size") -> tuple[int, int]:
    """(height, width) in pixels of a size given as one number or as a pair."""
    sides = as_list(image_size)
    sides = sides * 2 if len(sides) == 1 else sides
    if isinstance(image_size, str) or len(sides) != 2:
        raise SettingError(
            f"{name}={image_size} is no size; use a number of pixels or [height, width]"
        )
    for side in sides:
        check_int(name, side)
    return int(sides[0]), int(sides[1])
