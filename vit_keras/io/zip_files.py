"""Zip files: whether a `.keras` file is intact, without Keras, and safe reading of untrusted zips.

An untrusted zip is checked before anything is written: number of files, unpacked size, compression
ratio, paths that lead out, links. The sizes in its directory are enforced while it is read.
"""

import contextlib
import lzma
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from vit_keras.errors import SettingError
from vit_keras.text import first_line

# What zipfile, zlib and NumPy raise for damaged bytes; a flipped bit can mean "encrypted" too.
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, OSError, EOFError, RuntimeError)
PARTS = (
    "metadata.json",
    "config.json",
    "model.weights",
)  # name prefixes in a `.keras` file
FULLY_CHECKED = 2**25  # bytes; of a larger file only the directory is checked


def model_fault(file: Path, full_check: bool = False) -> str:
    """The fault of a `.keras` file in a few words; empty for an intact file.

    A truncated file is always detected; damage inside it in files up to 32 MiB, or with
    `full_check`.
    """
    if not file.is_file():
        return f"it has no {file.name}"
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            for part in PARTS:
                if not any(name.startswith(part) for name in names):
                    return f"{file.name} is damaged (it has no {part})"
            if full_check or file.stat().st_size <= FULLY_CHECKED:
                damaged = archive.testzip()
                return f"{file.name} is damaged (checksum of {damaged})" if damaged else ""
    except UNREADABLE as error:
        return f"{file.name} is damaged ({first_line(error)})"
    return ""


MAX_FILES = 200_000
MAX_BYTES = 4 * 2**30  # unpacked
MAX_RATIO = 200  # of one file: ordinary files compress less, zip bombs 1000 times and more
SMALL = 2**20  # bytes; a smaller file may have any ratio, as one of zeros has
CHUNK = 2**20
MAX_NAME = 60  # letters, of up to four bytes each; file systems allow 255 bytes


@contextlib.contextmanager
def open_untrusted(file: str | Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip after checking the number and the sizes of its files.

    Raises:
        SettingError: it exceeds a limit, is not a zip, is damaged, or needs a password.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive.infolist())
            yield archive
    except SettingError:
        raise
    # zipfile raises NotImplementedError for a compression or encryption that it does not support.
    except (*UNREADABLE, NotImplementedError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:  # errors of damage have none
            raise SettingError(
                f"{error.filename or 'what is in the zip'} cannot be read or written "
                f"({error.strerror}); make room, or give access"
            ) from None
        raise SettingError(
            f"the zip cannot be read ({printable_name(first_line(error))}); create it again, "
            "without a password"
        ) from None


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_FILES:
        raise SettingError(f"the zip has {len(entries):,} files; {MAX_FILES:,} at most are read")
    if (total := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise SettingError(
            f"the zip unpacks to {total / 1e9:.1f} GB; {MAX_BYTES / 1e9:.1f} GB at most are read: "
            "unpack it yourself, and name the folder"
        )
    for entry in entries:
        if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
            raise SettingError(
                f"{printable_name(entry.filename)} in the zip unpacks to {entry.file_size:,} bytes "
                f"from {entry.compress_size:,}, as no image or model does; leave it out"
            )


def member_parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Folders and name of an entry.

    Raises:
        SettingError: the path leads out of the zip, or the entry is not a regular file.
    """
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip leads out of it; create the zip again "
            "from the folder itself"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip is a link or no plain file; put the file "
            "itself in its place"
        )
    return path.parts or ("",)


def extract_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Extract one file of the zip to `target`, which must not exist.

    Raises:
        SettingError: another file of the zip has this path, or has it as a folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=False)
    except (FileExistsError, NotADirectoryError):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip has the name of another file there; "
            "create the zip again"
        ) from None
    with archive.open(entry) as source, open(target, "wb") as out:
        left = entry.file_size
        while part := source.read(CHUNK):
            left -= len(part)
            if left < 0:
                raise zipfile.BadZipFile("a file is longer than the zip says")
            out.write(part)


def sanitized_name(name: str) -> str:
    """An untrusted name as a safe folder name: letters, digits, spaces and `_-.`."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(letter if letter.isalnum() or letter in " _-." else "_" for letter in text)
    return text.strip(" .")[:MAX_NAME].strip(" .") or "_"


def printable_name(text: str) -> str:
    """An untrusted name on one line in ASCII, so that no letter imitates another."""
    return ascii(text[:MAX_NAME])
