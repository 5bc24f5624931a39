"""What hides a part of an image, or puts another into it and shares the label accordingly."""

from functools import lru_cache
from typing import Any

import numpy as np
from keras import ops
from scipy import stats

from vit_keras.augment import prng
from vit_keras.augment.geometric import box
from vit_keras.augment.prng import TRIES, whole

ERASED_SHARE, ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)  # as torchvision has them


def erase(images: Any, probability: float, key: Any, uniform: Any) -> Any:
    """(B, X, Y, C) -> (B, X, Y, C): a box of noise over some (Zhong et al. 2020, RE-R).

    Args:
        images: (B, X, Y, C).
        probability: that an image gets a box.
        key: of the noise.
        uniform: (B, 23) numbers in [0, 1), for the boxes.
    """
    rows, columns, channels = images.shape[1:]
    inner = rows - 1, columns - 1
    height, width, fits = box(uniform, ERASED_SHARE, ERASED_RATIO, (rows, columns), inner)
    top = ops.cast(whole(uniform[:, 2 * TRIES], rows - height + 1), "float32")
    left = ops.cast(whole(uniform[:, 2 * TRIES + 1], columns - width + 1), "float32")
    is_hidden = _inside(top, left, top + height, left + width, (rows, columns))
    is_hidden &= (fits & (uniform[:, 2 * TRIES + 2] < probability))[:, None, None]
    noise = prng.noise(key, ops.shape(images)[0], (rows, columns, channels))
    return ops.where(is_hidden[..., None], noise, images)


def mix(
    images: Any, targets: Any, mixup: float, cutmix: float, probability: float, uniform: Any
) -> tuple[Any, Any]:
    """Each image with that at its place in the reversed batch, as timm does it.

    MixUp (Zhang et al. 2018) is a weighted mean, CutMix (Yun et al. 2019) a box of the other
    image; with both on, a batch gets either, as likely. The share that stays is one for the whole
    batch; CutMix's is what the box, cut off at the border, really leaves.

    Args:
        images: (B, X, Y, C).
        targets: (B, classes), shares of each class.
        mixup: alpha of MixUp's Beta(alpha, alpha); 0 for none.
        cutmix: alpha of CutMix's.
        probability: that a batch is mixed at all.
        uniform: (5,) numbers in [0, 1).
    """
    rows, columns = images.shape[1:3]
    is_cut = uniform[1] < {(True, True): 0.5, (False, True): 1.0}.get((mixup > 0, cutmix > 0), 0.0)
    share = ops.where(is_cut, _beta(cutmix, uniform[2]), _beta(mixup, uniform[2]))
    pasted = _cut(share, uniform[3:], (rows, columns))
    stays = ops.where(is_cut, 1 - pasted, share)  # (X, Y): of each pixel
    share = ops.where(is_cut, 1 - ops.mean(pasted), share)
    is_mixed = uniform[0] < probability
    stays, share = ops.where(is_mixed, stays, 1.0), ops.where(is_mixed, share, 1.0)
    stays = stays[None, :, :, None]
    images = images * stays + ops.flip(images, axis=0) * (1 - stays)
    return images, targets * share + ops.flip(targets, axis=0) * (1 - share)


def _cut(share: Any, uniform: Any, size: tuple[int, int]) -> Any:
    """(X, Y): 1 in a box with 1 - `share` of the area, around any pixel, cut off at the border."""
    rows, columns = size
    side = ops.sqrt(1 - share)
    height, width = ops.floor(rows * side / 2), ops.floor(columns * side / 2)
    row = ops.cast(whole(uniform[0], rows), "float32")
    column = ops.cast(whole(uniform[1], columns), "float32")
    edges = (row - height, column - width, row + height, column + width)
    top, left, bottom, right = (edge[None] for edge in edges)
    return ops.cast(_inside(top, left, bottom, right, size)[0], "float32")


def _inside(top: Any, left: Any, bottom: Any, right: Any, size: tuple[int, int]) -> Any:
    """(B,) edges -> (B, X, Y) booleans."""
    row = ops.arange(size[0], dtype="float32")[:, None]
    column = ops.arange(size[1], dtype="float32")
    top, left, bottom, right = (edge[:, None, None] for edge in (top, left, bottom, right))
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def _beta(alpha: float, uniform: Any) -> Any:
    """A number of Beta(alpha, alpha) for one in [0, 1): its quantile, from a table."""
    if alpha == 0:
        return ops.ones_like(uniform)
    table = _quantiles(alpha)
    place = uniform * (len(table) - 1)
    below = ops.floor(place)
    low, high = (ops.take(table, ops.cast(below + step, "int32")) for step in (0, 1))
    return low + (place - below) * (high - low)


@lru_cache
def _quantiles(alpha: float) -> np.ndarray:
    return stats.beta.ppf(np.linspace(0, 1, 4097), alpha, alpha).astype("float32")
