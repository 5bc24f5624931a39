"""Data sets as values: images and labels, the splits of a source and the splits of a run."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vit_keras.data.image_hashes import ImageHashes, image_hashes
from vit_keras.data.lazy_images import LazyImages

MAX_CLASS_ROWS = 20  # of `Splits.table`; above, it shows the smallest and the largest class


class DatasetInfo(NamedTuple):
    """What is known of a data set before its images are read."""

    size: tuple[int, int]  # (height, width) in pixels
    channels: int
    num_classes: int


class Split(NamedTuple):
    """Images (n, X, Y, C) uint8, or float32 of 0 to 255, and their labels.

    Labels are classes, (n,) int32; or, where an image has several, (n, K) float32 of 0 and 1.
    """

    images: np.ndarray | LazyImages
    labels: np.ndarray

    def take(self, index: np.ndarray) -> "Split":
        """The images and labels at `index`; lazy images stay lazy."""
        if isinstance(self.images, LazyImages):
            return Split(self.images.take(index), self.labels[index])
        return Split(self.images[index], self.labels[index])

    def decoded(self) -> "Split":
        """The split with its images in memory."""
        if isinstance(self.images, LazyImages):
            return Split(self.images.decoded(), self.labels)
        return self

    def class_counts(self, classes: int) -> np.ndarray:
        """(classes,): the number of images of each class; labels of none are not counted."""
        if self.labels.ndim == 2:
            return self.labels.sum(axis=0).astype(int)
        is_class = (self.labels >= 0) & (self.labels < classes)
        return np.bincount(self.labels[is_class], minlength=classes)

    def of_class(self, label: int) -> np.ndarray:
        """Indices of the images of a class."""
        is_of_class = self.labels[:, label] if self.labels.ndim == 2 else self.labels == label
        return np.flatnonzero(is_of_class)

    def spread(self, count: int) -> np.ndarray:
        """Indices of up to `count` images of as many classes as possible, in the order of both.

        The first image of each class, then the second, and so on. Of more than `count` classes,
        evenly spaced ones.
        """
        firsts = self.labels.argmax(axis=1) if self.labels.ndim == 2 else self.labels
        order = np.argsort(firsts, kind="stable")
        classes, starts = np.unique(firsts[order], return_index=True)
        if len(classes) > count:
            return order[starts[np.linspace(0, len(classes) - 1, count).astype(int)]]
        rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
        chosen = order[np.argsort(rank, kind="stable")[:count]]
        return chosen[np.argsort(firsts[chosen], kind="stable")]


def label_text(label: Any, class_names: Sequence[str]) -> str:
    """The class of an image, or all of its labels (K,), by name: `cat` or `cat; dog`."""
    if np.ndim(label) == 0:
        return class_names[int(label)]
    return "; ".join(class_names[int(index)] for index in np.flatnonzero(label))


class Finding(NamedTuple):
    """A problem with a file: a row of `data_report.csv`."""

    problem: str  # one of `quality_report.SUMMARIES`
    file: str
    split: str
    class_name: str
    detail: str
    other_file: str = ""
    other_split: str = ""
    other_class: str = ""


class SourceData(NamedTuple):
    """A data set as its source splits it; `load_splits` draws the splits that are missing."""

    train: Split
    validation: Split | None
    test: Split | None
    class_names: list[str]
    findings: tuple[Finding, ...] = ()  # files that were skipped, or that one should look at
    bit_depth: int | None = None  # that samples of 16 bits were found to use, see `pixel_range`
    value_range: Any = None  # that was found for `data.value_range=auto`, or the setting

    @property
    def info(self) -> DatasetInfo:
        height, width, channels = self.train.images.shape[1:]
        return DatasetInfo((height, width), channels, len(self.class_names))

    @property
    def image_counts(self) -> dict[str, int]:
        """The number of images of each split that the source has."""
        return {name: len(split.labels) for name, split in self.as_dict().items()}

    def as_dict(self) -> dict[str, Split]:
        """The splits that the source has, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in parts.items() if split is not None}


@dataclass(frozen=True)
class Splits:
    """The three disjoint splits of a run: to train on, to select the best epoch by, to test on."""

    train: Split
    validation: Split
    test: Split
    class_names: list[str]
    findings: Sequence[Finding] = ()  # problems with the files of a folder
    bit_depth: int | None = None  # as in `SourceData`
    value_range: Any = None  # (low, high) or `window`, of images that are float32
    train_files: LazyImages | None = None  # of a folder, also where `train` is decoded

    def as_dict(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def image_counts(self) -> dict[str, int]:
        """The number of images of each split."""
        return {name: len(split.labels) for name, split in self.as_dict().items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of class names, pixels and labels in order; of lazy images, of their files."""
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for split in self.as_dict().values():
            for array in split:
                if isinstance(array, LazyImages):
                    digest.update(array.fingerprint.encode())
                    continue
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def train_hashes(self) -> ImageHashes:
        """Of the training images, by which an evaluation on other data knows them."""
        return image_hashes(self.train.images if self.train_files is None else self.train_files)

    @property
    def all(self) -> Split:
        """The images of the three splits, one after the other."""
        images, *others = (split.images for split in self.as_dict().values())
        labels = np.concatenate([split.labels for split in self.as_dict().values()])
        if isinstance(images, LazyImages):
            return Split(images.joined(*others), labels)  # type: ignore[arg-type]
        return Split(np.concatenate([images, *others]), labels)

    def table(self) -> str:
        """The number of images of each split and class, as printed before training."""
        classes = len(self.class_names)
        counts = [split.class_counts(classes) for split in self.as_dict().values()]
        rows: list[tuple] = [("images", *self.image_counts.values())]
        if classes > MAX_CLASS_ROWS:
            rows += [("a class", *(f"{count.min()} to {count.max()}" for count in counts))]
        else:
            rows += list(zip(map(_printable, self.class_names), *counts, strict=True))
        width = max(len(str(row[0])) for row in rows)
        return "\n".join(
            f"  {first:<{width}}" + "".join(f"{cell:>12}" for cell in rest)
            for first, *rest in [("", *self.as_dict()), *rows]
        )


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
