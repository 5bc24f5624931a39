"""Unzip an untrusted archive of images into a folder of classes.

The names of the archive's folders, sanitized, become the names of classes and splits; files are
numbered. Nothing is written outside of the destination.
"""

import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from vit_keras.data.readers.folder_layout import SUFFIXES
from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.io.zip_files import printable_name

MARK = ".from_zip"
Member = tuple[zipfile.ZipInfo, tuple[str, ...]]  # an image, and the folders that it is in


def unzip_images(file: str | Path | IO[bytes], folder: Path) -> int:
    """Unzip all images to `folder`, or none; returns their number.

    Raises:
        SettingError: the file is no zip, is damaged, encrypted or too large, has links or paths
            that lead out of it, or has no images in folders.
    """
    with zip_files.open_untrusted(file) as archive:
        members = _image_members(archive.infolist())
        with atomic.atomic_folder(folder, MARK) as new:
            for number, (entry, folders) in enumerate(members):
                suffix = PurePosixPath(entry.filename).suffix.lower()
                zip_files.extract_member(
                    archive, entry, new.joinpath(*folders, f"{number:06}{suffix}")
                )
            (new / MARK).touch()
        return len(members)


def _image_members(entries: list[zipfile.ZipInfo]) -> list[Member]:
    """The images of the archive, with the sanitized names of their folders."""
    found = []
    for entry in entries:
        *folder_names, name = zip_files.member_parts(entry)
        folders = tuple(folder_names)
        hidden = any(part.startswith((".", "__MACOSX")) for part in (*folders, name))
        if entry.is_dir() or hidden or not name.lower().endswith(SUFFIXES):
            continue
        if not folders:
            raise SettingError(
                f"{printable_name(name)} is in no folder of the zip; put the images of each "
                "class into a folder with its name"
            )
        found.append((entry, folders))
    if not found:
        raise SettingError(
            f"the zip has no images ({', '.join(SUFFIXES)}); it needs a folder for each class"
        )
    # A single folder around all others is no class.
    while len({folders[0] for _, folders in found}) == 1 and all(f[1:] for _, f in found):
        found = [(entry, folders[1:]) for entry, folders in found]
    _check_distinct(found)
    return [(entry, _sanitized(folders)) for entry, folders in found]


def _check_distinct(found: list[Member]) -> None:
    """Refuse two folders whose sanitized names are the same."""
    originals: dict[tuple[str, ...], tuple[str, ...]] = {}
    for _, folders in found:
        key = tuple(part.casefold() for part in _sanitized(folders))
        original = originals.setdefault(key, folders)
        if original != folders:
            raise SettingError(
                f"the folders {printable_name('/'.join(folders))} and "
                f"{printable_name('/'.join(original))} of the zip differ only in characters that "
                "a folder's name cannot have here; rename one"
            )


def _sanitized(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(zip_files.sanitized_name(folder) for folder in folders)
