"""Random erasing, MixUp and CutMix.

Letters: B batch, (X, Y) height and width, C channels.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from keras import ops

from vit_keras.augment import prng
from vit_keras.augment.geometric import random_box
from vit_keras.augment.prng import TRIES, randint

# Area and aspect ratio of an erased box, as in torchvision's RandomErasing.
ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)


def erase(images: Any, probability: float, key: Any, uniform: Any, first: Any = 0) -> Any:
    """Random erasing with noise (Zhong et al. 2020, RE-R): (B, X, Y, C) -> (B, X, Y, C).

    Args:
        images: (B, X, Y, C).
        probability: of each image to be erased.
        key: PRNG key of the noise.
        uniform: (B, 23) numbers in [0, 1) for the boxes.
        first: index of the first of these images in the batch.
    """
    rows, columns, channels = images.shape[1:]
    largest = rows - 1, columns - 1
    height, width, fits = random_box(uniform, ERASED_AREA, ERASED_RATIO, (rows, columns), largest)
    top = ops.cast(randint(uniform[:, 2 * TRIES], rows - height + 1), "float32")
    left = ops.cast(randint(uniform[:, 2 * TRIES + 1], columns - width + 1), "float32")
    is_erased = _inside(top, left, top + height, left + width, (rows, columns))
    is_erased &= (fits & (uniform[:, 2 * TRIES + 2] < probability))[:, None, None]
    noise = prng.noise(key, ops.shape(images)[0], (rows, columns, channels), first)
    return ops.where(is_erased[..., None], noise, images)


def mix(
    images: Any, targets: Any, mixup: float, cutmix: float, probability: float, uniform: Any
) -> tuple[Any, Any]:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019), one lambda for the batch, as in timm.

    Each image is mixed with the image at its index in the reversed batch. With both on, a batch
    gets either with probability 1/2.

    Args:
        images: (B, X, Y, C).
        targets: (B, classes), probabilities of the classes.
        mixup: alpha of MixUp's Beta(alpha, alpha); 0 for no MixUp.
        cutmix: alpha of CutMix's; 0 for no CutMix.
        probability: of a batch to be mixed.
        uniform: (5,) numbers in [0, 1).
    """
    rows, columns = images.shape[1:3]
    cutmix_probability = 0.0 if cutmix == 0 else 0.5 if mixup > 0 else 1.0
    is_cutmix = uniform[1] < cutmix_probability
    lam = ops.where(is_cutmix, _beta(cutmix, uniform[2]), _beta(mixup, uniform[2]))
    box = _cutmix_box(lam, uniform[3:], (rows, columns))
    weights = ops.where(is_cutmix, 1 - box, lam)  # (X, Y), of the image itself
    # CutMix's lambda is the area that remains: the box may be cut off at the border.
    lam = ops.where(is_cutmix, 1 - ops.mean(box), lam)
    is_mixed = uniform[0] < probability
    weights, lam = ops.where(is_mixed, weights, 1.0), ops.where(is_mixed, lam, 1.0)
    weights = weights[None, :, :, None]
    images = images * weights + ops.flip(images, axis=0) * (1 - weights)
    return images, targets * lam + ops.flip(targets, axis=0) * (1 - lam)


def _cutmix_box(lam: Any, uniform: Any, size: tuple[int, int]) -> Any:
    """(X, Y) mask of a box with area 1 - `lam` around a random pixel, cut off at the border."""
    rows, columns = size
    side = ops.sqrt(1 - lam)
    height, width = ops.floor(rows * side / 2), ops.floor(columns * side / 2)
    row = ops.cast(randint(uniform[0], rows), "float32")
    column = ops.cast(randint(uniform[1], columns), "float32")
    edges = (row - height, column - width, row + height, column + width)
    top, left, bottom, right = (edge[None] for edge in edges)
    return ops.cast(_inside(top, left, bottom, right, size)[0], "float32")


def _inside(top: Any, left: Any, bottom: Any, right: Any, size: tuple[int, int]) -> Any:
    """Which pixels lie in a box: edges (B,) -> (B, X, Y) booleans."""
    row = ops.arange(size[0], dtype="float32")[:, None]
    column = ops.arange(size[1], dtype="float32")
    top, left, bottom, right = (edge[:, None, None] for edge in (top, left, bottom, right))
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def _beta(alpha: float, uniform: Any) -> Any:
    """A sample of Beta(alpha, alpha): the quantile at `uniform`, interpolated in a table."""
    if alpha == 0:
        return ops.ones_like(uniform)
    table = _quantiles(alpha)
    position = uniform * (len(table) - 1)
    below = ops.floor(position)
    low = ops.take(table, ops.cast(below, "int32"))
    high = ops.take(table, ops.cast(below + 1, "int32"))
    return low + (position - below) * (high - low)


@lru_cache
def _quantiles(alpha: float) -> np.ndarray:
    from scipy import stats  # two seconds, for MixUp and CutMix alone

    return stats.beta.ppf(np.linspace(0, 1, 4097), alpha, alpha).astype("float32")
