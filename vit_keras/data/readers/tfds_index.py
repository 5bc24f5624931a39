"""Prepared TFDS data sets on disk: their folders, versions, classes and numbers of images.

A data set is named as in TFDS: `name`, `name/config`, `name:1.0.0` or `name/config:1.0.0`. Checks
read the `features.json` and `dataset_info.json` of a prepared data set, without TensorFlow.
"""

import importlib.util
import json
import os
import re
from pathlib import Path

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers.tfds_metadata import (
    CATALOG,
    Features,
    damaged_file,
    image_counts,
    parse_features,
)
from vit_keras.errors import SettingError, did_you_mean

NAME = re.compile(r"(?P<set>\w+)(?:/(?P<config>[^/:\s]+))?(?::(?P<version>\d+\.\d+\.\d+))?")
COMMON = ("cifar10", "cifar100", "digits", "mnist")  # suggested for a misspelt name
ARRAY_RECORD = "array_record"  # the format of files, besides tfrecord
# Of a complete data set: TFDS prepares in `incomplete.<random>_1.0.0`.
VERSION = re.compile(r"\d+\.\d+\.\d+")


def prepared(config: DataConfig) -> Path | None:
    """The folder of the named version, or of the newest; None if the data set is not prepared.

    Raises:
        SettingError: the name is not valid, or has to name one of several configurations.
    """
    parts = _name_parts(config)
    home = tfds_root(config) / parts["set"]
    if not home.is_dir():
        return None
    versions = _versions(home / parts["config"] if parts["config"] else home)
    if not versions and not parts["config"]:
        versions = _versions(home / _default_config(config, home))
    if parts["version"]:
        versions = [path for path in versions if path.name == parts["version"]]
    return versions[-1] if versions else None


def check_prepared(config: DataConfig) -> dict[str, int]:
    """The number of images of each split that can be read, after a check of its files.

    Raises:
        SettingError: the data set is absent or has lost files.
    """
    folder = prepared(config)
    if folder is not None:
        return image_counts(folder / "dataset_info.json", config.name)
    home = tfds_root(config) / _name_parts(config)["set"]
    if not home.is_dir():
        check_listed(config.name)
        raise SettingError(
            f"data.name={config.name} is not prepared under {''.join(root_setting(config))}; "
            f"{download_instructions(config.name)}"
        )
    if prepared_names := version_names(home):
        raise SettingError(
            f"data.name={config.name} is not prepared under {home}, which has "
            f"{', '.join(prepared_names)}; name one of these, or "
            f"{download_instructions(config.name)}"
        )
    raise SettingError(
        f"{home} holds no prepared version of {config.name} (no dataset_info.json); delete it and "
        "prepare it again with data.download=true"
    )


def is_array_record(config: DataConfig) -> bool:
    """Whether the data set is prepared as files of ArrayRecord, of which any image can be read."""
    try:
        folder = prepared(config)
        content = json.loads((folder / "dataset_info.json").read_text("utf-8")) if folder else {}
    except (SettingError, OSError, ValueError):  # which reading it reports
        return False
    return isinstance(content, dict) and content.get("fileFormat") == ARRAY_RECORD


def features(config: DataConfig) -> Features:
    """The image and label features of a prepared data set.

    Raises:
        SettingError: the data set is absent, damaged, or no image classification.
    """
    check_prepared(config)
    folder = prepared(config)
    assert folder is not None
    try:
        content = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        return parse_features(content["featuresDict"]["features"], info, config.name)
    except SettingError:
        raise
    except (ValueError, KeyError, TypeError, OSError, AttributeError):
        raise damaged_file(folder / "features.json", config.name) from None


def class_names(config: DataConfig) -> list[str] | None:
    """The class names of a prepared data set; None if it is not prepared."""
    folder = prepared(config)
    if folder is None or not (folder / "features.json").is_file():
        return None
    described = features(config)
    names = folder / f"{described.label}.labels.txt"
    if names.is_file():
        return names.read_text(encoding="utf-8").split("\n")[: described.num_classes]
    return [str(index) for index in range(described.num_classes)]


def tfds_root(config: DataConfig) -> Path:
    """The folder of TFDS: `data.tfds_dir`, else TFDS_DATA_DIR, else TFDS' own default."""
    return Path(root_setting(config)[1]).expanduser()


def root_setting(config: DataConfig) -> tuple[str, str]:
    """(what sets the folder of TFDS, the folder), such as ("data.tfds_dir=", "/data")."""
    candidates = {
        "data.tfds_dir=": config.tfds_dir,
        "TFDS_DATA_DIR=": os.environ.get("TFDS_DATA_DIR"),
        "": "~/tensorflow_datasets",
    }
    return next((name, folder) for name, folder in candidates.items() if folder)


def list_builders() -> list[str]:
    """The names of all data sets of TFDS, of any task; none if TFDS or TensorFlow is missing."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tensorflow_datasets"))):
        return []
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def check_listed(name: str) -> None:
    """Refuse a name that is no data set of TFDS, with the most similar one that is."""
    known, base_name = list_builders(), re.split("[:/]", name)[0]
    hint = did_you_mean(base_name, [*known, *COMMON]).partition(" (known")[0]
    is_similar = "did you mean" in hint
    if base_name in known or base_name in COMMON or not (known or is_similar):
        return
    if not is_similar:
        hint = f"; known: {', '.join(COMMON)}, folder, npz, and the data sets of {CATALOG}"
    listed = ", all of which vit-keras get-data --list prints" if known else ""
    raise SettingError(f"data.name={name} is unknown{hint}{listed}")


def download_instructions(name: str) -> str:
    return (
        f"with a network, data.download=true downloads it; without one, {copy_instructions(name)}"
    )


def copy_instructions(name: str) -> str:
    return (
        f'prepare it on another computer with `python -c "import tensorflow_datasets as tfds; '
        f"tfds.load('{name}')\"`, copy ~/tensorflow_datasets here, and set TFDS_DATA_DIR or "
        "data.tfds_dir to the copy"
    )


def _name_parts(config: DataConfig) -> dict[str, str]:
    if config.name == "tfds":
        raise SettingError(
            "data=tfds names no data set; add one, such as data.name=fashion_mnist or "
            "data.name=cifar10"
        )
    found = NAME.fullmatch(config.name)
    if not found:
        raise SettingError(
            f"data.name={config.name} is not the name of a data set; use name, name/config or "
            "name:1.0.0, as in TFDS"
        )
    return found.groupdict()


def _versions(folder: Path) -> list[Path]:
    """The folders of prepared versions, the newest last."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if VERSION.fullmatch(path.name) and (path / "dataset_info.json").is_file()
    ]
    return sorted(found, key=lambda path: tuple(map(int, path.name.split("."))))


def version_names(home: Path) -> list[str]:
    """The prepared versions of a data set, as values of `data.name`."""
    configs = {path: f"{home.name}/{path.name}" for path in home.iterdir() if path.is_dir()}
    folders = {home: home.name, **configs}
    return [
        f"{name}:{version.name}" for path, name in folders.items() for version in _versions(path)
    ]


def _default_config(config: DataConfig, home: Path) -> str:
    """The configuration that TFDS uses by default; "" if the data set has none."""
    configs = sorted(path.name for path in home.iterdir() if path.is_dir() and _versions(path))
    try:
        metadata = json.loads((home / ".config" / "metadata.json").read_text(encoding="utf-8"))
        default = metadata["default_config_name"]
    except (OSError, ValueError, KeyError, TypeError):
        default = None
    if not configs or default in configs:
        return str(default or "")
    name = config.name.partition(":")[0]
    raise SettingError(
        f"data.name={config.name} has the configurations {', '.join(configs)} under {home}; name "
        f"one, data.name={name}/{configs[0]}"
    )


def damaged(config: DataConfig) -> SettingError:
    """The error for a data set whose dataset_info.json lacks a split."""
    folder = prepared(config)
    assert folder is not None
    return damaged_file(folder / "dataset_info.json", config.name)
