"""A file of results that is whole or not there: written beside its place, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.run import check_folder


def check_free(file: Path, overwrite: bool, way_out: str) -> None:
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
def replacing(file: Path) -> Iterator[Path]:
    """A path to write to; what was written becomes `file` when the block ends well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".new-{secrets.token_hex(4)}-{file.name}")  # keeps the suffix
    try:
        yield new
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
