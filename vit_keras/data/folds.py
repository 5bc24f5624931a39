"""Stratified folds of the training images, in which groups and equal images stay together."""

import numpy as np

from vit_keras.data import duplicates
from vit_keras.data.dataset import SourceData
from vit_keras.data.stratify import assign_parts
from vit_keras.errors import SettingError
from vit_keras.text import counted


def assign_folds(
    source: SourceData, count: int, seed: int, group_duplicates: str = "equal"
) -> np.ndarray:
    """(n,): the fold of each training image, 1 to `count`; classes have equal shares of each.

    Args:
        source: with the images that the folds are drawn from as `train`.
        count: number of folds.
        seed: of the draw.
        group_duplicates: the setting `data.group_duplicates`.

    Raises:
        SettingError: the data have a validation split, or a class has too few images or groups.
    """
    check_drawn("validation" in source.as_dict(), count)
    images, labels = source.train
    groups = duplicates.group_images(images, group_duplicates)
    if groups is None:
        groups = np.arange(len(labels))
    _check_classes(source, groups, count)
    rng = np.random.default_rng([seed, 2])
    sizes = np.bincount(labels, minlength=len(source.class_names))
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(sizes))]
    return 1 + assign_parts(labels, groups, orders, _quotas(sizes, count), rng, in_turn=True)


def check_drawn(has_validation: bool, count: int) -> None:
    """Refuse folds of data that say themselves what to validate on."""
    if has_validation:
        raise SettingError(
            f"train.folds={count}: the data have a validation split of their own; join it with the "
            "training images (a table: data.split_column=none), or leave train.folds out"
        )


def _check_classes(source: SourceData, groups: np.ndarray, count: int) -> None:
    named = getattr(source.train.images, "groups", None)
    unit = "different image[s]" if named is None else "group[s]"
    for label, name in enumerate(source.class_names):
        found = len({*groups[source.train.labels == label].tolist()})
        if found < count:
            way_out = f"use {found} folds or fewer, " if found > 1 else ""
            raise SettingError(
                f"train.folds={count}: {name} has {counted(found, unit)} to train on, fewer than "
                f"folds; {way_out}add images, or leave the class out by data.classes"
            )


def _quotas(sizes: np.ndarray, count: int) -> np.ndarray:
    """(K,) -> (K, P): equal shares; the remainder of a class goes to the folds after the last."""
    quotas = np.repeat(sizes[:, None] // count, count, axis=1)
    begin = 0
    for label, rest in enumerate(sizes % count):
        quotas[label, (begin + np.arange(rest)) % count] += 1
        begin += rest
    return quotas
