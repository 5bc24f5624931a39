"""Random brightness, contrast, saturation and hue, in an order of its own for each image."""

from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment.steps import CODES, Step

NAMES = ("brightness", "contrast", "colour", "hue")


def steps(strengths: list[float], uniform: Any) -> list[Step]:
    """(B, 8) numbers in [0, 1) -> a step for each strength above 0, as torchvision's ColorJitter.

    Factors are 1 - s to 1 + s, not below 0; a hue is turned by -s to s of the circle.
    """
    used = [at for at, strength in enumerate(strengths) if strength > 0]
    if not used:
        return []
    low = np.array([-strengths[at] for at in used], "float32")
    width = np.array([2 * strengths[at] for at in used], "float32")
    order = ops.argsort(ops.take(uniform, np.array(used), axis=1), axis=1)  # (B, used)
    amount = low + width * ops.take(uniform, np.array(used) + len(NAMES), axis=1)
    amount = ops.take_along_axis(amount, order, axis=1)
    operation = ops.take(np.array([CODES[NAMES[at]] for at in used], "int32"), order)
    among = frozenset(NAMES[at] for at in used)
    return [Step(operation[:, at], amount[:, at], among) for at in range(len(used))]
