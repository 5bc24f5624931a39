"""Where images come from: by `data.name`, the room that reads them, and what is known before.

Pixels stay uint8, decoded once and held in memory at the size they were published in; the training
step resizes on the device, so ViT-B/16 on CIFAR-10 costs 150 MB and not 7 GB. TensorFlow is
imported only to read a TFDS set, not to check that it is there.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, SourceData, Split, stratified_sample
from vit_keras.data.readers import folder, folder_layout, npz, tfds, tfds_index
from vit_keras.data.readers.tfds_metadata import Facts
from vit_keras.errors import SettingError
from vit_keras.validators import height_and_width

log = logging.getLogger("vit_keras")


KNOWN = {
    "digits": DatasetInfo((8, 8), 1, 10),
    "mnist": DatasetInfo((28, 28), 1, 10),
    "cifar10": DatasetInfo((32, 32), 3, 10),
    "cifar100": DatasetInfo((32, 32), 3, 100),
}
OWN = ("digits", "folder", "npz", "arrays")  # every other name is one of TFDS
DIGITS_TEST_IMAGES = 359  # a fifth: scikit-learn has no test split of its own


def read_dataset(config: DataConfig) -> SourceData:
    """The data set `config.name`, whole; a folder's images still in their files.

    Where no test split is published, a fifth of the training split is, the same for every run.

    Raises:
        SettingError: the data set is not there, cannot be fetched, or is damaged.
    """
    _refuse_arrays(config)
    readers: dict[str, Any] = {"digits": _digits, "folder": _folder, "npz": _npz}
    return SourceData(*readers.get(config.name, _tfds)(config))


def dataset_info(config: DataConfig) -> DatasetInfo:
    """What is known of the data set of `config` before it is read.

    Raises:
        SettingError: it is not there, or its own description does not say enough.
    """
    _refuse_arrays(config)
    if config.name in KNOWN:
        return KNOWN[config.name]
    if config.name == "folder":
        return DatasetInfo(folder_layout.size(config), 3, len(folder_layout.class_names(config)))
    if config.name == "npz":
        facts = npz.facts(config)
        return DatasetInfo(facts.shape[:2], facts.shape[2], len(facts.class_names))
    described = _described(config)
    size = described.size or _asked_size(config)
    return DatasetInfo(size, described.channels, described.num_classes)


def class_names(config: DataConfig) -> list[str] | None:
    """The names of the whole set's classes, without reading an image; None if not known yet."""
    _refuse_arrays(config)
    if config.name == "folder":
        return folder_layout.class_names(config)
    if config.name == "npz":
        return npz.facts(config).class_names
    if config.name in ("digits", "mnist"):
        return [str(digit) for digit in range(10)]
    return tfds_index.class_names(config)


def check_prepared(config: DataConfig) -> int | None:
    """The size of the training split, without importing TensorFlow; None of a set to download.

    Raises:
        SettingError: a TFDS set is absent or has lost files.
    """
    _refuse_arrays(config)
    if config.name == "digits":
        return 1797 - DIGITS_TEST_IMAGES
    if config.name == "folder":
        files = folder_layout.files(config)
        images = sum(file.split in ("", "train") for file in files)
        return train_size_without_test(images, any(file.split == "test" for file in files))
    if config.name == "npz":
        counts = npz.facts(config).images
    elif config.download and tfds_index.prepared(config) is None:
        return None
    else:
        counts = tfds_index.check_prepared(config)
        if config.name in KNOWN and "test" not in counts:
            raise tfds_index.damaged(config)
    return train_size_without_test(counts["train"], len(counts) > 1)


def _refuse_arrays(config: DataConfig) -> None:
    if config.name == "arrays":
        raise SettingError(
            "data.name=arrays is data that a Python program hands over, by vit_keras.train_model("
            "config, data=...); there give the run's own again, or save arrays by np.savez and use "
            "data=npz"
        )


def _digits(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """scikit-learn's 1,797 digits of 8x8 pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    whole = Split(images, digits.target.astype(np.int32))
    train, test = _fixed_draw(whole.labels, DIGITS_TEST_IMAGES)
    return whole.take(train), whole.take(test), [str(name) for name in digits.target_names]


def _folder(config: DataConfig) -> SourceData:
    """A folder's images; a fifth of those to train on are the test split where it has none."""
    read, findings = folder.read(config)
    found = {name: Split(*split) for name, split in read.items()}
    train = found.get("train") or found[""]
    test = found.get("test")
    if test is None:
        train, test = map(train.take, _fixed_draw(train.labels, _fifth(len(train.labels))))
    names = folder_layout.class_names(config)
    return SourceData(train, test, names, found.get("validation"), tuple(findings))


def has_validation(config: DataConfig) -> bool:
    """Whether the set has a validation split of its own, so that none is carved out of `train`."""
    return config.name == "folder" and "validation" in folder_layout.splits(config)


def train_size_without_test(images: int, has_test: bool) -> int:
    """How many of so many images are left when those that are tested on are drawn from them."""
    return images if has_test else images - _fifth(images)


def _fifth(images: int) -> int:
    return max(1, round(images / 5))


def _fixed_draw(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and `count` to test on: the same draw whatever the run's seed."""
    test = stratified_sample(labels, count, np.random.default_rng(0))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _npz(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """The arrays of a file."""
    pairs, names, report = npz.read(config)
    log.info("%s: %s", config.path, report)
    return *_with_test(pairs), names


def _tfds(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """A set of TensorFlow Datasets; downloaded only when asked to."""
    size = _asked_size(config) if _has_many_sizes(config) else None
    splits, names = tfds.read(config, size)
    return *_with_test(splits), names


def with_test_split(train: Split, test: Split | None) -> tuple[Split, Split]:
    """The two as they are; without a test split, a fifth is drawn from `train`, always the same."""
    if test is not None:
        return train, test
    rest, held_out = _fixed_draw(train.labels, _fifth(len(train.labels)))
    return train.take(rest), train.take(held_out)


def _with_test(pairs: Mapping[str, tuple]) -> tuple[Split, Split]:
    return with_test_split(
        Split(*pairs["train"]), Split(*pairs["test"]) if "test" in pairs else None
    )


def _described(config: DataConfig) -> Facts:
    """What is said of a TFDS set by its own files, or by TFDS if it is still to be downloaded."""
    if config.download and tfds_index.prepared(config) is None:
        return tfds.described(config)
    return tfds_index.facts(config)


def _has_many_sizes(config: DataConfig) -> bool:
    return config.name not in KNOWN and _described(config).size is None


def _asked_size(config: DataConfig) -> tuple[int, int]:
    """(height, width) that images of many sizes are brought to."""
    if config.image_size is None:
        raise SettingError(
            f"data.image_size is not set, and the images of data.name={config.name} have no one "
            "size; set it, such as data.image_size=224"
        )
    return height_and_width(config.image_size, "data.image_size")
