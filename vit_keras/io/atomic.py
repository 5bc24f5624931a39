"""Atomic writes: a file or a folder of results is complete, or it is not there.

Each is written under a temporary name beside its target, on the same disk, and renamed when it is
complete. After an error, a full disk or Ctrl-C the earlier one stays and the temporary one is
removed; after a kill a hidden `.new-*` stays behind, which no reader looks at.

Flushing (fsync), for all of the package: a file is flushed to the disk before it is renamed.
Without that, a power cut may leave an empty file in the place of the earlier one. Not flushed are
`progress.json`, which is written every second and is of no use after the process that wrote it, and
folders, which may hold 100,000 images and are made from data that is still there.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from vit_keras.errors import SettingError


def check_folder(asked: str, path: Path) -> Path:
    """Return the lowest folder of `path` that exists; refuse one that nothing can be written to."""
    for folder in (path, *path.absolute().parents):
        try:
            is_folder = stat.S_ISDIR(folder.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            raise cannot_be_made(asked, error) from None
        if not is_folder:
            raise SettingError(f"{asked}: {folder} is a file; choose a folder instead")
        if not os.access(folder, os.W_OK):
            raise SettingError(
                f"{asked}: {folder} is read-only; choose a folder that you may write to"
            )
        if folder != path:  # others may be replacing a folder that exists
            _check_writable(asked, folder)
        break
    return folder


def _check_writable(asked: str, folder: Path) -> None:
    """Refuse a folder such as /proc, in which root seems to be allowed everything."""
    if os.geteuid():
        return
    probe = folder / f".new-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise cannot_be_made(asked, error) from None


def cannot_be_made(asked: str, error: OSError) -> SettingError:
    return SettingError(
        f"{asked} cannot be made ({error.strerror}); choose a folder that you may write to"
    )


def check_output_file(file: Path, overwrite: bool, way_out: str) -> None:
    """Refuse a path that a file cannot be written to.

    Args:
        file: the path.
        overwrite: whether a file that exists may be replaced.
        way_out: the option that allows it, such as `overwrite=true`.

    Raises:
        SettingError: naming the setting `output`.
    """
    _check_writable(f"output={file}", check_folder(f"output={file}", file.parent))
    if file.is_dir():
        raise SettingError(f"output={file} is a folder; name a file")
    if os.path.lexists(file) and not overwrite:
        raise SettingError(f"output={file} is there already; choose another name, or set {way_out}")


@contextlib.contextmanager
def atomic_file(file: Path, shared: bool = True, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `file` when the block ends without an error.

    Args:
        file: the target; its folder is made if need be.
        shared: whether others may write it at the same time; the last one to finish wins. Where a
            lock excludes that, the temporary file always has the same name: what a killed process
            left of it is then overwritten and does not pile up.
        flush: see the module's docstring.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    token = f"{secrets.token_hex(4)}-" if shared else ""
    new = file.with_name(f".new-{token}{file.name}")  # the suffix stays: Keras and NumPy read it
    try:
        yield new
        if flush:
            with open(new, "rb") as written:
                os.fsync(written.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def write_text(file: Path, text: str, shared: bool = True, flush: bool = True) -> None:
    """Write a text file in UTF-8 by `atomic_file`."""
    with atomic_file(file, shared, flush) as new:
        new.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, removed at the end unless the block has renamed it."""
    new = folder.with_name(f".new-{folder.name}-{secrets.token_hex(4)}")
    try:
        new.mkdir(parents=True)
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_output_folder(folder: Path, mark: str) -> None:
    """Refuse a path that a folder of results cannot be written to.

    An earlier folder of the same kind is recognised by its file `mark` and may be replaced; a
    folder that holds anything else is not touched.

    Raises:
        SettingError: naming the setting `output`.
    """
    for _ in range(4):
        with contextlib.suppress(SettingError, FileNotFoundError):
            return _check_output_folder(folder, mark)
        time.sleep(0.002)  # another writer may be replacing it: only a refusal that lasts counts
    return _check_output_folder(folder, mark)


def _check_output_folder(folder: Path, mark: str) -> None:
    existing = check_folder(f"output={folder}", folder)
    if existing == folder and any(folder.iterdir()) and not (folder / mark).is_file():
        raise SettingError(
            f"output={folder} is not empty, and has no {mark} of an earlier time; choose a new or "
            "empty folder"
        )


@contextlib.contextmanager
def atomic_folder(folder: Path, mark: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder to write to; it becomes `folder` when the block ends without error.

    Args:
        folder: the target; absent or empty, or with `mark` an earlier folder of the same kind.
        mark: the file that such an earlier folder has; None where nothing may be replaced.

    Raises:
        SettingError: the folder holds something else, see `check_output_folder`.
        OSError: without `mark`, the folder is not empty when it is to be put in place.
    """
    if mark is not None:
        check_output_folder(folder, mark)
    with temporary_folder(folder) as new:
        yield new
        if mark is None:
            new.replace(folder)
        else:
            _replace_folder(new, folder)


def _replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; what has that name is removed, also another writer's."""
    with temporary_folder(folder) as old:
        while True:
            try:
                new.replace(folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            # Only an empty folder can be renamed over: for a moment there is none.
            with contextlib.suppress(FileNotFoundError):  # another writer has just done the same
                folder.replace(old / secrets.token_hex(4))


def output_folder(place: str | Path, mark: str) -> Path:
    """Return `place` as an absolute path; refuse one that `check_output_folder` refuses."""
    folder = Path(place).expanduser().absolute()
    check_output_folder(folder, mark)
    return folder
