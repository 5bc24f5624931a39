"""Pictures that are in two splits, or under two labels: a test figure measured on them lies.

Equal files are found by their SHA-256. Nearly equal pictures, resized or saved again, are found by
their difference hashes: 64 bits each, of which two may differ. Hands before a wall have such hashes
too, so each pair is then compared pixel by pixel at 32x32.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vit_keras.data.dataset import Finding
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.readers.folder_scan import FileRecord

MAX_DISTANCE = 2  # bits
THUMBNAIL = (32, 32)
# Of two thumbnails. Photos of hands, 100 pixels a side, have 0.957 and more with themselves at 70
# and JPEG's quality 40, and 0.90 at most with another photo of a like hash.
MIN_CORRELATION = 0.95
# Hashes that differ in two bits agree in one of three shares of theirs. A share is every third bit,
# because whole rows are alike wherever the background is.
SHARES = [np.uint64(sum(1 << bit for bit in range(start, 64, 3))) for start in range(3)]


class _Place(NamedTuple):
    entry: FileRecord
    split: str
    label: int


def find_duplicates(
    splits: Mapping[str, tuple[LazyImages, np.ndarray]], class_names: list[str]
) -> list[Finding]:
    """What is in two splits, and what has two labels.

    Args:
        splits: images and labels (n,) of each, by name, the one to train on first.
        class_names: of the labels.

    Returns:
        a finding for each file of a later split that an earlier one has, and for each file whose
        equal has another label.
    """
    places = [
        _Place(entry, split, int(label))
        for split, (images, labels) in splits.items()
        for entry, label in zip(images.entries, labels, strict=True)
    ]
    images, _ = next(iter(splits.values()))
    pairs = [*_equal(places), *_nearly_equal(places, images.root)]
    return [_finding(problem, one, other, class_names) for problem, one, other in pairs]


def _finding(problem: str, one: _Place, other: _Place, class_names: list[str]) -> Finding:
    detail = {
        "duplicate": "the same file in another split",
        "near_duplicate": "nearly the same picture in another split",
        "two_labels": "the same file under another label",
    }[problem]
    return Finding(
        *(problem, one.entry.path, one.split, class_names[one.label], detail),
        *(other.entry.path, other.split, class_names[other.label]),
    )


def _equal(places: list[_Place]) -> Iterator[tuple[str, _Place, _Place]]:
    groups = defaultdict(list)
    for place in places:
        groups[place.entry.sha256].append(place)
    for first, *others in groups.values():
        for place in others:
            if place.split != first.split:
                yield "duplicate", place, first
            if place.label != first.label:
                yield "two_labels", place, first


def _nearly_equal(places: list[_Place], root: Path) -> Iterator[tuple[str, _Place, _Place]]:
    """Each picture of a later split beside the first like it of an earlier one."""
    order = {split: rank for rank, split in enumerate(dict.fromkeys(p.split for p in places))}
    ranks = np.array([order[place.split] for place in places])
    hashes = np.array([place.entry.dhash for place in places], np.uint64)
    thumbnails = LazyImages(root, [p.entry for p in places], THUMBNAIL, "stretch", workers=1)
    pixels = functools.cache(lambda index: thumbnails[index].astype(np.int16))
    like: dict[int, int] = {}
    for share in SHARES:
        for group in _groups(hashes, hashes & share, ranks):
            for index in group[ranks[group] > ranks[group].min()]:
                earlier = group[ranks[group] < ranks[index]]
                near = np.bitwise_count(hashes[earlier] ^ hashes[index]) <= MAX_DISTANCE
                for other in earlier[near]:
                    is_copy = places[other].entry.sha256 == places[index].entry.sha256
                    if index not in like and not is_copy and _agree(pixels(index), pixels(other)):
                        like[index] = other
    for index, other in sorted(like.items()):
        yield "near_duplicate", places[index], places[other]


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures are one, in whatever brightness and contrast."""
    return bool(np.corrcoef(one.ravel(), other.ravel())[0, 1] >= MIN_CORRELATION)


def _groups(hashes: np.ndarray, keys: np.ndarray, ranks: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of those with an equal key, from several splits; without those too flat to tell."""
    known = np.flatnonzero(hashes)
    order = known[np.argsort(keys[known], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(group) > 1 and ranks[group].min() != ranks[group].max():
            yield group
