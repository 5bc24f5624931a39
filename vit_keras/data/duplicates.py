"""Exact and near-duplicate images: group those of one split, detect those across splits (leakage).

Equal files have equal SHA-256 hashes. Near-duplicates, resized or saved again, have difference
hashes of 64 bits that differ in two bits at most. Other images with a similar background can have
such hashes too, so each candidate pair is compared pixel by pixel at 32x32.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from vit_keras.data.dataset import Finding, Split, label_text
from vit_keras.data.image_hashes import image_digests
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.readers.folder_scan import dhash
from vit_keras.data.value_range import preview

MAX_DISTANCE = 2  # bits
THUMBNAIL = (32, 32)
# Of two thumbnails. Photos of hands, 100 pixels a side, have at least 0.957 with themselves at 70
# pixels and JPEG quality 40, and at most 0.90 with another photo of a similar hash.
MIN_CORRELATION = 0.95
# Hashes that differ in two bits are equal in at least one of three parts. A part is every third
# bit, because whole rows are equal in images with the same background.
HASH_PARTS = [np.uint64(sum(1 << bit for bit in range(start, 64, 3))) for start in range(3)]
DETAILS = {
    "duplicate": "the same file in another split",
    "near_duplicate": "nearly the same image in another split",
    "two_labels": "the same file under another label",
}


class _LabelledFile(NamedTuple):
    record: FileRecord
    split: str
    label: str  # of its class, or of its labels


def group_images(images: np.ndarray | LazyImages, group_duplicates: str) -> np.ndarray | None:
    """(n, X, Y, C) -> (n,): numbers that are equal for images that belong to one split.

    Those that `data.group_column` puts together are joined with the copies of one another.

    Args:
        images: of files, compared by their SHA-256, or arrays, compared by their pixels.
        group_duplicates: `equal`; `near`, with near-duplicates and in turn those of them; or
            `none`.

    Returns:
        the numbers; None if every image is for itself.
    """
    named = images.groups if isinstance(images, LazyImages) else None
    if group_duplicates == "none":
        return None if named is None else np.unique(named, return_inverse=True)[1]
    numbers: dict[bytes, int] = {}
    digests = image_digests(images)
    groups = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], int)
    if group_duplicates == "near":
        groups = _join_near_duplicates(groups, images)
    return groups if named is None else join_groups(groups, named)


class _Forest:
    """Groups 0 to n - 1 on their way into larger ones, each a tree (union-find)."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def root(self, group: int) -> int:
        while self.parents[group] != group:
            self.parents[group] = self.parents[self.parents[group]]
            group = self.parents[group]
        return group

    def join(self, one: int, other: int) -> None:
        self.parents[self.root(one)] = self.root(other)

    @property
    def roots(self) -> np.ndarray:
        return np.array([self.root(group) for group in range(len(self.parents))], int)


def join_groups(groups: np.ndarray, named: np.ndarray) -> np.ndarray:
    """(n,), (n,) -> (n,): equal for images that either grouping puts together, also in turn.

    Args:
        groups: numbers from 0 on.
        named: anything that can be a key.
    """
    forest, firsts = _Forest(int(groups.max(initial=-1)) + 1), dict[object, int]()
    for group, name in zip(groups.tolist(), named.tolist(), strict=True):
        forest.join(group, firsts.setdefault(name, group))
    return forest.roots[groups]


def _join_near_duplicates(groups: np.ndarray, images: np.ndarray | LazyImages) -> np.ndarray:
    """(n,) -> (n,): the groups, joined where one image of each nearly equals one of the other."""
    _, firsts = np.unique(groups, return_index=True)  # all images of a group are equal
    hashes, thumbnail = _hashes_and_thumbnails(images, firsts)
    forest = _Forest(len(firsts))
    for one, other in _candidate_pairs(hashes, np.arange(len(firsts))):
        is_apart = forest.root(one) != forest.root(other)
        if is_apart and _is_same_image(thumbnail(one), thumbnail(other)):
            forest.join(one, other)
    return forest.roots[groups]


def _hashes_and_thumbnails(
    images: np.ndarray | LazyImages, chosen: np.ndarray
) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
    """Difference hashes (m,) of the chosen images, and a function of 0 to m - 1 -> thumbnail."""
    if isinstance(images, LazyImages):
        files = list(images.files[chosen])
        hashes = [file.dhash for file in files]
        small = LazyImages(images.source, files, THUMBNAIL, "stretch", 1, images.options)
        return np.array(hashes, np.uint64), functools.cache(lambda n: small[n].astype(np.int16))
    shown = images.__getitem__ if images.dtype == np.uint8 else lambda n: _levels(images[n])
    hashes = [dhash(_grey(shown(index))) for index in chosen]

    def thumbnail(number: int) -> np.ndarray:
        resized = cv2.resize(shown(chosen[number]), THUMBNAIL, interpolation=cv2.INTER_AREA)
        return resized.astype(np.int16)

    return np.array(hashes, np.uint64), functools.cache(thumbnail)


def _levels(values: np.ndarray) -> np.ndarray:
    """(X, Y, C) of any values -> (X, Y, 1) uint8."""
    return preview(values)[..., None]


def _grey(image: np.ndarray) -> np.ndarray:
    """(X, Y, C) -> (X, Y)."""
    if image.shape[-1] == 1:
        return image[..., 0]
    return cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)


def find_duplicates(splits: Mapping[str, Split], class_names: list[str]) -> list[Finding]:
    """Find images that are in two splits, and files that have two labels.

    Args:
        splits: of lazy images, by name, the training split first.
        class_names: of the labels.

    Returns:
        a finding for each file of a later split that an earlier split has too, and for each file
        whose copy has another label.
    """
    files: list[_LabelledFile] = []
    for name, split in splits.items():
        assert isinstance(split.images, LazyImages)
        images = split.images
        files += [
            _LabelledFile(record, name, label_text(label, class_names))
            for record, label in zip(images.files, split.labels, strict=True)
        ]
    pairs = [*_exact_duplicates(files), *_near_duplicates(files, images)]
    return [_finding(problem, file, other) for problem, file, other in pairs]


def _finding(problem: str, file: _LabelledFile, other: _LabelledFile) -> Finding:
    return Finding(
        problem=problem,
        file=file.record.path,
        split=file.split,
        class_name=file.label,
        detail=DETAILS[problem],
        other_file=other.record.path,
        other_split=other.split,
        other_class=other.label,
    )


def _exact_duplicates(
    files: list[_LabelledFile],
) -> Iterator[tuple[str, _LabelledFile, _LabelledFile]]:
    groups = defaultdict(list)
    for file in files:
        groups[file.record.sha256].append(file)
    for first, *others in groups.values():
        for file in others:
            if file.split != first.split:
                yield "duplicate", file, first
            if file.label != first.label:
                yield "two_labels", file, first


def _near_duplicates(
    files: list[_LabelledFile], images: LazyImages
) -> Iterator[tuple[str, _LabelledFile, _LabelledFile]]:
    """Each image of a later split with the first near-duplicate of it in an earlier split."""
    order = {split: rank for rank, split in enumerate(dict.fromkeys(file.split for file in files))}
    ranks = np.array([order[file.split] for file in files])
    records = [file.record for file in files]
    thumbnails = LazyImages(images.source, records, THUMBNAIL, "stretch", 1, images.options)
    hashes, thumbnail = _hashes_and_thumbnails(thumbnails, np.arange(len(files)))
    found: dict[int, int] = {}
    for index, other in _candidate_pairs(hashes, ranks):
        is_copy = files[other].record.sha256 == files[index].record.sha256
        if index in found or is_copy:
            continue
        if _is_same_image(thumbnail(index), thumbnail(other)):
            found[index] = other
    for index, other in sorted(found.items()):
        yield "near_duplicate", files[index], files[other]


def _is_same_image(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails correlate, whatever their brightness and contrast."""
    return bool(np.corrcoef(one.ravel(), other.ravel())[0, 1] >= MIN_CORRELATION)


def _candidate_pairs(hashes: np.ndarray, ranks: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of images with nearly equal hashes, the one of higher rank first; some come twice."""
    for part in HASH_PARTS:
        for group in _candidate_groups(hashes, hashes & part, ranks):
            for index in group[ranks[group] > ranks[group].min()]:
                earlier = group[ranks[group] < ranks[index]]
                near = np.bitwise_count(hashes[earlier] ^ hashes[index]) <= MAX_DISTANCE
                yield from ((index, other) for other in earlier[near])


def _candidate_groups(
    hashes: np.ndarray, keys: np.ndarray, ranks: np.ndarray
) -> Iterator[np.ndarray]:
    """Indices of images of several ranks with equal keys; a hash of 0 is of a flat image."""
    hashed = np.flatnonzero(hashes)
    order = hashed[np.argsort(keys[hashed], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(group) > 1 and ranks[group].min() != ranks[group].max():
            yield group
