"""Images and labels: a split, the three splits of a run, and what is known of a data set."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vit_keras.data.lazy_images import LazyImages


class Finding(NamedTuple):
    """Something wrong with a file: a row of `data_report.csv`."""

    problem: str  # skipped, duplicate, near_duplicate or two_labels
    file: str
    split: str
    class_name: str
    detail: str
    other_file: str = ""
    other_split: str = ""
    other_class: str = ""


class DatasetInfo(NamedTuple):
    """What is known of a data set before it is read."""

    size: tuple[int, int]  # (height, width) in pixels
    channels: int
    num_classes: int


class Split(NamedTuple):
    """Images (n, X, Y, C) uint8 and their labels (n,) int32."""

    images: np.ndarray | LazyImages
    labels: np.ndarray

    def take(self, index: np.ndarray) -> "Split":
        """Those at `index`, decoded or not as they are."""
        in_files = isinstance(self.images, LazyImages)
        images = self.images.take(index) if in_files else self.images[index]  # type: ignore
        return Split(images, self.labels[index])


class SourceData(NamedTuple):
    """A data set, whole, as it was split by those who made it."""

    train: Split
    test: Split
    class_names: list[str]
    validation: Split | None = None  # None: to be carved out of `train`
    findings: tuple[Finding, ...] = ()  # files that had to be left out


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses by and is measured by; nothing is in two of the three."""

    train: Split
    validation: Split
    test: Split
    class_names: list[str]
    findings: Sequence[Finding] = ()  # what is wrong with the files of a folder

    @property
    def fingerprint(self) -> str:
        """SHA-256 over class names, pixels and labels in order: equal data, equal fingerprint.

        Of images that are still in files, over the files.
        """
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for split in (self.train, self.validation, self.test):
            for array in split:
                if isinstance(array, LazyImages):
                    digest.update(array.fingerprint.encode())
                    continue
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def all(self) -> Split:
        """Every image: those to train on, those to choose by, those to test on."""
        images, *others = (part.images for part in (self.train, self.validation, self.test))
        labels = np.concatenate([self.train.labels, self.validation.labels, self.test.labels])
        if isinstance(images, LazyImages):
            return Split(images.joined(*others), labels)  # type: ignore[arg-type]
        return Split(np.concatenate([images, *others]), labels)

    def table(self) -> str:
        """Sizes and class counts, as printed before training."""
        names = ("train", "validation", "test")
        counts = [
            np.bincount(getattr(self, name).labels, minlength=len(self.class_names))
            for name in names
        ]
        rows: list[tuple] = [("images", *(int(count.sum()) for count in counts))]
        if len(self.class_names) > 20:
            rows += [("a class", *(f"{count.min()} to {count.max()}" for count in counts))]
        else:
            rows += list(zip(map(_on_a_line, self.class_names), *counts, strict=True))
        width = max(len(str(row[0])) for row in rows)
        return "\n".join(
            f"  {first:<{width}}" + "".join(f"{cell:>12}" for cell in rest)
            for first, *rest in [("", *names), *rows]
        )


class InMemoryData(NamedTuple):
    """Images that a Python program handed over, in the place of a data set that is read."""

    train: Split
    validation: Split | None  # drawn from `train` where there is none
    test: Split | None
    class_names: list[str]

    @property
    def known(self) -> DatasetInfo:
        rows, columns, channels = self.train.images.shape[1:]
        return DatasetInfo((rows, columns), channels, len(self.class_names))


def _on_a_line(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def stratified_sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted indices of `count` items, each class in its share to within one: (n,) -> (count,).

    scikit-learn's splitter refuses sets with fewer items than classes, which a smoke test has.
    """
    shares = np.bincount(labels) * count / len(labels)
    quota = shares.astype(int)
    # What rounding down left over goes to the largest remainders, ties by lot.
    remainders = (shares - quota).round(9) + rng.random(len(shares)) * 1e-9
    quota[np.argsort(-remainders)[: count - quota.sum()]] += 1
    picked = [
        rng.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in enumerate(quota)
    ]
    return np.sort(np.concatenate(picked))
