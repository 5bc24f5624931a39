"""Data sets of TensorFlow Datasets (TFDS): download, prepare and read them.

TensorFlow and TFDS are imported only to read a data set, or to describe one before its download.
"""

import importlib.util
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data import resize
from vit_keras.data.dataset import DatasetInfo, SourceData
from vit_keras.data.readers import array_record, tfds_index
from vit_keras.data.readers.tfds_images import read_split
from vit_keras.data.readers.tfds_metadata import CATALOG, TEST_SPLITS, Features, parse_features
from vit_keras.errors import SettingError
from vit_keras.text import first_line

# Of data sets that can be checked before they are prepared, and without their features.json.
WELL_KNOWN = {
    "mnist": DatasetInfo((28, 28), 1, 10),
    "cifar10": DatasetInfo((32, 32), 3, 10),
    "cifar100": DatasetInfo((32, 32), 3, 100),
}
NETWORK_SECONDS = 5  # to wait for an answer; TFDS itself tries for minutes


def read(config: DataConfig) -> SourceData:
    """The training split, and the test split if there is one; downloaded if that is asked for.

    Images that differ in size are resized to `data.image_size`.

    Raises:
        SettingError: the data set is absent, cannot be downloaded, or is damaged.
    """
    size = info(config).size
    if tfds_index.is_array_record(config):
        return array_record.read(config, size)
    tfds = _import_tfds(config.name)
    if config.download and tfds_index.prepared(config) is None:
        prepare(config)
    counts = tfds_index.check_prepared(config)
    try:
        builder = tfds.builder_from_directory(str(tfds_index.prepared(config)))
        features = _features_of(builder, config.name)
        names = list(builder.info.features[features.label].names)
        if len(names) != features.num_classes:
            raise ValueError(f"{features.label}.labels.txt has {len(names)} classes")
        train, findings = read_split(builder, "train", features, size, config)
        test = None
        for name in (name for name in TEST_SPLITS if name in counts):
            split, skipped = read_split(builder, name, features, size, config)
            if split.labels.min() >= 0:  # the labels of a competition's test split are -1
                test = split
                findings += [row._replace(split="test") for row in skipped]
                break
    except SettingError:
        raise
    except Exception as error:  # TFDS and TensorFlow have no common class of errors
        raise SettingError(
            f"{config.name} under {''.join(tfds_index.root_setting(config))} is damaged "
            f"({_error_line(error)}); delete that folder and prepare it again with "
            "data.download=true"
        ) from error
    findings = [row._replace(class_name=names[int(row.class_name)]) for row in findings]
    return SourceData(train, None, test, names, tuple(findings))


def info(config: DataConfig) -> DatasetInfo:
    if config.name in WELL_KNOWN:
        return WELL_KNOWN[config.name]
    if config.download and tfds_index.prepared(config) is None:
        features = describe_features(config)
    else:
        features = tfds_index.features(config)
    size = features.size or resize.requested_size(config)
    return DatasetInfo(size, features.channels, features.num_classes)


def class_names(config: DataConfig) -> list[str] | None:
    if config.name == "mnist":
        return [str(digit) for digit in range(10)]
    return tfds_index.class_names(config)


def image_counts(config: DataConfig) -> dict[str, int] | None:
    if config.download and tfds_index.prepared(config) is None:
        return None
    counts = tfds_index.check_prepared(config)
    if config.name in WELL_KNOWN and "test" not in counts:
        raise tfds_index.damaged(config)
    result = {"train": counts["train"]}
    for name in TEST_SPLITS:
        if name in counts:
            return result | {"test": counts[name]}
    return result


def find_builder(config: DataConfig) -> Any:
    """The TFDS builder of the data set `config.name`, which may not be prepared yet.

    Raises:
        SettingError: there is no such data set, or TFDS is not installed.
    """
    tfds = _import_tfds(config.name)
    try:
        return tfds.builder(config.name, data_dir=str(tfds_index.tfds_root(config)))
    except Exception as error:  # of many kinds, with a message that lists all data sets
        tfds_index.check_listed(config.name)
        raise SettingError(
            f"data.name={config.name} cannot be loaded by TFDS ({_error_line(error)}); see "
            f"{CATALOG}"
        ) from None


def describe_features(config: DataConfig) -> Features:
    """The features of a data set that may not be prepared yet.

    Raises:
        SettingError: there is no such data set, or it is no image classification.
    """
    return _features_of(find_builder(config), config.name)


def prepare(config: DataConfig, accept_changes: bool = False) -> None:
    """Download and prepare a data set.

    TFDS writes to a temporary folder, and renames it when it is complete.

    Args:
        config: its name and the folder of TFDS.
        accept_changes: take files that are others than those whose checksums TFDS knows.

    Raises:
        SettingError: it cannot be downloaded; within seconds if there is no network.
    """
    builder = find_builder(config)
    options: dict[str, Any] = {}
    if accept_changes:
        download = importlib.import_module("tensorflow_datasets").download
        options["download_config"] = download.DownloadConfig(register_checksums=True)
    way_out = tfds_index.copy_instructions(config.name)
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())[:300]
        manual = tfds_index.tfds_root(config) / "downloads" / "manual"
        way_out = f"some of its files have to be put into {manual} by hand: {instructions}"
    try:
        check_network(builder.url_infos or {})
        builder.download_and_prepare(**options)
    except Exception as error:  # TFDS, TensorFlow and urllib have no common class of errors
        if type(error).__name__ == "NonMatchingChecksumError":  # another computer gets it too
            way_out = (
                "its publisher has replaced that file: install a TFDS that knows the new one (pip "
                "install --upgrade tfds-nightly), or take the file as it is now by vit-keras "
                f"get-data {config.name} --accept-changes"
            )
        raise SettingError(
            f"{config.name} could not be downloaded ({_error_line(error)}); {way_out}"
        ) from error


def check_network(addresses: Iterable[str]) -> None:
    """Raise OSError unless a host of these addresses answers, with whatever status."""
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


def _features_of(builder: Any, name: str) -> Features:
    from google.protobuf import json_format

    features = json_format.MessageToDict(builder.info.features.to_proto())
    info = json_format.MessageToDict(builder.info.as_proto)
    return parse_features(features["featuresDict"]["features"], info, name)


def _import_tfds(name: str) -> Any:
    # TFDS starts to import without TensorFlow, and fails with a long message.
    for package in ("tensorflow", "tensorflow_datasets"):
        if importlib.util.find_spec(package) is None:
            raise SettingError(
                f"data.name={name} is read by TensorFlow Datasets, which needs {package}; pip "
                "install tensorflow tensorflow-datasets, or use data=npz or data=folder"
            )
    return importlib.import_module("tensorflow_datasets")


def _error_line(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
