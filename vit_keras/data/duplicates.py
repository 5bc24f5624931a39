"""Detect train/test leakage: exact and near-duplicate images across splits.

Equal files have equal SHA-256 hashes. Near-duplicates, resized or saved again, have difference
hashes of 64 bits that differ in two bits at most. Other images with a similar background can have
such hashes too, so each candidate pair is compared pixel by pixel at 32x32.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vit_keras.data.dataset import Finding, Split
from vit_keras.data.lazy_images import FileRecord, LazyImages

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
    label: int


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
        root = split.images.root
        files += [
            _LabelledFile(record, name, int(label))
            for record, label in zip(split.images.files, split.labels, strict=True)
        ]
    pairs = [*_exact_duplicates(files), *_near_duplicates(files, root)]
    return [_finding(problem, file, other, class_names) for problem, file, other in pairs]


def _finding(
    problem: str, file: _LabelledFile, other: _LabelledFile, class_names: list[str]
) -> Finding:
    return Finding(
        problem=problem,
        file=file.record.path,
        split=file.split,
        class_name=class_names[file.label],
        detail=DETAILS[problem],
        other_file=other.record.path,
        other_split=other.split,
        other_class=class_names[other.label],
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
    files: list[_LabelledFile], root: Path
) -> Iterator[tuple[str, _LabelledFile, _LabelledFile]]:
    """Each image of a later split with the first near-duplicate of it in an earlier split."""
    order = {split: rank for rank, split in enumerate(dict.fromkeys(file.split for file in files))}
    ranks = np.array([order[file.split] for file in files])
    hashes = np.array([file.record.dhash for file in files], np.uint64)
    thumbnails = LazyImages(root, [file.record for file in files], THUMBNAIL, "stretch", workers=1)
    pixels = functools.cache(lambda index: thumbnails[index].astype(np.int16))
    found: dict[int, int] = {}
    for part in HASH_PARTS:
        for group in _candidate_groups(hashes, hashes & part, ranks):
            for index in group[ranks[group] > ranks[group].min()]:
                earlier = group[ranks[group] < ranks[index]]
                near = np.bitwise_count(hashes[earlier] ^ hashes[index]) <= MAX_DISTANCE
                for other in earlier[near]:
                    is_copy = files[other].record.sha256 == files[index].record.sha256
                    if index in found or is_copy:
                        continue
                    if _is_same_image(pixels(index), pixels(other)):
                        found[index] = other
    for index, other in sorted(found.items()):
        yield "near_duplicate", files[index], files[other]


def _is_same_image(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails correlate, whatever their brightness and contrast."""
    return bool(np.corrcoef(one.ravel(), other.ravel())[0, 1] >= MIN_CORRELATION)


def _candidate_groups(
    hashes: np.ndarray, keys: np.ndarray, ranks: np.ndarray
) -> Iterator[np.ndarray]:
    """Indices of images with equal keys in several splits; a hash of 0 is of a flat image."""
    hashed = np.flatnonzero(hashes)
    order = hashed[np.argsort(keys[hashed], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(group) > 1 and ranks[group].min() != ranks[group].max():
            yield group
