"""Layout of a folder of images: its splits, classes and files, found without opening a file.

    <path>/<class>/...                     split at random; a fifth is the test split
    <path>/{train,val,test}/<class>/...    split as it is; a missing val or test is drawn from train

A class is a folder, with all folders below it. Hidden files and folders, and files without the
suffix of an image, are ignored. Symbolic links are followed if they stay within `data.path`, or all
of them with `data.follow_links=true`.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.errors import SettingError

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif")
# Split -> the names that its folder can have.
SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


class ListedFile(NamedTuple):
    """A file with the suffix of an image."""

    path: str  # within `data.path`
    split: str  # "train", "validation", "test"; "" if the folder has no splits
    label: int
    reason: str  # why it cannot be opened; empty if it can
    bytes: int = 0
    mtime: int = 0  # nanoseconds


def root(config: DataConfig) -> Path:
    """The folder `data.path`.

    Raises:
        SettingError: `data.path` is not set, or is no folder.
    """
    if not config.path:
        raise SettingError(
            "data.name=folder needs data.path, a folder with a sub-folder of images for each class"
        )
    path = Path(config.path).expanduser()
    if not path.is_dir():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise SettingError(
            f"data.path={config.path} is no folder{where}; name the one with the classes"
        )
    return path


def splits(config: DataConfig) -> dict[str, str]:
    """The splits of the folder, each with the name of its folder; {"": "."} if it has none.

    Raises:
        SettingError: two folders are of one split, there is no training split, or there are other
            folders beside the splits.
    """
    path = root(config)
    names = _subfolders(path, config)
    found = {
        split: [name for name in names if name in allowed] for split, allowed in SPLITS.items()
    }
    if "train" not in names or not _subfolders(path / "train", config):
        if names and all(name in (*SPLITS["validation"], *SPLITS["test"]) for name in names):
            raise SettingError(
                f"data.path={config.path} has {' and '.join(names)}, and no train/<class>/ to "
                "train on; add it, or name the folder with the classes"
            )
        return {"": "."}
    others = [name for name in names if not any(name in folders for folders in found.values())]
    if others:
        raise SettingError(
            f"data.path={config.path} has {others[0]} beside train, so that train may be a class "
            f"or a split; move {others[0]} away, or the classes of train up"
        )
    for split, folders in found.items():
        if len(folders) > 1:
            raise SettingError(
                f"data.path={config.path} has {' and '.join(folders)}, which are both the {split} "
                "split; keep one"
            )
    return {split: folders[0] for split, folders in found.items() if folders}


def class_names(config: DataConfig) -> list[str]:
    """The names of the classes' folders, sorted.

    Raises:
        SettingError: there are fewer than two classes, or splits with different classes.
    """
    folders = {
        folder: _subfolders(root(config) / folder, config) for folder in splits(config).values()
    }
    (first, names), *others = folders.items()
    if len(names) < 2:
        raise SettingError(
            f"data.path={config.path} has {len(names)} sub-folders, one for each class, and two "
            "or more classes are needed; name the folder that contains the classes"
        )
    for folder, other_names in others:
        missing, extra = sorted({*names} - {*other_names}), sorted({*other_names} - {*names})
        if missing or extra:
            differences = [f"{folder} lacks {', '.join(missing)}"] if missing else []
            differences += [f"{folder} also has {', '.join(extra)}"] if extra else []
            raise SettingError(
                f"data.path={config.path}: {first} and {folder} need the same classes, but "
                f"{' and '.join(differences)}"
            )
    for name in names:
        if not name.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise SettingError(
                f"data.path={config.path}: the class {name!a} is not named in UTF-8; rename it"
            )
    return names


def list_files(config: DataConfig) -> list[ListedFile]:
    """All files with the suffix of an image, sorted by split, class and name.

    Raises:
        SettingError: a class has no such file.
    """
    names, path = class_names(config), root(config)
    boundary = None if config.follow_links else os.path.realpath(path) + os.sep
    result: list[ListedFile] = []
    for split, folder in splits(config).items():
        for label, name in enumerate(names):
            class_folder = os.path.normpath(os.path.join(folder, name))
            found = sorted(find_images(path, class_folder, boundary))
            if not found:
                raise SettingError(
                    f"data.path={config.path}: {class_folder} has no image "
                    f"({', '.join(SUFFIXES)}); add some, or remove the folder"
                )
            result += [
                ListedFile(file, split, label, reason, size, mtime)
                for file, reason, size, mtime in found
            ]
    return result


def _subfolders(path: Path, config: DataConfig) -> list[str]:
    """The names of the folders in `path` that are not hidden, sorted."""
    try:
        with os.scandir(path) as entries:
            found = [e for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        raise SettingError(f"{path} cannot be listed ({error.strerror})") from None
    boundary = os.path.realpath(root(config)) + os.sep
    for entry in found:
        if entry.is_symlink() and not config.follow_links and _leads_out(entry.path, boundary):
            raise SettingError(
                f"{entry.path} is a link out of data.path={config.path}; set "
                "data.follow_links=true to follow it, or remove it"
            )
    return sorted(entry.name for entry in found)


def find_images(
    root: Path, folder: str = "", boundary: str | None = None
) -> Iterator[tuple[str, str, int, int]]:
    """(path within `root`, why it cannot be opened, bytes, modification time) of all images.

    Args:
        root: the folder of the data set.
        folder: the folder within `root` to search, with all folders below it.
        boundary: the folder that links must not lead out of; by default they may lead anywhere.
    """
    try:
        with os.scandir(root / folder) as scanned:
            entries = list(scanned)
    except OSError as error:
        raise SettingError(f"{root / folder} cannot be listed ({error.strerror})") from None
    for entry in entries:
        path = os.path.join(folder, entry.name)
        if entry.name.startswith("."):  # macOS puts `._photo.jpg` beside a photo on a foreign disk
            continue
        if entry.name.lower().endswith(SUFFIXES):
            yield path, *_file_status(entry, boundary)
        elif entry.is_dir(follow_symlinks=False):
            yield from find_images(root, path, boundary)


def _file_status(entry: os.DirEntry, boundary: str | None) -> tuple[str, int, int]:
    """(why a file cannot be opened, bytes, modification time); an empty reason if it can."""
    try:
        status = entry.stat()
    except OSError as error:
        is_broken = entry.is_symlink() and isinstance(error, FileNotFoundError)
        return "a broken link" if is_broken else f"cannot be read: {error.strerror}", 0, 0
    reason = ""
    if stat.S_ISDIR(status.st_mode):
        reason = "a folder named like an image"
    elif not stat.S_ISREG(status.st_mode):  # opening a pipe would block for ever
        reason = "no regular file"
    elif boundary is not None and entry.is_symlink() and _leads_out(entry.path, boundary):
        reason = "a link out of the folder, which data.follow_links=true would follow"
    return reason, status.st_size, status.st_mtime_ns


def _leads_out(path: str, boundary: str) -> bool:
    return not os.path.realpath(path).startswith(boundary)
