"""Augmentation policies and color jitter: random numbers -> the steps of each image.

Operations, their order and strengths are torchvision's. B is the batch; `uniform` are random
numbers in [0, 1), SLOTS of four per image: operation, strength, sign, and whether it is applied.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment.ops import CODES, Step
from vit_keras.augment.prng import randint

JITTER_NAMES = ("brightness", "contrast", "color", "hue")
BINS = 31  # strengths of an operation, 0 to 30
NAMES = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness"),
    *("color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
SIGNED = frozenset(NAMES[1:10])
INVERT = ("solarize", 0)  # solarize with threshold 0 inverts every level

# Cubuk et al. 2019, table 7: pairs of (operation, probability, index of ten strengths).
AUTOAUGMENT_CIFAR10 = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)


def policy_steps(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """Steps of `config.policy` for images of `size`, from uniform (B, 4 SLOTS)."""
    return POLICIES[config.policy](config, uniform, size) if config.policy != "none" else []


def jitter_steps(strengths: list[float], uniform: Any) -> list[Step]:
    """Steps of torchvision's ColorJitter, in random order for each image, from uniform (B, 8).

    Args:
        strengths: s of brightness, contrast, saturation and hue, 0 for none. Factors are uniform in
            [1 - s, 1 + s], the shift of the hue in [-s, s] of the color circle.
        uniform: (B, 8): four numbers for the order, four for the strengths.
    """
    used = [i for i, strength in enumerate(strengths) if strength > 0]
    if not used:
        return []
    low = np.array([-strengths[i] for i in used], "float32")
    width = np.array([2 * strengths[i] for i in used], "float32")
    order = ops.argsort(ops.take(uniform, np.array(used), axis=1), axis=1)  # (B, used)
    amount = low + width * ops.take(uniform, np.array(used) + len(JITTER_NAMES), axis=1)
    amount = ops.take_along_axis(amount, order, axis=1)
    operation = ops.take(np.array([CODES[JITTER_NAMES[i]] for i in used], "int32"), order)
    possible = frozenset(JITTER_NAMES[i] for i in used)
    return [Step(operation[:, i], amount[:, i], possible) for i in range(len(used))]


def _randaugment(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """RandAugment (Cubuk et al. 2020): `policy_ops` of 14 operations with one magnitude."""
    table = strengths(BINS, size)[:, config.policy_magnitude]
    return [
        _step(NAMES, table, randint(slot[:, 0], len(NAMES)), slot)
        for slot in _slots(uniform, config.policy_ops)
    ]


def _trivial_augment(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """TrivialAugment, wide (Müller and Hutter 2021): one operation of random strength."""
    wide = strengths(BINS, size, shear=0.99, shift=(32, 32), rotate=135, blend=0.99, bits=6)
    slot = uniform[:, :4]
    operation = randint(slot[:, 0], len(NAMES))
    row = [name for name in NAMES for _ in range(BINS)]
    return [_step(row, wide.ravel(), operation * BINS + randint(slot[:, 1], BINS), slot)]


def _autoaugment_cifar10(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """AutoAugment for CIFAR-10 (Cubuk et al. 2019): one of 25 pairs of operations."""
    table = strengths(10, size)
    pair = randint(uniform[:, 0], len(AUTOAUGMENT_CIFAR10))
    steps = []
    for position, slot in enumerate(_slots(uniform, 2)):
        names, values, probabilities = [], [], []
        for name, probability, index in (entry[position] for entry in AUTOAUGMENT_CIFAR10):
            if name == "invert":
                name, value = INVERT
            else:
                value = table[NAMES.index(name), index]
            names.append(name)
            values.append(value)
            probabilities.append(probability)
        step = _step(names, np.array(values), pair, slot)
        is_applied = slot[:, 3] < ops.take(np.array(probabilities, "float32"), pair)
        operation = ops.where(is_applied, step.operation, CODES["identity"])
        steps.append(step._replace(operation=operation))
    return steps


def _three_augment(config: Any, uniform: Any, size: tuple[int, int]) -> list[Step]:
    """3-Augment (DeiT III, Touvron et al. 2022, section 3.2): greyscale, solarize or blur."""
    names = ("color", "solarize", "blur")
    slot = uniform[:, :4]
    step = _step(names, np.array([-1.0, 128, 0]), randint(slot[:, 0], 3), slot, signed=frozenset())
    deviation = 0.1 + 1.9 * slot[:, 1]
    is_blur = ops.equal(step.operation, CODES["blur"])
    return [step._replace(strength=ops.where(is_blur, deviation, step.strength))]


POLICIES: dict[str, Callable[[Any, Any, tuple[int, int]], list[Step]]] = {
    "randaugment": _randaugment,
    "trivial_augment": _trivial_augment,
    "autoaugment_cifar10": _autoaugment_cifar10,
    "three_augment": _three_augment,
}


def strengths(
    bins: int,
    size: tuple[int, int],
    shear: float = 0.3,
    shift: tuple[float, float] | None = None,
    rotate: float = 30,
    blend: float = 0.9,
    bits: int = 4,
) -> np.ndarray:
    """Table (14, bins) of the absolute strengths of the operations NAMES.

    Args:
        bins: number of strengths.
        size: (rows, columns) of the images.
        shear: largest shear.
        shift: largest shift in pixels, (down, right); torchvision's fraction of `size` by default.
        rotate: largest angle in degrees.
        blend: largest enhancement factor - 1.
        bits: most bits that posterize removes.
    """
    shift_y, shift_x = shift or (150 / 331 * size[0], 150 / 331 * size[1])
    largest = {"shear_x": shear, "shear_y": shear, "rotate": rotate}
    largest |= dict.fromkeys(("brightness", "color", "contrast", "sharpness"), blend)
    table = {name: np.linspace(0, value, bins) for name, value in largest.items()}
    table["translate_x"] = np.trunc(np.linspace(0, shift_x, bins))  # whole pixels
    table["translate_y"] = np.trunc(np.linspace(0, shift_y, bins))
    table["posterize"] = 8 - np.round(np.arange(bins) / ((bins - 1) / bits))
    table["solarize"] = np.linspace(255, 0, bins)
    return np.stack([table.get(name, np.zeros(bins)) for name in NAMES]).astype("float32")


def _slots(uniform: Any, count: int) -> list[Any]:
    """(B, 4 SLOTS) -> the first `count` slots, (B, 4) each."""
    return [uniform[:, 4 * i : 4 * i + 4] for i in range(count)]


def _step(
    names: Sequence[str],
    values: np.ndarray,
    choice: Any,
    slot: Any,
    signed: frozenset[str] = SIGNED,
) -> Step:
    """Step of operation `names[choice]` and strength ± `values[choice]`, choice (B,) int32."""
    codes = np.array([CODES[name] for name in names], "int32")
    signs = np.array([-1.0 if name in signed else 1.0 for name in names], "float32")
    sign = ops.where(slot[:, 2] < 0.5, ops.take(signs, choice), 1.0)
    strength = ops.take(values.astype("float32"), choice) * sign
    return Step(ops.take(codes, choice), strength, frozenset(names))
