"""Metadata of TFDS data sets: features, number of classes and shards, from their JSON files."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.errors import SettingError

TEST_SPLITS = ("test", "validation")  # the first one of a data set is its test split
CATALOG = "https://www.tensorflow.org/datasets/catalog/overview"


class Features(NamedTuple):
    """The image and the label of a data set: their names, sizes and classes."""

    image: str  # name of the feature
    label: str  # name of the feature
    size: tuple[int, int] | None  # (height, width); None if the images differ in size
    channels: int
    num_classes: int


def parse_features(features: dict[str, Any], info: dict[str, Any], name: str) -> Features:
    """Parse features.json and dataset_info.json; the supervised keys name image and label.

    Raises:
        SettingError: the data set is no image classification, or not of uint8 images.
    """
    feature_types = {
        key: value.get("pythonClassName", "").rpartition(".")[2] for key, value in features.items()
    }
    items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", [])
    image, label = (
        [item.get("featureKey") for item in items] if len(items) == 2 else ("image", "label")
    )
    if feature_types.get(image) != "Image" or feature_types.get(label) != "ClassLabel":
        found = ", ".join(f"{key} ({kind})" for key, kind in feature_types.items())
        raise SettingError(
            f"data.name={name} is no image classification: it has {found or 'no named feature'}, "
            f"and not an Image with a ClassLabel; choose another of {CATALOG}"
        )
    described = features[image]["image"]
    height, width, channels = map(int, described["shape"]["dimensions"])
    if described["dtype"] != "uint8":
        raise SettingError(
            f"data.name={name} has images of {described['dtype']}, and only uint8 are read; choose "
            "another set, or save them as arrays and use data=npz"
        )
    size = (height, width) if min(height, width) > 0 else None
    classes = int(features[label]["classLabel"]["numClasses"])
    return Features(image, label, size, channels, classes)


def image_counts(info: Path, name: str) -> dict[str, int]:
    """The number of images of each split that can be read, from dataset_info.json.

    Raises:
        SettingError: the file is damaged, a shard is missing, or there is no training split.
    """
    return {key: sum(files.values()) for key, files in shards(info, name).items()}


def shards(info: Path, name: str) -> dict[str, dict[Path, int]]:
    """The files of each split that can be read, each with its number of images.

    Raises:
        SettingError: as `image_counts`.
    """
    try:
        content = json.loads(info.read_text(encoding="utf-8"))
        splits = {split["name"]: split for split in content["splits"]}
        found = {
            key: _shards(content, splits[key], info.parent)
            for key in ("train", *TEST_SPLITS)
            if key in splits
        }
    except (ValueError, KeyError, TypeError, OSError):
        raise damaged_file(info, name) from None
    if "train" not in splits:
        raise SettingError(
            f"data.name={name} has the splits {', '.join(splits)} and no train, so there is "
            "nothing to train on; choose another set"
        )
    for files in found.values():
        for shard in files:
            if not shard.is_file() or not shard.stat().st_size:
                raise SettingError(
                    f"{shard} is missing or empty, so {name} is damaged; delete {info.parent} and "
                    "prepare it again with data.download=true"
                )
    return found


def _shards(info: dict[str, Any], split: dict[str, Any], folder: Path) -> dict[Path, int]:
    """The files of a split, each with its number of images."""
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    lengths = [int(count) for count in split["shardLengths"]]
    shards = {}
    for index, count in enumerate(lengths):
        name = template.format(
            DATASET=info.get("name") or folder.parent.name,
            SPLIT=split["name"],
            FILEFORMAT=info.get("fileFormat", "tfrecord"),
            SHARD_INDEX=f"{index:05d}",
            NUM_SHARDS=f"{len(lengths):05d}",
            SHARD_X_OF_Y=f"{index:05d}-of-{len(lengths):05d}",
        )
        shards[folder / name] = count
    return shards


def damaged_file(file: Path, name: str) -> SettingError:
    return SettingError(
        f"{file} is damaged; delete its folder and prepare {name} again with data.download=true"
    )
