"""Which training images an epoch has, and in which order (`data.sampling`).

n images, K classes, n_c images of class c.
"""

from collections.abc import Sequence

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.text import abbreviated_list

# The share of class c in an epoch is proportional to n_c to this power. sqrt: Mahajan et al. 2018,
# "Exploring the limits of weakly supervised pretraining".
POWERS = {"balanced": 0.0, "sqrt": 0.5}


def epoch_order(labels: np.ndarray, sampling: str, rng: np.random.Generator) -> np.ndarray:
    """(n,) labels -> (n,) indices: the images of an epoch in random order.

    Each once (none), or each class as often as every other (balanced), or in proportion to the
    root of its images (sqrt). The images of a class are drawn equally often, or once more: a large
    class gives some of its images, others in the next epoch, and a small one all of them, several
    times.
    """
    if sampling == "none":
        return rng.permutation(len(labels))
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts ** POWERS[sampling] / (counts ** POWERS[sampling]).sum()
    quotas = np.diff(np.round(len(labels) * np.cumsum(shares)).astype(int), prepend=0)
    # Stable, so that the draw is the same on every platform.
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    drawn = [_draw(own, quota, rng) for own, quota in zip(members, quotas, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def _draw(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(images) for _ in range(-(-count // len(images)))]
    return np.concatenate([images[:0], *rounds])[:count]


def check_classes(labels: np.ndarray, class_names: Sequence[str], sampling: str) -> None:
    """Refuse classes that cannot be drawn from.

    Raises:
        SettingError: a class has no image to train on.
    """
    if sampling == "none":
        return
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
    if empty := [name for name, count in zip(class_names, counts, strict=False) if not count]:
        raise SettingError(
            f"data.sampling={sampling} cannot draw images of {abbreviated_list(empty)}: there are "
            "none to train on; add some, leave the class out by data.classes, or set "
            "data.sampling=none"
        )
