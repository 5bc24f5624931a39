"""Train, validation and test splits of a run: read a data set and draw the splits it lacks.

Every draw is stratified by class and keeps equal images together (`data.group_duplicates`). A
missing test split is a fifth of the training split and the same for every seed; the validation
split depends on the seed, as do the folds of `data.fold`.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vit_keras import validators
from vit_keras.config.folds import parse_fold
from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates, registry
from vit_keras.data.dataset import SourceData, Split, Splits
from vit_keras.data.folds import assign_folds, check_drawn
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.stratify import stratified_sample
from vit_keras.data.training_range import in_value_range
from vit_keras.errors import SettingError
from vit_keras.text import counted


class OnlyCopiesError(SettingError):
    """Copies of too few images: none can be held out without one in the other split."""


def load_splits(config: DataConfig, seed: int, data: SourceData | None = None) -> Splits:
    """Read the data set `config.name` and split it.

    `config.limit` bounds the training split (before validation images are drawn from it), the test
    split and a validation split of the source, each; `config.train_limit` bounds the training split
    alone. The images of a folder are decoded last, and only those that are used.

    Args:
        config: of the data.
        seed: of the validation split and of the limits.
        data: in-memory data, used instead of reading `config.name`.

    Raises:
        SettingError: the data set is absent, damaged, or too small for these settings.
    """
    source = read_source(config, seed, data)
    parts: dict[str, Split] = source.as_dict()
    if config.fold is not None:
        number, count = parse_fold(config.fold)
        folds = assign_folds(source, count, seed, config.group_duplicates)
        parts["validation"] = source.train.take(np.flatnonzero(folds == number))
        parts["train"] = source.train.take(np.flatnonzero(folds != number))
    elif "validation" not in parts:
        count = validation_count(config, len(parts["train"].labels))
        rng = np.random.default_rng([seed, 1])
        parts["train"], parts["validation"] = _hold_out(
            parts["train"], count, rng, config.group_duplicates, "validation"
        )
    images = parts["train"].images
    splits = Splits(
        **parts,
        class_names=source.class_names,
        findings=source.findings,
        bit_depth=source.bit_depth,
        value_range=source.value_range,
        train_files=images if isinstance(images, LazyImages) else None,
    )
    return _decode_folder(config, in_value_range(splits))


def read_source(config: DataConfig, seed: int, data: SourceData | None = None) -> SourceData:
    """What `load_splits` draws validation images from: with a test split, classes and limits.

    Raises:
        SettingError: as `load_splits`.
    """
    source = with_test_split(
        registry.read_dataset(config) if data is None else data, config.group_duplicates
    )
    parts, class_names = source.as_dict(), source.class_names
    if config.classes is not None:
        chosen = class_indices(config.classes, class_names)
        parts = {name: _select_classes(split, chosen) for name, split in parts.items()}
        class_names = [class_names[index] for index in chosen]
    if config.limit is not None:
        parts = {name: _subsample(split, config.limit, seed) for name, split in parts.items()}
    if config.train_limit is not None:
        parts["train"] = _subsample(parts["train"], config.train_limit, seed)
    return SourceData(
        parts["train"],
        parts.get("validation"),
        parts["test"],
        class_names,
        source.findings,
        source.bit_depth,
        source.value_range,
    )


def with_test_split(data: SourceData, group_duplicates: str = "equal") -> SourceData:
    """`data`, with a fifth of `train` held out as test split if it has none.

    The draw is the same for every seed, so that runs with other seeds have the same test split.

    Args:
        data: as its source splits it.
        group_duplicates: the setting `data.group_duplicates`.

    Raises:
        OnlyCopiesError: the images are copies of one, or each class is of one.
    """
    if data.test is not None:
        return data
    count = _test_count(len(data.train.labels))
    rng = np.random.default_rng(0)
    train, test = _hold_out(data.train, count, rng, group_duplicates, "test")
    return data._replace(train=train, test=test)


def train_image_count(config: DataConfig, counts: Mapping[str, int]) -> int:
    """The number of images to train on, after the limits and the draws of `load_splits`.

    It may be off by a few where images are copies of one another, which are drawn together.

    Args:
        config: of the data; `classes` is ignored, because its effect is known from labels alone.
        counts: the number of images of each split that the source has.

    Raises:
        SettingError: validation images would be all there are.
    """
    images = counts["train"]
    if "test" not in counts:
        images -= _test_count(images)
    for limit in (config.limit, config.train_limit):
        if limit is not None:
            images = min(images, limit)
    if config.fold is not None:
        _, folds = parse_fold(config.fold)
        check_drawn("validation" in counts, folds)
        images -= images // folds
    elif "validation" not in counts:
        images -= validation_count(config, images)
    return images


def validation_count(config: DataConfig, images: int) -> int:
    """The number of validation images drawn from a training split of `images`."""
    count = max(1, round(config.validation_fraction * images))
    if count >= images:
        limited = f" (data.limit={config.limit})" if config.limit is not None else ""
        raise SettingError(
            f"data.validation_fraction={config.validation_fraction:g} leaves none of "
            f"{counted(images, 'image[s]')}{limited} to train on; add images, ten of each class "
            "at least, or use a smaller fraction"
        )
    return count


def _test_count(images: int) -> int:
    return max(1, round(images / 5))


def _hold_out(
    split: Split, count: int, rng: np.random.Generator, group_duplicates: str, name: str
) -> tuple[Split, Split]:
    """The images of `split` that remain, and about `count` that are drawn as the split `name`."""
    groups = duplicates.group_images(split.images, group_duplicates)
    held_out = stratified_sample(split.labels, count, rng, groups)
    remaining = np.setdiff1d(np.arange(len(split.labels)), held_out)
    is_divided = len(held_out) and len(remaining)
    if groups is not None and count < len(split.labels) and not is_divided:
        if getattr(split.images, "groups", None) is not None:
            raise OnlyCopiesError(
                f"no {name} split can be drawn from {len(split.labels)} images of "
                f"{counted(len(np.unique(groups)), 'group[s]')}, as data.group_column has it; add "
                "images of other groups, or leave data.group_column out"
            )
        raise OnlyCopiesError(
            f"no {name} split can be drawn from {len(split.labels)} images that are copies of "
            f"{len(np.unique(groups))} (data.group_duplicates={group_duplicates}); add other "
            "images, or set data.group_duplicates=none"
        )
    return split.take(remaining), split.take(held_out)


def _subsample(split: Split, limit: int, seed: int) -> Split:
    if limit >= len(split.labels):
        return split
    return split.take(stratified_sample(split.labels, limit, np.random.default_rng([seed, 0])))


def _select_classes(split: Split, chosen: list[int]) -> Split:
    """The images of the chosen classes, relabelled 0, 1, ... in the order of `chosen`.

    Where images have several labels, those without any of all classes are kept too.
    """
    if split.labels.ndim == 2:
        labels = split.labels[:, chosen]
        is_kept = labels.any(axis=1) | ~split.labels.any(axis=1)
        return Split(split.images, labels).take(np.flatnonzero(is_kept))
    relabel = np.full(max(split.labels.max(), *chosen) + 1, -1, np.int32)
    relabel[chosen] = np.arange(len(chosen))
    labels = relabel[split.labels]
    return Split(split.images, labels).take(np.flatnonzero(labels >= 0))


def _decode_folder(config: DataConfig, splits: Splits) -> Splits:
    """Search a folder's splits for duplicates, and decode them if they fit in `data.cache_mb`."""
    if not isinstance(splits.train.images, LazyImages):
        return splits
    duplicate_findings = duplicates.find_duplicates(splits.as_dict(), splits.class_names)
    splits = replace(splits, findings=(*splits.findings, *duplicate_findings))
    if sum(split.images.nbytes for split in splits.as_dict().values()) > config.cache_mb * 1e6:
        return splits
    return replace(
        splits,
        train=splits.train.decoded(),
        validation=splits.validation.decoded(),
        test=splits.test.decoded(),
    )


def class_indices(classes: list, class_names: list[str]) -> list[int]:
    """The indices of classes that are named or numbered; each once, at least two."""
    indices: list[int] = []
    for wanted in classes:
        name = str(wanted)
        if name not in class_names and not (name.isdecimal() and int(name) < len(class_names)):
            raise SettingError(
                f"data.classes has {name}, which is no class of this data set; its classes are "
                f"0 to {len(class_names) - 1}: {', '.join(class_names)}"
            )
        index = class_names.index(name) if name in class_names else int(name)
        if index in indices:
            raise SettingError(f"data.classes names {class_names[index]} twice; name it once")
        indices.append(index)
    if len(indices) < 2:
        raise SettingError(f"data.classes={list(classes)} has one class; name at least two")
    return indices


def image_size(config: DataConfig, default: tuple[int, int] | None = None) -> tuple[int, int]:
    """The model's input size (height, width): `data.image_size`, or the size of the images."""
    if config.image_size is None:
        return default or registry.dataset_info(config).size
    return validators.height_and_width(config.image_size, "data.image_size")


def class_count(config: DataConfig, data: SourceData | None = None) -> int:
    """The number of classes of the data set that `data.classes` keeps."""
    info = registry.dataset_info(config) if data is None else data.info
    if config.classes is None:
        return info.num_classes
    return len(class_names(config, data) or config.classes)


def class_names(config: DataConfig, data: SourceData | None = None) -> list[str] | None:
    """The names of the classes that `data.classes` keeps; None if they are not known yet."""
    names = registry.class_names(config) if data is None else data.class_names
    if not names or config.classes is None:
        return names
    return [names[index] for index in class_indices(config.classes, names)]
