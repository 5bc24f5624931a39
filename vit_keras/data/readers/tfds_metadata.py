"""What the description of a set of TensorFlow Datasets (TFDS) says: sizes, classes, files."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.errors import SettingError

TEST_SPLITS = ("test", "validation")  # the first that a set has is tested on
CATALOG = "https://www.tensorflow.org/datasets/catalog/overview"


class Facts(NamedTuple):
    """What a set's description says: names of features, and what they hold."""

    image: str
    label: str
    size: tuple[int, int] | None  # (height, width); None where each image has its own
    channels: int
    num_classes: int


def facts_of(features: dict[str, Any], info: dict[str, Any], name: str) -> Facts:
    """From the descriptions' JSON; the features' names are those that the set is supervised by."""
    kinds = {
        key: value.get("pythonClassName", "").rpartition(".")[2] for key, value in features.items()
    }
    items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", [])
    image, label = (
        [item.get("featureKey") for item in items] if len(items) == 2 else ("image", "label")
    )
    if kinds.get(image) != "Image" or kinds.get(label) != "ClassLabel":
        has = (
            ", ".join(f"{key} ({kind})" for key, kind in kinds.items()) or "features without names"
        )
        raise SettingError(
            f"data.name={name} is no image classification: it has {has}, and not an Image with a "
            f"ClassLabel; choose another of {CATALOG}"
        )
    described = features[image]["image"]
    rows, columns, channels = map(int, described["shape"]["dimensions"])
    if described["dtype"] != "uint8":
        raise SettingError(
            f"data.name={name} has images of {described['dtype']}, and only uint8 are read; choose "
            "another set, or save them as arrays and use data=npz"
        )
    size = (rows, columns) if min(rows, columns) > 0 else None
    classes = int(features[label]["classLabel"]["numClasses"])
    return Facts(image, label, size, channels, classes)


def image_counts(info: Path, name: str) -> dict[str, int]:
    """The images of each split that is read, as its file says, whose shards are all there."""
    try:
        content = json.loads(info.read_text(encoding="utf-8"))
        splits = {split["name"]: split for split in content["splits"]}
        wanted = [key for key in ("train", *TEST_SPLITS) if key in splits]
        shards = {key: _shards(content, splits[key], info.parent) for key in wanted}
    except (ValueError, KeyError, TypeError, OSError):
        raise damaged_file(info, name) from None
    if "train" not in splits:
        raise SettingError(
            f"data.name={name} has the splits {', '.join(splits)} and no train, so there is "
            "nothing to train on; choose another set"
        )
    for files in shards.values():
        for shard in files:
            if not shard.is_file() or not shard.stat().st_size:
                raise SettingError(
                    f"{shard} is missing or empty, so {name} is damaged; delete {info.parent} and "
                    "prepare it again with data.download=true"
                )
    return {key: sum(files.values()) for key, files in shards.items()}


def _shards(info: dict[str, Any], split: dict[str, Any], folder: Path) -> dict[Path, int]:
    """Each file of a split -> how many images are in it."""
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    lengths = [int(count) for count in split["shardLengths"]]
    found = {}
    for index, count in enumerate(lengths):
        name = template.format(
            DATASET=info.get("name") or folder.parent.name,
            SPLIT=split["name"],
            FILEFORMAT=info.get("fileFormat", "tfrecord"),
            SHARD_INDEX=f"{index:05d}",
            NUM_SHARDS=f"{len(lengths):05d}",
            SHARD_X_OF_Y=f"{index:05d}-of-{len(lengths):05d}",
        )
        found[folder / name] = count
    return found


def damaged_file(file: Path, name: str) -> SettingError:
    return SettingError(
        f"{file} is damaged; delete its folder and prepare {name} again with data.download=true"
    )
