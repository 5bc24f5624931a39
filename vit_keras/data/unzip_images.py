"""Unzip an untrusted archive of images into a folder of classes.

The names of the archive's folders, sanitized, become the names of classes and splits, and its files
keep their names, sanitized. Nothing is written outside of the destination. Files are left out by
the rules of `layout_names`, as in a folder; the mark in the destination lists them.
"""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from vit_keras.data.readers import class_layout, layout_names
from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.io.zip_files import printable_name

MARK = ".from_zip"
SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
Member = tuple[zipfile.ZipInfo, tuple[str, ...]]  # a file, and the folders that it is in


class LeftOut(NamedTuple):
    """A file of the archive that is not unzipped."""

    name: str
    reason: str


class _ZipTree:
    """The folders of an archive, as `class_layout` looks at them."""

    name = "the zip"

    def __init__(self, members: Iterable[Member]) -> None:
        self.files = Counter("/".join(folders) for _, folders in members)

    def folders(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        below = {file.removeprefix(start) for file in self.files if file.startswith(start)}
        return sorted({path.split("/")[0] for path in below if path})

    def check_links(self, folder: str) -> None:
        pass  # a zip with links is refused

    def holds(self, folder: str) -> str:
        return class_layout.IMAGES  # other files are left out before

    def count_images(self, folder: str) -> int:
        return self.files[folder]


def unzip_images(file: str | Path | IO[bytes], folder: Path) -> int:
    """Unzip all images to `folder`, or none; returns their number.

    Raises:
        SettingError: the file is no zip, is damaged, encrypted or too large, has links or paths
            that lead out of it, or has no images in folders.
    """
    with zip_files.open_untrusted(file) as archive:
        members, left_out = _image_members(archive.infolist())
        with atomic.atomic_folder(folder, MARK) as new:
            names = DistinctNames()
            for entry, folders in members:
                name = names.of(folders, PurePosixPath(entry.filename.replace("\\", "/")).name)
                zip_files.extract_member(archive, entry, new.joinpath(*folders, name))
            (new / MARK).write_text(json.dumps(left_out), encoding="ascii")
        return len(members)


def read_left_out(folder: Path) -> list[LeftOut]:
    """The files of the archive that were not unzipped to `folder`, with the reason."""
    text = (folder / MARK).read_text(encoding="ascii")
    return [LeftOut(*row) for row in json.loads(text or "[]")]  # version 0.1 wrote an empty mark


class DistinctNames:
    """Names for untrusted files, like those that they have, and each once in its folder."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, ...]] = Counter()

    def of(self, folders: Iterable[str], name: str) -> str:
        """`Rose 1?.JPG` -> `Rose 1_.jpg`; `Rose 1_-2.jpg` if there is one of that name."""
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        suffix = suffix if SUFFIX.fullmatch(suffix) else ""
        stem = zip_files.sanitized_name(path.stem if suffix else name)
        place = tuple(folder.casefold() for folder in folders)
        first = (*place, f"{stem}{suffix}".casefold())
        found = f"{stem}{suffix}"
        while self._taken[(*place, found.casefold())]:
            self._taken[first] += 1
            found = f"{stem}-{self._taken[first]}{suffix}"
        self._taken[(*place, found.casefold())] += 1
        return found


def _image_members(entries: list[zipfile.ZipInfo]) -> tuple[list[Member], list[LeftOut]]:
    """The files that may be images, with the sanitized names of their folders; and the others."""
    found: list[Member] = []
    left_out = []
    for entry in entries:
        *folder_names, name = zip_files.member_parts(entry)
        folders = tuple(map(layout_names.class_name, folder_names))
        if entry.is_dir() or any(map(layout_names.is_hidden, (*folders, name))):
            continue
        if reason := _reason(folders, name):
            left_out.append(LeftOut(entry.filename, reason))
            continue
        if not folders and layout_names.is_named_as_image(name):
            raise SettingError(
                f"{printable_name(name)} is in no folder of the zip; put the images of each "
                "class into a folder with its name"
            )
        if not folders:
            left_out.append(LeftOut(entry.filename, "in no folder"))
            continue
        found.append((entry, folders))
    if not found:
        raise SettingError(
            f"the zip has no images ({', '.join(layout_names.SUFFIXES)}); it needs a folder for "
            "each class"
        )
    around = len(PurePosixPath(class_layout.unwrapped(_ZipTree(found), "")).parts)
    inside = [(entry, folders[around:]) for entry, folders in found if folders[around:]]
    left_out += [
        LeftOut(entry.filename, "in no folder of a class")
        for entry, folders in found
        if not folders[around:]
    ]
    _check_distinct(inside)
    return [(entry, _sanitized(folders)) for entry, folders in inside], left_out


def _reason(folders: tuple[str, ...], name: str) -> str:
    """Why a file is left out by its name; empty if it may be an image."""
    for folder in folders:
        if system := layout_names.system_of(folder):
            return f"in a folder of {system}"
    return layout_names.not_an_image(name)


def _check_distinct(found: list[Member]) -> None:
    """Refuse two folders whose sanitized names are the same."""
    originals: dict[tuple[str, ...], tuple[str, ...]] = {}
    for _, folders in found:
        key = tuple(part.casefold() for part in _sanitized(folders))
        original = originals.setdefault(key, folders)
        if original != folders:
            raise SettingError(
                f"the folders {printable_name('/'.join(folders))} and "
                f"{printable_name('/'.join(original))} of the zip differ only in "
                "characters that a folder's name cannot have here, or in case; rename one"
            )


def _sanitized(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(zip_files.sanitized_name(folder) for folder in folders)
