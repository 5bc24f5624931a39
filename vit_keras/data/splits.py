"""Images and labels, split: a data set -> `Splits(train, validation, test, class_names)`."""

from dataclasses import replace

import numpy as np

from vit_keras import validators
from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates, registry
from vit_keras.data.dataset import InMemoryData, SourceData, Split, Splits, stratified_sample
from vit_keras.data.lazy_images import LazyImages
from vit_keras.errors import SettingError


def load_splits(config: DataConfig, seed: int, given: InMemoryData | None = None) -> Splits:
    """Read the data set `config.name`, unless it is given, and split it.

    `config.limit` bounds the published training split (which validation is then carved from, unless
    it was published too and bounded likewise) and the published test split, each,
    `config.train_limit` the former alone; the cuts are stratified by class and depend on `seed`
    alone. A folder's images are decoded last, if at all: those that were chosen.

    Raises:
        SettingError: the data is not there, is damaged, or is too small for these settings.
    """
    train, test, names, validation, findings = (
        _whole(given) if given else registry.read_dataset(config)
    )
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


def _whole(given: InMemoryData) -> SourceData:
    train, test = registry.with_test_split(given.train, given.test)
    return SourceData(train, test, given.class_names, given.validation)


def _carved(config: DataConfig, train: Split, seed: int) -> tuple[Split, Split]:
    """What is left to train on, and the validation split."""
    count = validation_count(config, len(train.labels))
    picked = stratified_sample(train.labels, count, np.random.default_rng([seed, 1]))
    rest = np.setdiff1d(np.arange(len(train.labels)), picked)
    return train.take(rest), train.take(picked)


def _decoded(config: DataConfig, splits: Splits) -> Splits:
    """A folder's splits: compared with each other, and in memory unless they are too large."""
    parts = {name: getattr(splits, name) for name in ("train", "validation", "test")}
    if not isinstance(splits.train.images, LazyImages):
        return splits
    findings = (*splits.findings, *duplicates.find_duplicates(parts, splits.class_names))
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
    return split.take(stratified_sample(split.labels, limit, np.random.default_rng([seed, 0])))


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


def image_size(config: DataConfig, own: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) in pixels that the model takes: as asked for, or the data's own."""
    if config.image_size is None:
        return own or registry.dataset_info(config).size
    return validators.height_and_width(config.image_size, "data.image_size")


def class_count(config: DataConfig, given: InMemoryData | None = None) -> int:
    """The number of classes that `data.classes` leaves of the data set's."""
    known = given.known if given else registry.dataset_info(config)
    if config.classes is None:
        return known.num_classes
    names = given.class_names if given else registry.class_names(config)
    return len(class_indices(config.classes, names) if names else config.classes)
