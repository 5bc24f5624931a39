"""Data sets fetched before a training: from TFDS by name, or from Kaggle by `owner/name`."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.data import registry
from vit_keras.data.readers import folder_layout, tfds, tfds_index, tfds_metadata
from vit_keras.errors import SettingError
from vit_keras.text import first_line

KAGGLE = re.compile(r"(?:https?://(?:www\.)?kaggle\.com/datasets/)?([\w.-]+/[\w.-]+)/?")
KAGGLE_SITE = "https://api.kaggle.com/"
LARGEST = 64  # pixels of a side that the small recipe can be asked to train on
FOLDERS_DEEP = 4  # an archive's own folder, the set's, train and test: where classes are looked for


class Fetched(NamedTuple):
    """Where a set lies, how many images of what are in it, and how to train on it."""

    place: Path
    counts: dict[str, int]  # split or class -> images
    command: str


def download_dataset(name: str, to: str | None = None) -> Fetched:
    """Fetch the set `name` unless it is there already, and count what was fetched.

    Args:
        name: a set of TFDS, `cifar10` or with a version or configuration; or a data set of Kaggle,
            `owner/name` or its address. A name with a slash is TFDS' if that lists its first part.
        to: the folder to put it in; TFDS_DATA_DIR, or the cache of kagglehub, unless given.

    Raises:
        SettingError: there is no such set, it cannot be fetched, or it is not whole.
    """
    if name in registry.OWN:
        raise SettingError(f"{name} needs no fetching; name a set of {tfds_metadata.CATALOG}")
    kaggle = KAGGLE.fullmatch(name)
    is_listed = re.split("[:/]", name)[0] in tfds_index.listed()
    if kaggle and not is_listed:
        return _of_kaggle(kaggle[1], to)
    return _of_tfds(name, to)


def prepared(to: str | None = None) -> dict[str, dict[str, int]]:
    """What is prepared by TFDS in a folder: `name:version` -> images of each split.

    A version that has lost files has none.
    """
    found: dict[str, dict[str, int]] = {}
    root = tfds_index.tfds_root(DataConfig(tfds_dir=to))
    homes = sorted(path for path in root.glob("*") if path.is_dir()) if root.is_dir() else []
    for name in (name for home in homes for name in tfds_index.every_name(home)):
        try:
            found[name] = tfds_index.check_prepared(DataConfig(name=name, tfds_dir=to))
        except SettingError:
            found[name] = {}
    return found


def _of_tfds(name: str, to: str | None) -> Fetched:
    config = DataConfig(name=name, tfds_dir=to, download=True)
    if tfds_index.prepared(config) is None:
        tfds.described(config)  # refuses what is no image classification
        tfds.prepare(config)
    counts = tfds_index.check_prepared(config)
    place = tfds_index.prepared(config)
    assert place is not None
    return Fetched(place, counts, f"vit-keras train {_words(config)}")


def _words(config: DataConfig) -> str:
    """The settings that train on a set: its own recipe, or the small one with patches of 4."""
    words = [f"recipe={config.name}"]
    if config.name not in ("cifar10", "mnist"):
        words = ["recipe=cifar10_small", "data=tfds", f"data.name={config.name}"]
        size = tfds_index.facts(config).size
        if size is None or max(size) > LARGEST or any(side % 4 for side in size):
            words.append(f"data.image_size={LARGEST}")
    if config.tfds_dir is not None:
        words.append(shlex.quote(f"data.tfds_dir={config.tfds_dir}"))
    return " ".join(words)


def _of_kaggle(handle: str, to: str | None) -> Fetched:
    """kagglehub downloads beside its place, goes on with what was cut off, and marks the whole."""
    try:
        import kagglehub

        tfds.check_network([KAGGLE_SITE])
        options = {} if to is None else {"output_dir": to}
        place = Path(kagglehub.dataset_download(handle, **options))
    except ImportError as error:
        raise SettingError(f"{handle} needs {error.name}; pip install kagglehub") from None
    except Exception as error:  # of kagglehub, requests and zipfile, which share none
        raise SettingError(
            f"{handle} cannot be fetched from Kaggle ({first_line(error)[:200]}); look at the name "
            "and the network (and, where the set asks for it, log in: kagglehub.login()), or "
            f"download it in a browser from https://www.kaggle.com/datasets/{handle}, unpack it, "
            "and set data=folder data.path to the folder with the classes"
        ) from error
    root, counts = _classes(place)
    path = shlex.quote(f"data.path={root}")
    command = f"vit-keras finetune recipe=finetune_folder {path}"
    return Fetched(root, counts, command)


def _classes(place: Path) -> tuple[Path, dict[str, int]]:
    """The first folder from above with a sub-folder of images for each of two classes or more."""
    level = [place]
    for _ in range(FOLDERS_DEEP):
        for folder in level:
            counts = {path.name: _images(path) for path in _folders(folder)}
            counts = {name: count for name, count in counts.items() if count}
            if len(counts) > 1:
                return folder, counts
        level = [below for folder in level for below in _folders(folder)]
    raise SettingError(
        f"{place} is fetched, and has no folder with a sub-folder of images for each class "
        f"({', '.join(sorted(path.name for path in place.iterdir())[:8])}); sort its images into "
        "one, and train with data=folder data.path=..."
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _images(folder: Path) -> int:
    return sum(path.suffix.lower() in folder_layout.SUFFIXES for path in folder.iterdir())
