"""Images in a folder: which files there are, of which class, in which split.

    <path>/<class>/...                     split by the seed, a fifth of it to test on
    <path>/{train,val,test}/<class>/...    as it is; without a val or test, carved out of train

A class is a folder; folders within it belong to it. Hidden files and folders are passed over, and
so is every file that is not named like an image. Links are followed as long as they stay within
`data.path`, or wherever they lead with `data.follow_links=true`.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.errors import SettingError
from vit_keras.validators import height_and_width

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif")
# The name of a split -> what its folder may be called.
SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


class File(NamedTuple):
    """A file that is named like an image."""

    path: str  # within `data.path`
    split: str  # "train", "validation", "test"; "" where the folder is not split
    label: int
    reason: str  # why it cannot even be looked at; empty if it can
    bytes: int = 0
    mtime: int = 0  # nanoseconds


def root(config: DataConfig) -> Path:
    """`data.path`.

    Raises:
        SettingError: it is not set, or is no folder.
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
    """The splits that the folder has, and their folders' names; {"": "."} where it has none.

    Raises:
        SettingError: it has a split twice, or one without one to train on, or something beside.
    """
    path = root(config)
    names = _folders(path, config)
    found = {split: [n for n in names if n in known] for split, known in SPLITS.items()}
    if "train" not in names or not _folders(path / "train", config):
        if names and all(name in (*SPLITS["validation"], *SPLITS["test"]) for name in names):
            raise SettingError(
                f"data.path={config.path} has {' and '.join(names)}, and no train/<class>/ to "
                "train on; add it, or name the folder with the classes"
            )
        return {"": "."}
    strays = [name for name in names if not any(name in known for known in found.values())]
    if strays:
        raise SettingError(
            f"data.path={config.path} has {strays[0]} beside train, so that train may be a class "
            f"or a split; move {strays[0]} away, or the classes of train up"
        )
    for split, folders in found.items():
        if len(folders) > 1:
            raise SettingError(
                f"data.path={config.path} has {' and '.join(folders)}, both of them the {split} "
                "split; leave one"
            )
    return {split: folders[0] for split, folders in found.items() if folders}


def class_names(config: DataConfig) -> list[str]:
    """The names of the classes' folders, in order.

    Raises:
        SettingError: there are not two classes, or not the same ones in every split.
    """
    here = {folder: _folders(root(config) / folder, config) for folder in splits(config).values()}
    (first, names), *others = here.items()
    if len(names) < 2:
        raise SettingError(
            f"data.path={config.path} has {len(names)} sub-folders, and a class each makes two or "
            "more; name the folder above the classes"
        )
    for folder, theirs in others:
        lacking, besides = sorted({*names} - {*theirs}), sorted({*theirs} - {*names})
        if lacking or besides:
            which = [f"{folder} lacks {', '.join(lacking)}"] if lacking else []
            which += [f"{folder} has {', '.join(besides)} besides"] if besides else []
            raise SettingError(
                f"data.path={config.path}: {first} and {folder} have to have the same classes, and "
                f"{' and '.join(which)}"
            )
    for name in names:
        if not name.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise SettingError(
                f"data.path={config.path}: the class {name!a} is not named in UTF-8; rename it"
            )
    return names


def size(config: DataConfig) -> tuple[int, int]:
    """(height, width) that every image is brought to: `data.image_size`."""
    if config.image_size is None:
        raise SettingError(
            "data.image_size is not set, and a folder's images have no one size; set it, such as "
            "data.image_size=224"
        )
    return height_and_width(config.image_size, "data.image_size")


def files(config: DataConfig) -> list[File]:
    """Every file that is named like an image: split by split, class by class, by name.

    Raises:
        SettingError: a class has none.
    """
    names, path = class_names(config), root(config)
    real = os.path.realpath(path) + os.sep
    result: list[File] = []
    for split, folder in splits(config).items():
        for label, name in enumerate(names):
            place = os.path.normpath(os.path.join(folder, name))
            found = sorted(images(path, place, None if config.follow_links else real))
            if not found:
                raise SettingError(
                    f"data.path={config.path}: {place} has no image ({', '.join(SUFFIXES)}); put "
                    "some there, or take the folder away"
                )
            result += [File(seen[0], split, label, *seen[1:]) for seen in found]
    return result


def _folders(path: Path, config: DataConfig) -> list[str]:
    """Those in `path` that are not hidden, by name."""
    try:
        with os.scandir(path) as entries:
            found = [e for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        raise SettingError(f"{path} cannot be looked into ({error.strerror})") from None
    inside = os.path.realpath(root(config)) + os.sep
    for entry in found:
        if entry.is_symlink() and not config.follow_links and _leads_out(entry.path, inside):
            raise SettingError(
                f"{entry.path} is a link out of data.path={config.path}; set "
                "data.follow_links=true to follow it, or take it away"
            )
    return sorted(entry.name for entry in found)


def images(
    root: Path, folder: str = "", inside: str | None = None
) -> Iterator[tuple[str, str, int, int]]:
    """(path within `root`, why it cannot be looked at, bytes, time of change) of all images.

    Links to files are followed as long as they stay in `inside`; wherever they lead if it is None.
    """
    try:
        with os.scandir(root / folder) as scanned:
            entries = list(scanned)
    except OSError as error:
        raise SettingError(f"{root / folder} cannot be looked into ({error.strerror})") from None
    for entry in entries:
        path = os.path.join(folder, entry.name)
        if entry.name.startswith("."):  # macOS puts `._photo.jpg` beside a photo on a foreign disk
            continue
        if entry.name.lower().endswith(SUFFIXES):
            yield path, *_obstacle(entry, inside)
        elif entry.is_dir(follow_symlinks=False):
            yield from images(root, path, inside)


def _obstacle(entry: os.DirEntry, inside: str | None) -> tuple[str, int, int]:
    """Why a file cannot be looked at, as opening a pipe would wait for ever; bytes and time."""
    try:
        seen = entry.stat()
    except OSError as error:
        is_broken = entry.is_symlink() and isinstance(error, FileNotFoundError)
        return "a link to nothing" if is_broken else f"cannot be read: {error.strerror}", 0, 0
    reason = ""
    if stat.S_ISDIR(seen.st_mode):
        reason = "a folder named like an image"
    elif not stat.S_ISREG(seen.st_mode):
        reason = "no regular file"
    elif inside is not None and entry.is_symlink() and _leads_out(entry.path, inside):
        reason = "a link out of the folder, which data.follow_links=true would follow"
    return reason, seen.st_size, seen.st_mtime_ns


def _leads_out(path: str, inside: str) -> bool:
    return not os.path.realpath(path).startswith(inside)
