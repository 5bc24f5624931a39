"""Images and labels, split: a data set -> `Splits(train, validation, test, class_names)`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vit_keras import duplicates, sources
from vit_keras.config import DataConfig
from vit_keras.duplicates import Finding
from vit_keras.errors import SettingError
from vit_keras.sources import Known, Published, Split, stratified
from vit_keras.streams import FileImages


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
                if isinstance(array, FileImages):
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
        if isinstance(images, FileImages):
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


class Given(NamedTuple):
    """Images that a Python program handed over, in the place of a data set that is read."""

    train: Split
    validation: Split | None  # drawn from `train` where there is none
    test: Split | None
    class_names: list[str]

    @property
    def known(self) -> Known:
        rows, columns, channels = self.train.images.shape[1:]
        return Known((rows, columns), channels, len(self.class_names))


def load(config: DataConfig, seed: int, given: Given | None = None) -> Splits:
    """Read the data set `config.name`, unless it is given, and split it.

    `config.limit` bounds the published training split (which validation is then carved from, unless
    it was published too and bounded likewise) and the published test split, each,
    `config.train_limit` the former alone; the cuts are stratified by class and depend on `seed`
    alone. A folder's images are decoded last, if at all: those that were chosen.

    Raises:
        SettingError: the data is not there, is damaged, or is too small for these settings.
    """
    train, test, names, validation, findings = _whole(given) if given else sources.read(config)
    parts = [train, test] if validation is None else [train, test, validation]
    if config.classes is not None:
        chosen = class_indices(config.classes, names)
        parts = [_only(split, chosen) for split in parts]
        names = [names[index] for index in chosen]
    if config.limit is not None:
        parts = [_limited(split, config.limit, seed) for split in parts]
    train, test, *rest = parts
    if config.train_limit is not None:
        train = _limited(train, config.train_limit, seed)
    train, validation = (train, *rest) if rest else _carved(config, train, seed)
    return _decoded(config, Splits(train, validation, test, names, findings))


def _whole(given: Given) -> Published:
    train, test = sources.with_test(given.train, given.test)
    return Published(train, test, given.class_names, given.validation)


def _carved(config: DataConfig, train: Split, seed: int) -> tuple[Split, Split]:
    """What is left to train on, and the validation split."""
    count = validation_count(config, len(train.labels))
    picked = stratified(train.labels, count, np.random.default_rng([seed, 1]))
    rest = np.setdiff1d(np.arange(len(train.labels)), picked)
    return train.take(rest), train.take(picked)


def _decoded(config: DataConfig, splits: Splits) -> Splits:
    """A folder's splits: compared with each other, and in memory unless they are too large."""
    parts = {name: getattr(splits, name) for name in ("train", "validation", "test")}
    if not isinstance(splits.train.images, FileImages):
        return splits
    findings = (*splits.findings, *duplicates.across(parts, splits.class_names))
    if sum(split.images.nbytes for split in parts.values()) <= config.cache_mb * 1e6:
        parts = {name: Split(split.images.decoded(), split.labels) for name, split in parts.items()}
    return replace(splits, **parts, findings=findings)


def validation_count(config: DataConfig, images: int) -> int:
    """How many of so many training images are carved out for validation."""
    count = max(1, round(config.validation_fraction * images))
    if count >= images:
        limited = f" (data.limit={config.limit})" if config.limit is not None else ""
        raise SettingError(
            f"data.validation_fraction={config.validation_fraction:g} leaves none of {images} "
            f"images{limited} to train on; use less of a fraction, or more images"
        )
    return count


def _limited(split: Split, limit: int, seed: int) -> Split:
    if limit >= len(split.labels):
        return split
    return split.take(stratified(split.labels, limit, np.random.default_rng([seed, 0])))


def _only(split: Split, chosen: list[int]) -> Split:
    """The images of the chosen classes, relabelled 0, 1, ... in the order of choice."""
    relabel = np.full(max(split.labels.max(), *chosen) + 1, -1, np.int32)
    relabel[chosen] = np.arange(len(chosen))
    labels = relabel[split.labels]
    return Split(split.images, labels).take(np.flatnonzero(labels >= 0))


def class_indices(classes: list, class_names: list[str]) -> list[int]:
    """The numbers of classes given by name or by number; each once, at least two."""
    indices: list[int] = []
    for wanted in classes:
        name = str(wanted)
        if name not in class_names and not (name.isdecimal() and int(name) < len(class_names)):
            raise SettingError(
                f"data.classes has {name}, which is no class of this set; its classes are "
                f"0 to {len(class_names) - 1}: {', '.join(class_names)}"
            )
        index = class_names.index(name) if name in class_names else int(name)
        if index in indices:
            raise SettingError(f"data.classes names {class_names[index]} twice; name it once")
        indices.append(index)
    if len(indices) < 2:
        raise SettingError(f"data.classes={list(classes)} is no choice; name at least two classes")
    return indices


def _on_a_line(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
