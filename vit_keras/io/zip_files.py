"""Whether a zip file is whole, as `.keras` and `.npz` files are: told without Keras.

Zips from anywhere: refused for what they could do, before a byte of them is written.

What a zip says of its sizes is held to while it is read.
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
PARTS = ("metadata.json", "config.json", "model.weights")  # of a `.keras` file: names begin so
READ_WHOLE = 2**25  # bytes: of a larger file only the directory is looked at


def model_fault(file: Path, whole: bool = False) -> str:
    """What is wrong with a `.keras` file, in a few words; nothing of one that is whole.

    Cut short is always seen, damage between the ends in files up to 32 MiB, or with `whole`.
    """
    if not file.is_file():
        return f"it has no {file.name}"
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            for part in PARTS:
                if not any(name.startswith(part) for name in names):
                    return f"{file.name} is damaged (it has no {part})"
            if whole or file.stat().st_size <= READ_WHOLE:
                damaged = archive.testzip()
                return f"{file.name} is damaged (checksum of {damaged})" if damaged else ""
    except UNREADABLE as error:
        return f"{file.name} is damaged ({first_line(error)})"
    return ""


MAX_FILES = 200_000
MAX_BYTES = 4 * 2**30  # unpacked
MAX_RATIO = 200  # of one file: what people zip shrinks by less, bombs by a thousand and more
SMALL = 2**20  # bytes that any file may have: one of zeros shrinks much too
CHUNK = 2**20
MAX_NAME = 60  # letters of a name, of up to four bytes: file systems bound them by 255 bytes


@contextlib.contextmanager
def open_untrusted(file: str | Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """The zip, whose files are few enough, and unpack to no more than they may.

    Raises:
        SettingError: that is not so; it is no zip, is damaged, or has a password.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive.infolist())
            yield archive
    except SettingError:
        raise
    # zipfile raises NotImplementedError for a compression or an encryption that it has not.
    except (*UNREADABLE, NotImplementedError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:  # a damaged one has no number
            raise SettingError(
                f"{error.filename or 'what is in the zip'} cannot be read or written "
                f"({error.strerror}); make room, or give access"
            ) from None
        raise SettingError(
            f"the zip cannot be read ({printable_name(first_line(error))}); make it anew, without "
            "a password"
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
    """The folders and the name of an entry.

    Raises:
        SettingError: they lead anywhere else, or the entry is no plain file.
    """
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip leads out of it; make the zip anew of "
            "the folder itself"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip is a link or no plain file; put the file "
            "itself in its place"
        )
    return path.parts or ("",)


def extract_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """One file of the zip to a new place.

    Raises:
        SettingError: two files of the zip have it, or one has it as a folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=False)
    except (FileExistsError, NotADirectoryError):
        raise SettingError(
            f"{printable_name(entry.filename)} in the zip has the name of another file there; make "
            "the zip anew"
        ) from None
    with archive.open(entry) as source, open(target, "wb") as out:
        left = entry.file_size
        while part := source.read(CHUNK):
            left -= len(part)
            if left < 0:
                raise zipfile.BadZipFile("a file is longer than the zip says")
            out.write(part)


def sanitized_name(name: str) -> str:
    """A name from elsewhere as a folder here can have it: letters, digits, spaces and `_-.`."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(letter if letter.isalnum() or letter in " _-." else "_" for letter in text)
    return text.strip(" .")[:MAX_NAME].strip(" .") or "_"


def printable_name(text: str) -> str:
    """A name from the zip on one line, of letters that are what they look like."""
    return ascii(text[:MAX_NAME])
