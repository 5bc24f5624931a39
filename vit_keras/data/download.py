"""Download data sets: from TFDS by name, or from Kaggle by `owner/name`."""

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import DataConfig
from vit_keras.data import registry
from vit_keras.data.readers import class_layout, folder_files, tfds, tfds_index, tfds_metadata
from vit_keras.data.readers.folder_files import FolderTree, ListingRules
from vit_keras.errors import SettingError
from vit_keras.text import first_line

KAGGLE = re.compile(r"(?:https?://(?:www\.)?kaggle\.com/datasets/)?([\w.-]+/[\w.-]+)/?")
KAGGLE_SITE = "https://api.kaggle.com/"
MAX_IMAGE_SIZE = 64  # pixels of a side, for the small recipe
MAX_DEPTH = 4  # of the folder with the classes: the archive's folder, the data set's, train or test


class Downloaded(NamedTuple):
    """The folder of a data set, its numbers of images, and the command that trains on it."""

    folder: Path
    counts: dict[str, int]  # split or class -> images
    command: str


def download_dataset(name: str, to: str | None = None, accept_changes: bool = False) -> Downloaded:
    """Download the data set `name` unless it is there already, and count its images.

    Args:
        name: a data set of TFDS, such as `cifar10`, or with a version or configuration; or a data
            set of Kaggle, `owner/name` or its address.
        to: the destination folder; by default TFDS_DATA_DIR, or the cache of kagglehub.
        accept_changes: take files whose checksums are not those that TFDS knows.

    Raises:
        SettingError: there is no such data set, it cannot be downloaded, or it is damaged.
    """
    if name in registry.READERS or name == registry.IN_MEMORY:
        raise SettingError(f"{name} needs no download; name a data set of {tfds_metadata.CATALOG}")
    kaggle = KAGGLE.fullmatch(name)
    # A name with a slash is of TFDS (name/config) if TFDS lists its first part.
    is_tfds = re.split("[:/]", name)[0] in tfds_index.list_builders()
    if kaggle and not is_tfds:
        return _download_from_kaggle(kaggle[1], to)
    return _download_from_tfds(name, to, accept_changes)


def prepared(to: str | None = None) -> dict[str, dict[str, int]]:
    """The data sets that are prepared in a folder of TFDS: `name:version` -> images of each split.

    A version that is damaged has an empty dictionary.
    """
    found: dict[str, dict[str, int]] = {}
    root = tfds_index.tfds_root(DataConfig(tfds_dir=to))
    homes = sorted(path for path in root.glob("*") if path.is_dir()) if root.is_dir() else []
    for name in (name for home in homes for name in tfds_index.version_names(home)):
        try:
            found[name] = tfds_index.check_prepared(DataConfig(name=name, tfds_dir=to))
        except SettingError:
            found[name] = {}
    return found


def _download_from_tfds(name: str, to: str | None, accept_changes: bool) -> Downloaded:
    config = DataConfig(name=name, tfds_dir=to, download=True)
    if tfds_index.prepared(config) is None:
        tfds.describe_features(config)  # refuses what is no image classification
        tfds.prepare(config, accept_changes)
    counts = tfds_index.check_prepared(config)
    folder = tfds_index.prepared(config)
    assert folder is not None
    return Downloaded(folder, counts, f"vit-keras train {_overrides(config)}")


def _overrides(config: DataConfig) -> str:
    """Overrides that train on a data set: by its own recipe, or by the small one (patches of 4)."""
    words = [f"recipe={config.name}"]
    if config.name not in ("cifar10", "mnist"):
        words = ["recipe=cifar10_small", "data=tfds", f"data.name={config.name}"]
        size = tfds_index.features(config).size
        if size is None or max(size) > MAX_IMAGE_SIZE or any(side % 4 for side in size):
            words.append(f"data.image_size={MAX_IMAGE_SIZE}")
    if config.tfds_dir is not None:
        words.append(shlex.quote(f"data.tfds_dir={quote_override(config.tfds_dir)}"))
    return " ".join(words)


def _download_from_kaggle(handle: str, to: str | None) -> Downloaded:
    # kagglehub writes to a temporary folder, and resumes an interrupted download.
    try:
        import kagglehub

        tfds.check_network([KAGGLE_SITE])
        options = {} if to is None else {"output_dir": to}
        folder = Path(kagglehub.dataset_download(handle, **options))
    except ImportError as error:
        raise SettingError(f"{handle} needs {error.name}; pip install kagglehub") from None
    except Exception as error:  # kagglehub, requests and zipfile have no common class of errors
        reason = first_line(error)[:200]
        raise SettingError(
            f"{handle} cannot be downloaded from Kaggle ({reason}); check the name and the network "
            "(and, if the data set needs it, log in: kagglehub.login()), or download it in a "
            f"browser from https://www.kaggle.com/datasets/{handle}, unpack it, and set "
            "data=folder data.path to the folder with the classes"
        ) from error
    root, counts, classes = _find_classes(folder)
    words = [f"data.path={quote_override(root)}"]
    if classes is not None:
        words.append(f"data.classes=[{','.join(map(quote_override, classes))}]")
    command = f"vit-keras finetune recipe=finetune_folder {' '.join(map(shlex.quote, words))}"
    return Downloaded(root, counts, command)


def _find_classes(downloaded: Path) -> tuple[Path, dict[str, int], list[str] | None]:
    """The topmost folder that can be trained on, its numbers of images, and its classes.

    The numbers are of its splits if it has any, otherwise of its classes. The classes are None if
    all of them have images.

    Raises:
        SettingError: there is none, or its folders can be read in two ways.
    """
    level = [downloaded]
    for _ in range(MAX_DEPTH):
        for folder in level:
            if found := _read_folder(folder):
                return found
        level = [folder / name for folder in level for name in _images_of(folder).folders("")]
    names = sorted(path.name for path in downloaded.iterdir())
    raise SettingError(
        f"{downloaded} is downloaded, and has no folder with a sub-folder of images for each class "
        f"({', '.join(names[:8])}); sort its images into one, and train with data=folder "
        "data.path=..."
    )


def _read_folder(folder: Path) -> tuple[Path, dict[str, int], list[str] | None] | None:
    """As `_find_classes`; None if `folder` is not the one with the splits or classes."""
    tree = _images_of(folder)
    layout = class_layout.find_layout(tree)
    classes = next(iter(layout.folders.values()))
    direct = sum(any(map(tree.count_images, folders)) for folders in classes.values())
    # Images in one of them alone: a sample beside the folder with the classes.
    if len(classes) < 2 or (direct == 1 and "" in layout.splits):
        return None
    counts = {
        split: sum(_count_images(folder, own) for own in found.values())
        for split, found in layout.folders.items()
    }
    if "" in layout.splits:
        counts = {name: _count_images(folder, own) for name, own in classes.items()}
    root = folder / layout.base
    listed = class_layout.find_layout(FolderTree(root, str(root), ListingRules()))
    is_whole = next(iter(listed.folders.values())).keys() == classes.keys()
    return root, counts, None if is_whole else list(classes)


class _ImageFolders(FolderTree):
    """Of an archive, the folders with images: an empty one is no class."""

    def folders(self, folder: str) -> list[str]:
        return [
            name
            for name in super().folders(folder)
            if self.holds(os.path.join(folder, name)) == class_layout.IMAGES
        ]


def _images_of(folder: Path) -> _ImageFolders:
    return _ImageFolders(folder, str(folder), ListingRules())


def _count_images(root: Path, folders: list[str]) -> int:
    files = (file for folder in folders for file in folder_files.find_files(root, folder))
    return sum(file.is_candidate and not file.reason for file in files)
