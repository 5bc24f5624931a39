"""A run, or another folder of results, as one zip to be handed on."""

import io
import os
import zipfile
from pathlib import Path
from typing import IO

from vit_keras.errors import SettingError
from vit_keras.run import LOCK

TO_RESUME = ("checkpoint", "last.keras")  # several times the model, and of no use to others
MAX_BYTES = 2**30  # that are held in memory


def write(folder: Path, target: str | Path | IO[bytes], whole: bool = False) -> int:
    """Put a folder's files below its name into a zip; gives how many there are.

    Links are left out, and so is what is half written.

    Args:
        folder: a run, or any other.
        target: the zip.
        whole: also what a run is resumed from.

    Raises:
        SettingError: the folder is gone, or cannot be read.
    """
    files = chosen(folder, whole)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, Path(folder.resolve().name, file.relative_to(folder)))
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be zipped ({error.strerror}); see that it is whole and can be read"
        ) from None
    return len(files)


def chosen(folder: Path, whole: bool = False) -> list[Path]:
    """The files that `write` takes, in order.

    Raises:
        SettingError: the folder is gone.
    """
    if not folder.is_dir():
        raise SettingError(f"{folder} is no folder (any more); choose another run")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith((".new-", ".old-")))
        if not whole and Path(place) == folder:
            folders[:] = [name for name in folders if name not in TO_RESUME]
            names = [name for name in names if name not in TO_RESUME]
        files = [Path(place, n) for n in sorted(names) if n != LOCK and not n.startswith(".new-")]
        found += [file for file in files if file.is_file() and not file.is_symlink()]
    return found


def content(folder: Path, whole: bool = False) -> bytes:
    """The zip in memory.

    Raises:
        SettingError: as `write`, or it is too large for that.
    """
    size = sum(file.stat().st_size for file in chosen(folder, whole))
    if size > MAX_BYTES:
        raise SettingError(
            f"{folder} has {size / 1e9:.1f} GB, {MAX_BYTES / 1e9:.1f} GB at most are held in "
            "memory; write the zip by scripts/runs.py zip"
        )
    stream = io.BytesIO()
    write(folder, stream, whole)
    return stream.getvalue()
