"""Random brightness, contrast, saturation and hue, in an order of its own for each image.

Which operations an image gets, and how strong: numbers in [0, 1) -> steps.

Names, order and strengths are torchvision's, whose 31 strengths of an operation are 0 to 30.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment.ops import CODES, Step
from vit_keras.augment.prng import whole

JITTER_NAMES = ("brightness", "contrast", "colour", "hue")


def jitter_steps(strengths: list[float], uniform: Any) -> list[Step]:
    """(B, 8) numbers in [0, 1) -> a step for each strength above 0, as torchvision's ColorJitter.

    Factors are 1 - s to 1 + s, not below 0; a hue is turned by -s to s of the circle.
    """
    used = [at for at, strength in enumerate(strengths) if strength > 0]
    if not used:
        return []
    low = np.array([-strengths[at] for at in used], "float32")
    width = np.array([2 * strengths[at] for at in used], "float32")
    order = ops.argsort(ops.take(uniform, np.array(used), axis=1), axis=1)  # (B, used)
    amount = low + width * ops.take(uniform, np.array(used) + len(JITTER_NAMES), axis=1)
    amount = ops.take_along_axis(amount, order, axis=1)
    operation = ops.take(np.array([CODES[JITTER_NAMES[at]] for at in used], "int32"), order)
    among = frozenset(JITTER_NAMES[at] for at in used)
    return [Step(operation[:, at], amount[:, at], among) for at in range(len(used))]


BINS = 31
NAMES = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness"),
    *("colour", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
SIGNED = frozenset(NAMES[1:10])
INVERT = ("solarize", 0)  # of every level, so it needs no operation of its own

# Cubuk et al. 2019, table 7: operation, probability, and which of ten strengths, twice.
AUTOAUGMENT_CIFAR10 = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("colour", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("colour", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("colour", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("colour", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("colour", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)


def steps(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """The steps that `config.policy` draws from (B, 4 SLOTS) numbers, for images of `size`."""
    return POLICIES[config.policy](config, uniform, size) if config.policy != "none" else []


def _randaugment(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """Cubuk et al. 2020: n operations, each of fourteen as likely, all of strength m."""
    table = strengths(BINS, size)[:, config.policy_magnitude]
    return [
        _step(NAMES, table, whole(slot[:, 0], len(NAMES)), slot)
        for slot in _slots(uniform, config.policy_ops)
    ]


def _trivial(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """Müller and Hutter 2021, the wide space: one operation, any strength."""
    wide = strengths(BINS, size, shear=0.99, shift=(32, 32), turn=135, blend=0.99, bits=6)
    slot = uniform[:, :4]
    operation = whole(slot[:, 0], len(NAMES))
    row = [name for name in NAMES for _ in range(BINS)]
    return [_step(row, wide.ravel(), operation * BINS + whole(slot[:, 1], BINS), slot)]


def _autoaugment_cifar10(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """Cubuk et al. 2019: one of 25 pairs, each operation with a probability of its own."""
    table = strengths(10, size)
    pair = whole(uniform[:, 0], len(AUTOAUGMENT_CIFAR10))
    result = []
    for at, slot in enumerate(_slots(uniform, 2)):
        names, values, chances = [], [], []
        for name, chance, strength in (entry[at] for entry in AUTOAUGMENT_CIFAR10):
            plain, value = INVERT if name == "invert" else (name, None)
            names.append(plain)
            values.append(table[NAMES.index(plain), strength] if value is None else value)
            chances.append(chance)
        step = _step(names, np.array(values), pair, slot)
        is_applied = slot[:, 3] < ops.take(np.array(chances, "float32"), pair)
        operation = ops.where(is_applied, step.operation, CODES["identity"])
        result.append(step._replace(operation=operation))
    return result


def _three(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """Touvron et al. 2022 (DeiT III), section 3.2: grey, solarized or blurred."""
    names = ("colour", "solarize", "blur")
    slot = uniform[:, :4]
    step = _step(names, np.array([-1.0, 128, 0]), whole(slot[:, 0], 3), slot, signed=frozenset())
    deviation = 0.1 + 1.9 * slot[:, 1]
    is_blur = ops.equal(step.operation, CODES["blur"])
    return [step._replace(strength=ops.where(is_blur, deviation, step.strength))]


POLICIES: dict[str, Callable[[Any, Any, tuple[int, int]], list[Step]]] = {
    "randaugment": _randaugment,
    "trivial_augment": _trivial,
    "autoaugment_cifar10": _autoaugment_cifar10,
    "three_augment": _three,
}


def strengths(
    bins: int,
    size: tuple[int, int],
    shear: float = 0.3,
    shift: tuple[float, float] | None = None,
    turn: float = 30,
    blend: float = 0.9,
    bits: int = 4,
) -> np.ndarray:
    """(14, bins): what each strength of an operation of NAMES is, its sign left out."""
    down, along = shift or (150 / 331 * size[0], 150 / 331 * size[1])
    most = {"shear_x": shear, "shear_y": shear, "rotate": turn}
    most |= dict.fromkeys(("brightness", "colour", "contrast", "sharpness"), blend)
    table = {name: np.linspace(0, value, bins) for name, value in most.items()}
    table["translate_x"] = np.trunc(np.linspace(0, along, bins))  # whole pixels
    table["translate_y"] = np.trunc(np.linspace(0, down, bins))
    table["posterize"] = 8 - np.round(np.arange(bins) / ((bins - 1) / bits))
    table["solarize"] = np.linspace(255, 0, bins)
    return np.stack([table.get(name, np.zeros(bins)) for name in NAMES]).astype("float32")


def _slots(uniform: Any, count: int) -> list[Any]:
    """(B, 4 SLOTS) -> `count` times (B, 4)."""
    return [uniform[:, 4 * at : 4 * at + 4] for at in range(count)]


def _step(
    names: Sequence[str],
    values: np.ndarray,
    choice: Any,
    slot: Any,
    signed: frozenset[str] = SIGNED,
) -> Step:
    """Each image's `choice` (B,) of the names and values; half of the signed ones negative."""
    codes = np.array([CODES[name] for name in names], "int32")
    signs = np.array([-1.0 if name in signed else 1.0 for name in names], "float32")
    sign = ops.where(slot[:, 2] < 0.5, ops.take(signs, choice), 1.0)
    strength = ops.take(values.astype("float32"), choice) * sign
    return Step(ops.take(codes, choice), strength, frozenset(names))
