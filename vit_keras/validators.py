"""A setting's declaration as a dataclass field, and the checks of values against it.

`setting` declares default, help, bounds and choices in one place; `check_fields` holds the values
of a dataclass to them. Nothing here imports Keras.
"""

import functools
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.text import counted


@dataclass(frozen=True)
class Bounds:
    """The interval that a number has to lie in; an end that is None is open to infinity."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        """`above 0, 0.9 at most`; empty without bounds."""
        ends = [
            (self.above, f"above {self.above}"),
            (self.at_least, f"{self.at_least} or more"),
            (self.below, f"below {self.below}"),
            (self.at_most, f"{self.at_most} at most"),
        ]
        return ", ".join(text for end, text in ends if end is not None)


def setting(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] = (),
    words: Iterable[str] = (),
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    label: str = "",
    unit: str = "",
    unset: str = "",
    step: float | None = None,
    usual_at_most: float | None = None,
) -> Any:
    """A dataclass field with everything that is known of a setting.

    Args:
        default: its default; `list` or `dict` for an empty one, `dataclasses.MISSING` for none.
        help: what it is for, in a sentence or two.
        choices: the words that it may be.
        words: what it may be other than a whole number.
        above, at_least, below, at_most: the bounds of a number.
        label: what a form calls it, unless that is its name.
        unit: of a number.
        unset: what None means, in a word: `off`, `all`, `auto`.
        step: of a slider, for a number that a coarse choice is enough for.
        usual_at_most: what a form refuses more than, as a mistake of typing.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "words": tuple(words),
        "bounds": Bounds(above, at_least, below, at_most),
        "label": label,
        "unit": unit,
        "unset": unset,
        "step": step,
        "usual_at_most": usual_at_most,
    }
    if default in (list, dict):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@functools.cache
def field_types(schema: type) -> dict[str, tuple[Any, bool]]:
    """Field -> (its type, whether it may be None): `int | None` is (int, True)."""
    found = {}
    for name, hint in typing.get_type_hints(schema).items():
        members = typing.get_args(hint)
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        present = [member for member in members if member is not types.NoneType]
        kind = present[0] if is_union and len(present) == 1 else hint
        found[name] = (kind, is_union and types.NoneType in members)
    return found


def check_fields(settings: Any, prefix: str = "") -> None:
    """Check each field of a dataclass, and of those in it, against its declaration.

    Raises:
        SettingError: a value of another type, outside of its bounds, or none of the choices.
    """
    for name, value, item, (kind, is_optional) in _declared(settings, prefix):
        if value is not None or not is_optional:
            _check_value(name, value, item, kind)


def _declared(settings: Any, prefix: str) -> Iterator[tuple[str, Any, Field, tuple[Any, bool]]]:
    """(name, value, field, type) of each setting, depth first."""
    schema: Any = type(settings)
    kinds = field_types(schema)
    for item in fields(settings):
        name, value = f"{prefix}{item.name}", getattr(settings, item.name)
        inner = value if isinstance(value, dict) else {}
        if is_dataclass(value):
            yield from _declared(value, f"{name}.")
        elif inner and all(map(is_dataclass, inner.values())):
            for key, one in inner.items():
                yield from _declared(one, f"{name}.{key}.")
        else:
            yield name, value, item, kinds[item.name]


def _check_value(name: str, value: Any, item: Field, kind: Any) -> None:
    bounds, choices = item.metadata.get("bounds", Bounds()), item.metadata.get("choices", ())
    if choices:
        # `train.jit_compile` and `augment.flip` are a word or a boolean.
        check_choice(name, str(value).lower() if isinstance(value, bool) else value, choices)
    if words := item.metadata.get("words", ()):
        if value in words:
            return
        kind = int
    check = CHECKS.get(kind)
    if check is not None:
        check(name, value, str(bounds))
    if kind in (int, float):
        check_bounds(name, value, bounds)


def check_bounds(name: str, value: float, bounds: Bounds) -> None:
    if value not in bounds:
        raise SettingError(f"{name}={value} is out of range; use {bounds}")


def check_choice(setting: str, value: object, allowed: Iterable[str]) -> None:
    """Raise a `SettingError` with the nearest allowed name unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise SettingError(f"{setting}={value} is unknown{did_you_mean(value, allowed)}")


def check_whole_number(name: str, value: Any, way_out: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise SettingError(f"{name}={value} is not a whole number; use {way_out or 'one'}")


def check_number(name: str, value: Any, way_out: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise SettingError(f"{name}={value} is not a number; use {way_out or 'one'}")


def check_bool(name: str, value: Any, way_out: str = "") -> None:
    if not isinstance(value, bool):
        raise SettingError(f"{name}={value} is neither yes nor no; use true or false")


CHECKS: dict[Any, Callable[[str, Any, str], None]] = {
    bool: check_bool,
    int: check_whole_number,
    float: check_number,
}


def check_int(name: str, value: Any, least: int = 1) -> None:
    bounds = Bounds(at_least=least)
    check_whole_number(name, value, str(bounds))
    check_bounds(name, value, bounds)


def as_list(setting: Any) -> list[Any]:
    """One value or several, as a list: 0.5 -> [0.5]."""
    is_many = isinstance(setting, Iterable) and not isinstance(setting, str)
    return list(setting) if is_many else [setting]


def check_per_channel(name: str, value: Any, channels: int, positive: bool = False) -> None:
    """Raise a `SettingError` unless `value` is one number for all `channels`, or one for each."""
    values = as_list(value)
    if len(values) not in (1, channels):
        fitting = join_options(sorted({1, channels}))
        raise SettingError(
            f"{name}={values} has {counted(len(values), 'value[s]')}, and the images "
            f"{counted(channels, 'channel[s]')}; use {fitting} of them, such as {name}=0.5"
        )
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


def check_patch_multiple(name: str, image_size: tuple[int, int], patch_size: int) -> None:
    """Raise a `SettingError` unless patches of `patch_size` cover (height, width) exactly."""
    if axes := uncovered_axes(image_size, patch_size):
        is_square = image_size[0] == image_size[1]
        multiple = f"a multiple of the model's patch size, {patch_size}"
        wrong = multiple if is_square else f"{multiple}, in each axis ({axes})"
        raise SettingError(
            f"{name}={size_text(image_size)} is not {wrong}; use "
            f"{covered_sizes(image_size, patch_size)}"
        )


def uncovered_axes(image_size: tuple[int, int], patch_size: int) -> str:
    """The sides of (height, width) that patches do not cover: `width 30`; empty if they do."""
    sides = zip(("height", "width"), image_size, strict=True)
    return ", ".join(f"{axis} {side}" for axis, side in sides if side < 1 or side % patch_size)


def covered_sizes(image_size: tuple[int, int], patch_size: int) -> str:
    """The nearest sizes that patches cover, as typed: `24 or 32`, `[64,24] or [64,32]`."""
    nearest = [
        multiples_around(max(side, 1), patch_size) if side % patch_size or side < 1 else [side]
        for side in image_size
    ]
    (height, width), (taller, wider) = ([sides[end] for sides in nearest] for end in (0, -1))
    return " or ".join(dict.fromkeys([size_text((height, width)), size_text((taller, wider))]))


def size_text(image_size: tuple[int, int]) -> str:
    """(height, width) as it is typed: `64` or `[64,32]`."""
    height, width = image_size
    return str(height) if height == width else f"[{height},{width}]"


def join_options(allowed: list[int]) -> str:
    *first, last = map(str, allowed)
    return f"{', '.join(first)} or {last}" if first else last


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
