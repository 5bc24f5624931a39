"""Sets of TensorFlow Datasets (TFDS): where one lies, what its own files say of it, its images.

A set is named as TFDS has it: `name`, `name/config`, `name:1.0.0` or `name/config:1.0.0`. What is
known before reading comes from the `features.json` and `dataset_info.json` of a prepared set,
without TensorFlow; `tfds_library` asks TFDS itself.
"""

import importlib.util
import json
import os
import re
from pathlib import Path

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers.tfds_metadata import (
    CATALOG,
    Facts,
    damaged_file,
    facts_of,
    image_counts,
)
from vit_keras.errors import SettingError, did_you_mean

NAME = re.compile(r"(?P<set>\w+)(?:/(?P<config>[^/:\s]+))?(?::(?P<version>\d+\.\d+\.\d+))?")
USUAL = ("cifar10", "cifar100", "digits", "mnist")  # that a misspelt name may mean
VERSION = re.compile(r"\d+\.\d+\.\d+")  # of a whole set: TFDS prepares in `incomplete.<any>_1.0.0`


def prepared(config: DataConfig) -> Path | None:
    """The folder of the version that is read: the one asked for, else the newest; None: none is.

    Raises:
        SettingError: the name is no name; or there is something of the set, but not this.
    """
    parts = _parts(config)
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
    """The images of each split that is read, whose files are all there.

    Raises:
        SettingError: the set is absent or has lost files.
    """
    folder = prepared(config)
    if folder is not None:
        return image_counts(folder / "dataset_info.json", config.name)
    home = tfds_root(config) / _parts(config)["set"]
    if not home.is_dir():
        check_listed(config.name)
        raise SettingError(
            f"data.name={config.name} is not prepared under {''.join(place(config))}; "
            f"{by_hand(config.name)}"
        )
    if there := every_name(home):
        raise SettingError(
            f"data.name={config.name} is not prepared under {home}, which has {', '.join(there)}; "
            f"name one of these, or {by_hand(config.name)}"
        )
    raise SettingError(
        f"{home} holds no prepared version of {config.name} (no dataset_info.json); delete it and "
        "prepare it again with data.download=true"
    )


def facts(config: DataConfig) -> Facts:
    """Sizes and classes of the prepared set.

    Raises:
        SettingError: it is absent, its description is damaged, or it is no image classification.
    """
    check_prepared(config)
    folder = prepared(config)
    assert folder is not None
    try:
        features = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        return facts_of(features["featuresDict"]["features"], info, config.name)
    except SettingError:
        raise
    except (ValueError, KeyError, TypeError, OSError, AttributeError):
        raise damaged_file(folder / "features.json", config.name) from None


def class_names(config: DataConfig) -> list[str] | None:
    """The names of the classes of a prepared set, without reading an image."""
    folder = prepared(config)
    if folder is None or not (folder / "features.json").is_file():
        return None
    known = facts(config)
    names = folder / f"{known.label}.labels.txt"
    if names.is_file():
        return names.read_text(encoding="utf-8").split("\n")[: known.num_classes]
    return [str(index) for index in range(known.num_classes)]


def tfds_root(config: DataConfig) -> Path:
    """Where TFDS keeps its sets: `data.tfds_dir`, else TFDS_DATA_DIR, else its own default."""
    return Path(place(config)[1]).expanduser()


def place(config: DataConfig) -> tuple[str, str]:
    """What says where TFDS keeps its sets, and what it says."""
    asked = {
        "data.tfds_dir=": config.tfds_dir,
        "TFDS_DATA_DIR=": os.environ.get("TFDS_DATA_DIR"),
        "": "~/tensorflow_datasets",
    }
    return next((name, where) for name, where in asked.items() if where)


def listed() -> list[str]:
    """The sets that TFDS knows, of every kind; none where it, or its TensorFlow, is missing."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tensorflow_datasets"))):
        return []
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def check_listed(name: str) -> None:
    """Refuse a name that TFDS does not list, with the nearest that it does."""
    known, plain = listed(), re.split("[:/]", name)[0]
    hint = did_you_mean(plain, [*known, *USUAL]).partition(" (known")[0]
    is_near = "did you mean" in hint
    if plain in known or plain in USUAL or not (known or is_near):
        return
    if not is_near:
        hint = f"; known: {', '.join(USUAL)}, folder, npz, and the sets of {CATALOG}"
    raise SettingError(f"data.name={name} is unknown{hint}")


def by_hand(name: str) -> str:
    return f"with a network, data.download=true fetches it; without one, {elsewhere(name)}"


def elsewhere(name: str) -> str:
    return (
        f'prepare it elsewhere with `python -c "import tensorflow_datasets as tfds; '
        f"tfds.load('{name}')\"`, copy ~/tensorflow_datasets here, and set TFDS_DATA_DIR or "
        "data.tfds_dir to the copy"
    )


def _parts(config: DataConfig) -> dict[str, str]:
    if config.name == "tfds":
        raise SettingError(
            "data=tfds names no set; add one, such as data.name=fashion_mnist or data.name=cifar10"
        )
    found = NAME.fullmatch(config.name)
    if not found:
        raise SettingError(
            f"data.name={config.name} is no name of a data set; use name, name/config or "
            "name:1.0.0, as TFDS does"
        )
    return found.groupdict()


def _versions(folder: Path) -> list[Path]:
    """The prepared versions in a folder, the newest last."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if VERSION.fullmatch(path.name) and (path / "dataset_info.json").is_file()
    ]
    return sorted(found, key=lambda path: tuple(map(int, path.name.split("."))))


def every_name(home: Path) -> list[str]:
    """What there is of a set, as `data.name` would say it."""
    configs = {path: f"{home.name}/{path.name}" for path in home.iterdir() if path.is_dir()}
    folders = {home: home.name, **configs}
    return [
        f"{name}:{version.name}" for path, name in folders.items() for version in _versions(path)
    ]


def _default_config(config: DataConfig, home: Path) -> str:
    """The configuration that TFDS takes where none is named; "" if the set has none."""
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
    """Of a set whose description lacks what was published."""
    folder = prepared(config)
    assert folder is not None
    return damaged_file(folder / "dataset_info.json", config.name)
