"""A zip of images from anywhere -> a folder of classes, or a refusal; nothing outside is touched.

Of the names in the zip, those of folders become the names of classes and splits, cleaned; files are
numbered. What a zip says of its sizes is held to while it is read.
"""

import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vit_keras import whole_folder
from vit_keras.errors import SettingError
from vit_keras.folders import SUFFIXES

MAX_FILES = 200_000
MAX_BYTES = 4 * 2**30  # unpacked
MAX_RATIO = 200  # of one file: photos hardly shrink in a zip, bombs by a thousand and more
SMALL = 2**20  # bytes that any file may have: one of zeros shrinks much too
CHUNK = 2**20
MAX_NAME = 80  # letters of a class, which file systems bound by 255 bytes
MARK = ".from_zip"


def unpack(file: str | Path | IO[bytes], folder: Path) -> int:
    """Write the images of a zip to `folder`, whole or not at all; gives how many there are.

    Raises:
        SettingError: it is no zip, is damaged or has a password, has a path that leads out or a
            link, unpacks to too much, or has no images in folders.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            chosen = _chosen(archive.infolist())
            with whole_folder.replacing(folder, MARK) as new:
                _write(archive, chosen, new)
                (new / MARK).touch()
            return len(chosen)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        reason = str(error) or "no reason given"
        raise SettingError(
            f"the zip cannot be read ({_shown(reason)}); make it anew, without a password"
        ) from None


def _chosen(entries: list[zipfile.ZipInfo]) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """The images among the entries, each with the folders that it lies in, cleaned."""
    _check_sizes(entries)
    found = []
    for entry in entries:
        *above, name = _parts(entry)
        folders = tuple(above)
        hidden = any(part.startswith((".", "__MACOSX")) for part in (*folders, name))
        if entry.is_dir() or hidden or not name.lower().endswith(SUFFIXES):
            continue
        if not folders:
            raise SettingError(
                f"{_shown(name)} lies in no folder of the zip; put the images of each class into a "
                "folder with its name"
            )
        found.append((entry, folders))
    if not found:
        raise SettingError(
            f"the zip has no images ({', '.join(SUFFIXES)}); it is to have a folder for each class"
        )
    while len({folders[0] for _, folders in found}) == 1 and all(f[1:] for _, f in found):
        found = [(entry, folders[1:]) for entry, folders in found]  # one folder around it all
    return [(entry, _cleaned(folders)) for entry, folders in _told_apart(found)]


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_FILES:
        raise SettingError(f"the zip has {len(entries):,} files; {MAX_FILES:,} at most are read")
    if (total := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise SettingError(
            f"the zip unpacks to {total / 1e9:.1f} GB; {MAX_BYTES / 1e9:.1f} GB at most are read: "
            "unpack it yourself and name the folder by data.path"
        )
    for entry in entries:
        if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
            raise SettingError(
                f"{_shown(entry.filename)} in the zip unpacks to {entry.file_size:,} bytes from "
                f"{entry.compress_size:,}, as no image does; leave it out"
            )


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The folders and the name of an entry, refused if they lead anywhere else."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
        raise SettingError(
            f"{_shown(entry.filename)} in the zip leads out of it; make the zip anew of the folder "
            "itself"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SettingError(
            f"{_shown(entry.filename)} in the zip is a link or no plain file; put the file itself "
            "in its place"
        )
    return path.parts or ("",)


def _told_apart(found: list[tuple[Any, tuple[str, ...]]]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """As they are, refused where two folders would become one."""
    before: dict[tuple[str, ...], tuple[str, ...]] = {}
    for entry, folders in found:
        cleaned = tuple(part.casefold() for part in _cleaned(folders))
        if before.setdefault(cleaned, folders) != folders:
            raise SettingError(
                f"the folders {_shown('/'.join(folders))} and "
                f"{_shown('/'.join(before[cleaned]))} of the zip differ in nothing but signs that "
                "a name here cannot have; rename one"
            )
        yield entry, folders


def _cleaned(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean_name(folder) for folder in folders)


def clean_name(name: str) -> str:
    """A name from elsewhere as a folder here can have it: letters, digits, spaces and `_-.`."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(letter if letter.isalnum() or letter in " _-." else "_" for letter in text)
    return text.strip(" .")[:MAX_NAME].strip(" .") or "_"


def _write(
    archive: zipfile.ZipFile, chosen: list[tuple[zipfile.ZipInfo, tuple[str, ...]]], folder: Path
) -> None:
    for number, (entry, folders) in enumerate(chosen):
        place = folder.joinpath(*folders)
        place.mkdir(parents=True, exist_ok=True)
        suffix = PurePosixPath(entry.filename).suffix.lower()
        with archive.open(entry) as source, open(place / f"{number:06}{suffix}", "xb") as target:
            left = entry.file_size
            while part := source.read(CHUNK):
                left -= len(part)
                if left < 0:
                    raise zipfile.BadZipFile("a file is longer than the zip says")
                target.write(part)


def _shown(text: str) -> str:
    """A name from the zip on one line, of letters that are what they look like."""
    return ascii(text[:MAX_NAME])
