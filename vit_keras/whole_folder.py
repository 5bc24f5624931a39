"""A folder of results that is whole or not there: written beside its place, then renamed."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.run import check_folder


def check_replaceable(folder: Path, mark: str) -> None:
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
def replacing(folder: Path, mark: str) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` when the block ends well."""
    check_replaceable(folder, mark)
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
