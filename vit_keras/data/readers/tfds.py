"""What TensorFlow Datasets (TFDS) does itself: describe a set, fetch and prepare it, read it."""

import importlib.util
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data import resize
from vit_keras.data.readers import tfds_index
from vit_keras.data.readers.tfds_metadata import CATALOG, TEST_SPLITS, Facts, facts_of
from vit_keras.errors import SettingError
from vit_keras.text import first_line

NETWORK_SECONDS = 5  # to wait for an answer; TFDS on its own tries for minutes
Arrays = tuple[np.ndarray, np.ndarray]  # images (n, X, Y, C) uint8 and labels (n,) int32


def builder(config: DataConfig) -> Any:
    """TFDS' builder of the set that `config` names, prepared or not.

    Raises:
        SettingError: there is none, or no TFDS.
    """
    tfds = _imported(config.name)
    try:
        return tfds.builder(config.name, data_dir=str(tfds_index.tfds_root(config)))
    except Exception as error:  # of many kinds, and as long as the list of all sets
        tfds_index.check_listed(config.name)
        raise SettingError(
            f"data.name={config.name} cannot be had of TFDS ({_reason(error)}); see {CATALOG}"
        ) from None


def described(config: DataConfig) -> Facts:
    """Sizes and classes of a set that may not be prepared yet.

    Raises:
        SettingError: there is no such set, or it is no image classification.
    """
    return _facts_of(builder(config), config.name)


def prepare(config: DataConfig) -> None:
    """Fetch and prepare a set. TFDS does so in a folder beside, which becomes the set when whole.

    Raises:
        SettingError: it cannot be fetched, within seconds where there is no network.
    """
    found = builder(config)
    way_out = tfds_index.elsewhere(config.name)
    if found.MANUAL_DOWNLOAD_INSTRUCTIONS:
        said = " ".join(found.MANUAL_DOWNLOAD_INSTRUCTIONS.split())[:300]
        manual = tfds_index.tfds_root(config) / "downloads" / "manual"
        way_out = f"some of its files have to be put into {manual} by hand: {said}"
    try:
        check_network(found.url_infos or {})
        found.download_and_prepare()
    except Exception as error:  # TFDS, TensorFlow and urllib share none
        reason = _reason(error)
        raise SettingError(f"{config.name} could not be fetched ({reason}); {way_out}") from error


def check_network(addresses: Iterable[str]) -> None:
    """Raise OSError unless a host of these addresses answers, whatever it says."""
    parts = map(urllib.parse.urlsplit, addresses)
    hosts = list(dict.fromkeys(f"{part.scheme}://{part.netloc}/" for part in parts))[:3]
    failure: OSError | None = None
    for host in hosts:
        if not host.startswith("http"):
            return
        try:
            urllib.request.urlopen(
                urllib.request.Request(host, method="HEAD"), timeout=NETWORK_SECONDS
            ).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            failure = error
    if failure:
        raise OSError(f"no answer from {', '.join(hosts)}: {failure}")


def read(config: DataConfig, size: tuple[int, int] | None) -> tuple[dict[str, Arrays], list[str]]:
    """Its splits, `train` and the one that is tested on if there is one, and the classes' names.

    Images of different sizes come to `size`, (height, width), by `data.resize_mode`.

    Raises:
        SettingError: the set is absent, cannot be fetched, or is damaged.
    """
    tfds = _imported(config.name)
    if config.download and tfds_index.prepared(config) is None:
        prepare(config)
    counts = tfds_index.check_prepared(config)
    try:
        found = tfds.builder_from_directory(str(tfds_index.prepared(config)))
        facts = _facts_of(found, config.name)
        names = list(found.info.features[facts.label].names)
        if len(names) != facts.num_classes:
            raise ValueError(f"{facts.label}.labels.txt has {len(names)} classes")
        splits = {"train": _split(found, "train", facts, size, config.resize_mode)}
        for name in (name for name in TEST_SPLITS if name in counts):
            images, labels = _split(found, name, facts, size, config.resize_mode)
            if labels.min() >= 0:  # a contest keeps the labels of its test split
                splits["test"] = images, labels
                break
    except SettingError:
        raise
    except Exception as error:  # TFDS and TensorFlow share none for damage
        raise SettingError(
            f"{config.name} under {''.join(tfds_index.place(config))} is damaged "
            f"({_reason(error)}); delete that folder and prepare it again with "
            "data.download=true"
        ) from error
    return splits, names


def _facts_of(found: Any, name: str) -> Facts:
    from google.protobuf import json_format

    features = json_format.MessageToDict(found.info.features.to_proto())
    info = json_format.MessageToDict(found.info.as_proto)
    return facts_of(features["featuresDict"]["features"], info, name)


def _split(found: Any, name: str, facts: Facts, size: Any, fit: str) -> Arrays:
    """One split, of whose features only the image and the label are decoded."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    wanted = tfds.decode.PartialDecoding({facts.image: True, facts.label: True})
    dataset = found.as_dataset(split=name, decoders=wanted).prefetch(tf.data.AUTOTUNE)
    images, labels = [], []
    for example in dataset.as_numpy_iterator():
        image = example[facts.image]
        images.append(image if facts.size else _fitted(image, size, fit))
        labels.append(example[facts.label])
    return np.stack(images), np.asarray(labels, np.int32)


def _fitted(image: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """(x, y, C) -> (X, Y, C) uint8 for `size` (X, Y), grey as the same three times."""
    if image.shape[-1] == 1:
        return resize.resize_to_size(np.repeat(image, 3, axis=-1), size, fit)[..., :1]
    return resize.resize_to_size(image, size, fit)


def _imported(name: str) -> Any:
    """TFDS, which begins to import without TensorFlow, and then fails at length."""
    for package in ("tensorflow", "tensorflow_datasets"):
        if importlib.util.find_spec(package) is None:
            raise SettingError(
                f"data.name={name} is read by TensorFlow Datasets, which needs {package}; pip "
                "install tensorflow tensorflow-datasets, or use data=npz or data=folder"
            )
    return importlib.import_module("tensorflow_datasets")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
