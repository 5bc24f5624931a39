"""A file of results that is whole or not there: written beside its place, then renamed.

A folder of results that is whole or not there: written beside its place, then renamed.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from vit_keras.errors import SettingError


def check_folder(asked: str, path: Path) -> Path:
    """What there is of `path`, from above; refused if no folder can be made or written below."""
    try:
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise _cannot_be_made(asked, error) from None
    if not there.is_dir():
        raise SettingError(f"{asked}: {there} is a file; choose a folder instead")
    if not os.access(there, os.W_OK):
        raise SettingError(f"{asked}: {there} is read-only; choose a folder that you may write to")
    return there


def _cannot_be_made(asked: str, error: OSError) -> SettingError:
    return SettingError(
        f"{asked} cannot be made ({error.strerror}); choose a folder that you may write to"
    )


def check_output_file(file: Path, overwrite: bool, way_out: str) -> None:
    """Refuse a place that a file cannot be put in.

    Args:
        file: the place.
        overwrite: whether a file that is there may be replaced.
        way_out: what says so, such as `overwrite=true`.

    Raises:
        SettingError: naming `output`, the setting that says where.
    """
    check_folder(f"output={file}", file.parent)
    if file.is_dir():
        raise SettingError(f"output={file} is a folder; name a file")
    if os.path.lexists(file) and not overwrite:
        raise SettingError(f"output={file} is there already; choose another name, or set {way_out}")


@contextlib.contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """A path to write to; what was written becomes `file` when the block ends well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".new-{secrets.token_hex(4)}-{file.name}")  # keeps the suffix
    try:
        yield new
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def check_output_folder(folder: Path, mark: str) -> None:
    """Refuse a place that results cannot be put in.

    An earlier folder of the same kind, which has the file `mark`, may be replaced; whatever else
    lies there is somebody's.

    Raises:
        SettingError: naming `output`, the setting that says where.
    """
    there = check_folder(f"output={folder}", folder)
    if there == folder and any(folder.iterdir()) and not (folder / mark).is_file():
        raise SettingError(
            f"output={folder} is not empty, and has no {mark} of an earlier time; choose a new or "
            "empty folder"
        )


@contextlib.contextmanager
def atomic_folder(folder: Path, mark: str) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` when the block ends well."""
    check_output_folder(folder, mark)
    own = secrets.token_hex(4)  # another thread may be at the same folder
    new, old = (folder.with_name(f".{kind}-{folder.name}-{own}") for kind in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def output_folder(place: str | Path, mark: str) -> Path:
    """The folder `place`, absolute; refused if results marked by `mark` cannot be put there."""
    folder = Path(place).expanduser().absolute()
    check_output_folder(folder, mark)
    return folder
