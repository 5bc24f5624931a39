"""Images and labels, split: a known data set -> `Splits(train, validation, test, class_names)`.

Pixels stay uint8, decoded once and held in memory at the size they were published in; the training
step resizes on the device, so ViT-B/16 on CIFAR-10 costs 150 MB and not 7 GB.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vit_keras.config import DataConfig
from vit_keras.errors import SettingError


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


class Split(NamedTuple):
    """Images (n, X, Y, C) uint8 and their labels (n,) int32."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, index: np.ndarray) -> "Split":
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses by and is measured by; nothing is in two of the three."""

    train: Split
    validation: Split
    test: Split
    class_names: list[str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every pixel and label in order: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for array in split:
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

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
            rows += list(zip(self.class_names, *counts, strict=True))
        width = max(len(str(row[0])) for row in rows)
        return "\n".join(
            f"  {first:<{width}}" + "".join(f"{cell:>12}" for cell in rest)
            for first, *rest in [("", *names), *rows]
        )


def load(config: DataConfig, seed: int) -> Splits:
    """Read the data set `config.name` and split it.

    `config.limit` bounds the published training split (which validation is then carved from) and
    the published test split, each; both cuts are stratified by class and depend on `seed` alone.

    Raises:
        SettingError: the data is not there, is damaged, or is too small for these settings.
    """
    source = _digits if config.name == "digits" else _tfds
    train, test, names = source(config)
    if config.classes is not None:
        chosen = class_indices(config.classes, names)
        train, test = _only(train, chosen), _only(test, chosen)
        names = [names[index] for index in chosen]
    if config.limit is not None:
        train, test = (_limited(split, config.limit, seed) for split in (train, test))
    if len(train.labels) < 2:
        raise SettingError(
            f"data.limit={config.limit} leaves {len(train.labels)} images to train and validate on;"
            " use at least 2"
        )
    count = max(1, round(config.validation_fraction * len(train.labels)))
    if count == len(train.labels):
        raise SettingError(
            f"data.validation_fraction={config.validation_fraction:g} leaves none of "
            f"{len(train.labels)} images to train on; use less"
        )
    picked = stratified(train.labels, count, np.random.default_rng([seed, 1]))
    rest = np.setdiff1d(np.arange(len(train.labels)), picked)
    return Splits(train.take(rest), train.take(picked), test, names)


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


def _limited(split: Split, limit: int, seed: int) -> Split:
    if limit >= len(split.labels):
        return split
    return split.take(stratified(split.labels, limit, np.random.default_rng([seed, 0])))


def _only(split: Split, chosen: list[int]) -> Split:
    """The images of the chosen classes, relabelled 0, 1, ... in the order of choice."""
    relabel = np.full(max(split.labels.max(), *chosen) + 1, -1, np.int32)
    relabel[chosen] = np.arange(len(chosen))
    labels = relabel[split.labels]
    return Split(split.images[labels >= 0], labels[labels >= 0])


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


def class_names(config: DataConfig) -> list[str] | None:
    """The names of the whole set's classes, without reading an image; None if not known yet."""
    if config.name in ("digits", "mnist"):
        return [str(digit) for digit in range(10)]
    labels = sorted((tfds_root(config) / config.name).glob("*/label.labels.txt"))
    return labels[-1].read_text(encoding="utf-8").split("\n")[:-1] if labels else None


def _digits(config: DataConfig) -> tuple[Split, Split, list[str]]:
    """scikit-learn's 1,797 digits of 8x8 pixels. It has no test split: ours is a fifth of it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    whole = Split(images, digits.target.astype(np.int32))
    # A fixed draw, whatever the run's seed: every run is measured on the same 359 digits.
    test = stratified(whole.labels, 359, np.random.default_rng(0))
    train = np.setdiff1d(np.arange(len(images)), test)
    return whole.take(train), whole.take(test), [str(name) for name in digits.target_names]


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
            f"{config.name} under data.dir={root} is damaged ({reason}); delete that folder and "
            "prepare it again with data.download=true"
        ) from error
    return splits["train"], splits["test"], names


def tfds_root(config: DataConfig) -> Path:
    """Where TFDS keeps its sets: `data.dir`, else TFDS_DATA_DIR, else its own default."""
    import os

    return Path(
        config.dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()


def check_prepared(config: DataConfig) -> None:
    """Refuse a TFDS set that is absent or has lost files, without importing TensorFlow."""
    if config.name == "digits" or config.download:
        return
    root = tfds_root(config)
    if not (root / config.name).is_dir():
        raise SettingError(
            f"data.name={config.name} is not prepared under data.dir={root}; "
            f"{_by_hand(config.name)}"
        )
    infos = sorted((root / config.name).glob("*/dataset_info.json"))
    if not infos:
        raise SettingError(
            f"{root / config.name} holds no prepared version of {config.name} (no "
            "dataset_info.json); delete it and prepare it again with data.download=true"
        )
    _check_shards(infos[-1], config.name)


def _check_shards(info: Path, name: str) -> None:
    try:
        splits = {split["name"]: split for split in json.loads(info.read_text())["splits"]}
        shards = {key: len(splits[key]["shardLengths"]) for key in ("train", "test")}
    except (ValueError, KeyError, TypeError, OSError):
        raise SettingError(
            f"{info} is damaged; delete its folder and prepare {name} again with data.download=true"
        ) from None
    for key, count in shards.items():
        for index in range(count):
            shard = info.parent / f"{name}-{key}.tfrecord-{index:05d}-of-{count:05d}"
            if not shard.is_file() or not shard.stat().st_size:
                raise SettingError(
                    f"{shard} is missing or empty, so {name} is damaged; delete "
                    f"{info.parent} and prepare it again with data.download=true"
                )


def _by_hand(name: str) -> str:
    return (
        f"with a network, data.download=true fetches it; without one, prepare it elsewhere with "
        f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"`, copy "
        "~/tensorflow_datasets here, and set TFDS_DATA_DIR or data.dir to the copy"
    )
