"""Where images come from: scikit-learn's digits, a folder, sets of TensorFlow Datasets (TFDS).

Pixels stay uint8, decoded once and held in memory at the size they were published in; the training
step resizes on the device, so ViT-B/16 on CIFAR-10 costs 150 MB and not 7 GB. TensorFlow is
imported only to read a TFDS set, not to check that it is there.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras import folders, photos
from vit_keras.config import DataConfig
from vit_keras.duplicates import Finding
from vit_keras.errors import SettingError
from vit_keras.streams import FileImages


class Known(NamedTuple):
    """What is known of a data set before it is read."""

    size: tuple[int, int]  # (height, width) in pixels
    channels: int
    num_classes: int


KNOWN = {
    "digits": Known((8, 8), 1, 10),
    "mnist": Known((28, 28), 1, 10),
    "cifar10": Known((32, 32), 3, 10),
    "cifar100": Known((32, 32), 3, 100),
}
NAMES = (*KNOWN, "folder")
DIGITS_TEST_IMAGES = 359  # a fifth: scikit-learn has no test split of its own


class Split(NamedTuple):
    """Images (n, X, Y, C) uint8 and their labels (n,) int32."""

    images: np.ndarray | FileImages
    labels: np.ndarray

    def take(self, index: np.ndarray) -> "Split":
        """Those at `index`, decoded or not as they are."""
        in_files = isinstance(self.images, FileImages)
        images = self.images.take(index) if in_files else self.images[index]  # type: ignore
        return Split(images, self.labels[index])


class Published(NamedTuple):
    """A data set, whole, as it was split by those who made it."""

    train: Split
    test: Split
    class_names: list[str]
    validation: Split | None = None  # None: to be carved out of `train`
    findings: tuple[Finding, ...] = ()  # files that had to be left out


def read(config: DataConfig) -> Published:
    """The data set `config.name`, whole; a folder's images still in their files.

    Raises:
        SettingError: the data set is not there, cannot be fetched, or is damaged.
    """
    readers: dict[str, Any] = {"digits": _digits, "folder": _folder}
    return Published(*readers.get(config.name, _tfds)(config))


def known(config: DataConfig) -> Known:
    """What is known of the data set of `config` before it is read."""
    if config.name != "folder":
        return KNOWN[config.name]
    return Known(folders.size(config), 3, len(folders.class_names(config)))


def class_names(config: DataConfig) -> list[str] | None:
    """The names of the whole set's classes, without reading an image; None if not known yet."""
    if config.name == "folder":
        return folders.class_names(config)
    if config.name in ("digits", "mnist"):
        return [str(digit) for digit in range(10)]
    labels = sorted((tfds_root(config) / config.name).glob("*/label.labels.txt"))
    return labels[-1].read_text(encoding="utf-8").split("\n")[:-1] if labels else None


def stratified(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
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


def _digits(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """scikit-learn's 1,797 digits of 8x8 pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    whole = Split(images, digits.target.astype(np.int32))
    train, test = _fixed_draw(whole.labels, DIGITS_TEST_IMAGES)
    return whole.take(train), whole.take(test), [str(name) for name in digits.target_names]


def _folder(config: DataConfig) -> Published:
    """A folder's images; a fifth of those to train on are the test split where it has none."""
    read, findings = photos.read(config)
    found = {name: Split(*split) for name, split in read.items()}
    train = found.get("train") or found[""]
    test = found.get("test")
    if test is None:
        train, test = map(train.take, _fixed_draw(train.labels, _fifth(len(train.labels))))
    names = folders.class_names(config)
    return Published(train, test, names, found.get("validation"), tuple(findings))


def has_validation(config: DataConfig) -> bool:
    """Whether the set has a validation split of its own, so that none is carved out of `train`."""
    return config.name == "folder" and "validation" in folders.splits(config)


def _fifth(images: int) -> int:
    return max(1, round(images / 5))


def _fixed_draw(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and `count` to test on: the same draw whatever the run's seed."""
    test = stratified(labels, count, np.random.default_rng(0))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _tfds(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """A set of TensorFlow Datasets, read from `config.dir`; downloaded only when asked to."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    root = tfds_root(config)
    try:
        builder = tfds.builder(config.name, data_dir=str(root))
        if config.download:
            builder.download_and_prepare()
        splits = {}
        for name in ("train", "test"):
            dataset = builder.as_dataset(split=name, as_supervised=True)
            pairs = list(dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator())
            images, labels = zip(*pairs, strict=True)
            splits[name] = Split(np.stack(images), np.asarray(labels, np.int32))
        names = list(builder.info.features["label"].names)
        if len(names) != KNOWN[config.name].num_classes:
            raise ValueError(f"label.labels.txt has {len(names)} classes")
    except Exception as error:  # TFDS, TensorFlow and urllib share none for damage or no network
        reason = f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}"
        if config.download:
            raise SettingError(
                f"data.download=true could not fetch {config.name} ({reason}); "
                f"{_by_hand(config.name)}"
            ) from error
        raise SettingError(
            f"{config.name} under {''.join(_place(config))} is damaged ({reason}); delete that "
            "folder and prepare it again with data.download=true"
        ) from error
    return splits["train"], splits["test"], names


def tfds_root(config: DataConfig) -> Path:
    """Where TFDS keeps its sets: `data.dir`, else TFDS_DATA_DIR, else its own default."""
    return Path(_place(config)[1]).expanduser()


def _place(config: DataConfig) -> tuple[str, str]:
    """What says where TFDS keeps its sets, and what it says."""
    asked = {
        "data.dir=": config.dir,
        "TFDS_DATA_DIR=": os.environ.get("TFDS_DATA_DIR"),
        "": "~/tensorflow_datasets",
    }
    return next((name, place) for name, place in asked.items() if place)


def check_prepared(config: DataConfig) -> int | None:
    """The size of the training split, without importing TensorFlow; None of a set to download.

    Raises:
        SettingError: a TFDS set is absent or has lost files.
    """
    if config.name == "digits":
        return 1797 - DIGITS_TEST_IMAGES
    if config.name == "folder":
        files = folders.files(config)
        images = sum(file.split in ("", "train") for file in files)
        return images if any(file.split == "test" for file in files) else images - _fifth(images)
    if config.download:
        return None
    root = tfds_root(config)
    if not (root / config.name).is_dir():
        raise SettingError(
            f"data.name={config.name} is not prepared under {''.join(_place(config))}; "
            f"{_by_hand(config.name)}"
        )
    infos = sorted((root / config.name).glob("*/dataset_info.json"))
    if not infos:
        raise SettingError(
            f"{root / config.name} holds no prepared version of {config.name} (no "
            "dataset_info.json); delete it and prepare it again with data.download=true"
        )
    return _check_shards(infos[-1], config.name)["train"]


def _check_shards(info: Path, name: str) -> dict[str, int]:
    """The images of each split, as its file says, whose shards are all there."""
    try:
        splits = {split["name"]: split for split in json.loads(info.read_text())["splits"]}
        shards = {key: [int(n) for n in splits[key]["shardLengths"]] for key in ("train", "test")}
    except (ValueError, KeyError, TypeError, OSError):
        raise SettingError(
            f"{info} is damaged; delete its folder and prepare {name} again with data.download=true"
        ) from None
    for key, lengths in shards.items():
        for index in range(len(lengths)):
            shard = info.parent / f"{name}-{key}.tfrecord-{index:05d}-of-{len(lengths):05d}"
            if not shard.is_file() or not shard.stat().st_size:
                raise SettingError(
                    f"{shard} is missing or empty, so {name} is damaged; delete "
                    f"{info.parent} and prepare it again with data.download=true"
                )
    return {key: sum(lengths) for key, lengths in shards.items()}


def _by_hand(name: str) -> str:
    return (
        f"with a network, data.download=true fetches it; without one, prepare it elsewhere with "
        f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"`, copy "
        "~/tensorflow_datasets here, and set TFDS_DATA_DIR or data.dir to the copy"
    )
