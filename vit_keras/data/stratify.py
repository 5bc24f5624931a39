"""Stratified draws that keep the images of a group, such as copies of one file, together.

n images, K classes, P parts: the splits that images are drawn into. Most groups have one image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def stratified_sample(
    labels: np.ndarray, count: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Sorted indices of `count` items, class proportions kept to within one: (n,) -> (count,).

    With `groups`, (n,), every group is drawn whole or not at all. Proportions are then kept as well
    as the groups allow; see `assign_parts`. Of several labels an image, (n, K), the rarest counts.
    """
    labels = rarest_labels(labels) if labels.ndim == 2 else labels
    # scikit-learn's splitter refuses samples with fewer items than classes, as smoke tests have.
    sizes = np.bincount(labels)
    exact = sizes * count / len(labels)
    quota = exact.astype(int)
    # The items that rounding down leaves go to the largest remainders, ties at random.
    remainders = (exact - quota).round(9) + rng.random(len(exact)) * 1e-9
    quota[np.argsort(-remainders)[: count - quota.sum()]] += 1
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(quota))]
    if groups is None:
        picked = [order[:number] for order, number in zip(orders, quota, strict=True)]
        return np.sort(np.concatenate(picked))
    quotas = np.stack([quota, sizes - quota], axis=1)
    return np.flatnonzero(assign_parts(labels, groups, orders, quotas, rng) == 0)


def rarest_labels(labels: np.ndarray) -> np.ndarray:
    """(n, K) of 0 and 1 -> (n,): the rarest label that each image has, and K where it has none.

    Rare labels are those that a draw by chance would leave out (Sechidis et al. 2011).
    """
    order = np.argsort(labels.sum(axis=0), kind="stable")
    ranked = np.column_stack([labels[:, order], np.ones(len(labels))])  # all have the last column
    return np.append(order, labels.shape[1])[ranked.argmax(axis=1)]


def assign_parts(
    labels: np.ndarray,
    groups: np.ndarray,
    orders: Sequence[np.ndarray],
    quotas: np.ndarray,
    rng: np.random.Generator,
    in_turn: bool = False,
) -> np.ndarray:
    """Assign each image to a part: labels (n,) and groups (n,) -> parts (n,).

    Each class gets its quotas exactly if it has enough images that are in no larger group. If it
    has s of them, and its largest group has g and is in no other class, a part has at most
    ((P - 1) g - s) / P images too many. Only to keep a part from being empty it may have more.

    Args:
        labels: the class of each image, 0 to K - 1.
        groups: a number for each image, equal for images that stay together.
        orders: the images of each class, in random order.
        quotas: (K, P); how many images of each class each part should have.
        rng: of the order in which groups of several images are placed.
        in_turn: deal the images of a class to the parts in turn; by default part 0 gets the first.
    """
    draw = _Draw(labels, groups, quotas)
    draw.place_groups(rng)
    draw.place_singles(orders, in_turn)
    draw.fill_empty_parts()
    return draw.parts


class _Group(NamedTuple):
    """Images that stay together: their indices, their classes, and how many are of each class."""

    images: np.ndarray
    classes: np.ndarray
    counts: np.ndarray


class _Draw:
    """Images on their way into parts.

    Attributes:
        parts: (n,); the part of each image, -1 as long as it has none.
        room: (K, P); how many more images of each class a part should get. Negative: too many.
        groups: those of several images.
    """

    def __init__(self, labels: np.ndarray, groups: np.ndarray, quotas: np.ndarray) -> None:
        self.labels, self.quotas, self.room = labels, quotas, quotas.copy()
        self.parts = np.full(len(labels), -1)
        self.is_single = np.bincount(groups)[groups] == 1
        grouped = np.flatnonzero(~self.is_single)
        grouped = grouped[np.argsort(groups[grouped], kind="stable")]
        starts = np.flatnonzero(np.diff(groups[grouped])) + 1
        self.groups = [self._group(images) for images in np.split(grouped, starts) if len(images)]

    def _group(self, images: np.ndarray) -> _Group:
        return _Group(images, *np.unique(self.labels[images], return_counts=True))

    def place_groups(self, rng: np.random.Generator) -> None:
        """Put each group where it fits best, in random order, and then move those that do not."""
        for index in rng.permutation(len(self.groups)):
            group = self.groups[index]
            excess, room = self._added_excess(group), self.room[group.classes].sum(axis=0)
            self._move(group, int(np.lexsort((-room, excess))[0]))
        while (self.room < 0).any() and self._reduce_excess():
            pass

    def _added_excess(self, group: _Group) -> np.ndarray:
        """(P,): by how much `group` would make each part exceed its quotas further."""
        room = self.room[group.classes]
        return (np.maximum(group.counts[:, None] - room, 0) - np.maximum(-room, 0)).sum(axis=0)

    def _reduce_excess(self) -> bool:
        """Move groups to where they exceed the quotas less; whether there was such a group."""
        has_moved = False
        for group in self.groups:
            old = self.parts[group.images[0]]
            room = self.room[group.classes, old]
            relief = (np.maximum(-room, 0) - np.maximum(-room - group.counts, 0)).sum()
            if relief == 0:
                continue
            excess = self._added_excess(group)
            excess[old] = relief
            if excess.min() < relief:
                self._move(group, int(excess.argmin()))
                has_moved = True
        return has_moved

    def place_singles(self, orders: Sequence[np.ndarray], in_turn: bool) -> None:
        """Fill the parts with the images that are in no group."""
        for label, order in enumerate(orders):
            singles = order[self.is_single[order]]
            turns = _turns(self.room[label], len(singles))
            self.parts[singles] = turns if in_turn else np.sort(turns)
            self.room[label] -= np.bincount(turns, minlength=self.room.shape[1])

    def fill_empty_parts(self) -> None:
        """Move the smallest group possible to where a class has none of the images it should."""
        for label, part in np.argwhere((self.quotas > 0) & (self.room == self.quotas)):
            if self.room[label, part] != self.quotas[label, part]:  # filled meanwhile
                continue
            singles = np.flatnonzero(self.is_single & (self.labels == label))
            groups = [self._group(singles[index : index + 1]) for index in range(len(singles))]
            groups += [group for group in self.groups if label in group.classes]
            movable = [group for group in groups if self._can_leave(group)]
            if movable:
                self._move(min(movable, key=lambda group: len(group.images)), part)

    def _can_leave(self, group: _Group) -> bool:
        """Whether the part that `group` is in has other images of each of its classes."""
        old = self.parts[group.images[0]]
        present = (self.quotas - self.room)[group.classes, old]
        return bool((present > group.counts).all())

    def _move(self, group: _Group, part: int) -> None:
        old = self.parts[group.images[0]]
        if old >= 0:
            self.room[group.classes, old] += group.counts
        self.room[group.classes, part] -= group.counts
        self.parts[group.images] = part


def _turns(room: np.ndarray, count: int) -> np.ndarray:
    """(P,) -> (count,): the part that gets the next image, each time the one with most room."""
    left = room.tolist()
    turns = []
    for _ in range(count):
        turns.append(left.index(max(left)))
        left[turns[-1]] -= 1
    return np.array(turns, int)
