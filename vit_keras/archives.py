"""Whether a zip file is whole, as `.keras` and `.npz` files are: told without Keras."""

import zipfile
import zlib
from pathlib import Path

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


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
