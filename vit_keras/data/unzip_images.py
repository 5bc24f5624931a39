"""A zip of images from anywhere -> a folder of classes, or a refusal; nothing outside is touched.

Of the names in the zip, those of folders become the names of classes and splits, cleaned; files are
numbered.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from vit_keras.data.readers.folder_layout import SUFFIXES
from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.io.zip_files import printable_name

MARK = ".from_zip"
# An entry, and the folders that it lies in.
Placed = tuple[zipfile.ZipInfo, tuple[str, ...]]


def unzip_images(file: str | Path | IO[bytes], folder: Path) -> int:
    """Write the images of a zip to `folder`, whole or not at all; gives how many there are.

    Raises:
        SettingError: it is no zip, is damaged or has a password, has a path that leads out or a
            link, unpacks to too much, or has no images in folders.
    """
    with zip_files.open_untrusted(file) as archive:
        chosen = _chosen(archive.infolist())
        with atomic.atomic_folder(folder, MARK) as new:
            for number, (entry, folders) in enumerate(chosen):
                suffix = PurePosixPath(entry.filename).suffix.lower()
                zip_files.extract_member(
                    archive, entry, new.joinpath(*folders, f"{number:06}{suffix}")
                )
            (new / MARK).touch()
        return len(chosen)


def _chosen(entries: list[zipfile.ZipInfo]) -> list[Placed]:
    """The images among the entries, each with the folders that it lies in, cleaned."""
    found = []
    for entry in entries:
        *above, name = zip_files.member_parts(entry)
        folders = tuple(above)
        hidden = any(part.startswith((".", "__MACOSX")) for part in (*folders, name))
        if entry.is_dir() or hidden or not name.lower().endswith(SUFFIXES):
            continue
        if not folders:
            raise SettingError(
                f"{printable_name(name)} lies in no folder of the zip; put the images of each "
                "class into a folder with its name"
            )
        found.append((entry, folders))
    if not found:
        raise SettingError(
            f"the zip has no images ({', '.join(SUFFIXES)}); it is to have a folder for each class"
        )
    while len({folders[0] for _, folders in found}) == 1 and all(f[1:] for _, f in found):
        found = [(entry, folders[1:]) for entry, folders in found]  # one folder around it all
    return [(entry, _cleaned(folders)) for entry, folders in _told_apart(found)]


def _told_apart(found: list[Placed]) -> Iterator[Placed]:
    """As they are, refused where two folders would become one."""
    before: dict[tuple[str, ...], tuple[str, ...]] = {}
    for entry, folders in found:
        cleaned = tuple(part.casefold() for part in _cleaned(folders))
        if before.setdefault(cleaned, folders) != folders:
            raise SettingError(
                f"the folders {printable_name('/'.join(folders))} and "
                f"{printable_name('/'.join(before[cleaned]))} of the zip differ in nothing but "
                "signs that a name here cannot have; rename one"
            )
        yield entry, folders


def _cleaned(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(zip_files.sanitized_name(folder) for folder in folders)
