"""Copies of the images of record files, from which any of them is read without the others.

Parquet compresses whole pages of rows: reading one image means unpacking its neighbours. So the
bytes of a file's images are written once, one after the other, into
`$XDG_CACHE_HOME/vit_keras/records`, and read from there by their offsets. They are read and not
mapped: the memory of a process stays small however large the data set is, and a thread that waits
for the disk does not hold the others up.
"""

import array
import functools
import hashlib
import itertools
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

from tqdm import tqdm

from vit_keras.cache import cache_folder
from vit_keras.config.schema import DataConfig
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.readers import record_scan
from vit_keras.data.readers.record_scan import Example, ScannedRecord, Shard, split_name
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import first_line

OPEN_FILES = 256  # at a time; most systems allow a process 1024
SPARE = 1.05  # disk space asked for, of what the files take


def scan(
    shards: Sequence[Shard],
    examples: Callable[[Shard], Iterable[Example]],
    kind: str,
    config: DataConfig,
    is_copied: bool = True,
) -> dict[Shard, list[ScannedRecord]]:
    """What the records of each shard are; those that are new are looked at, and copied.

    Args:
        shards: files of records.
        examples: the images and labels of one, in order.
        kind: of the scan: which parts of a record it reads.
        config: of the data.
        is_copied: whether `CopiedImages` reads the images.

    Raises:
        SettingError: a file is damaged, or cannot be copied.
    """
    found: dict[Shard, list[ScannedRecord]] = {}
    for shard in shards:
        known = record_scan.cached(shard, kind, PixelOptions.of(config))
        if known is not None and (not is_copied or _is_whole(shard, known)):
            found[shard] = known
    new = [shard for shard in shards if shard not in found]
    total, what = sum(shard.count for shard in new), "copying" if is_copied else "scanning"
    if is_copied:
        _check_space(new)
    with tqdm(total=total, desc=what, unit=" images", delay=2, disable=None) as bar:
        for shard in new:
            with _copy(shard) if is_copied else nullcontext() as copy:
                found[shard] = record_scan.scan(shard, examples(shard), kind, config, bar, copy)
            if is_copied:
                _remove_older(shard)
    return {shard: record_scan.usable_in_version(found[shard], config) for shard in shards}


def _copy_file(shard: Shard) -> Path:
    """The copy of a shard, of its present version.

    Raises:
        SettingError: there is no folder for caches.
    """
    status = shard.path.stat()
    version = f"{status.st_mtime_ns}-{status.st_size}"
    return _folder() / f"{_key(shard)}-{version}.bin"


def _is_whole(shard: Shard, found: list[ScannedRecord]) -> bool:
    """Whether the copy of a shard is there, as long as its images are together."""
    try:
        return _copy_file(shard).stat().st_size == sum(record.bytes for _, record in found)
    except OSError:
        return False


def _remove_older(shard: Shard) -> None:
    """Remove the copies of earlier versions of a shard."""
    current = _copy_file(shard)
    for file in current.parent.glob(f"{_key(shard)}-*.bin"):
        if file != current:
            file.unlink(missing_ok=True)


def _check_space(shards: Iterable[Shard]) -> None:
    """Refuse to copy shards that the disk of the cache has no space for.

    Raises:
        SettingError: naming the space, and XDG_CACHE_HOME.
    """
    needed = SPARE * sum(shard.path.stat().st_size for shard in shards)
    folder = _folder()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise SettingError(
            f"the images of these files are copied once, into {folder}, which needs "
            f"{needed / 1e9:.1f} GB and has {free / 1e9:.1f} GB free; make space, or set "
            "XDG_CACHE_HOME to a folder on a larger disk"
        )


@contextmanager
def _copy(shard: Shard) -> Iterator[IO[bytes]]:
    """The file that a shard's images are copied to; it is there once it is whole.

    Raises:
        SettingError: it cannot be written.
    """
    target = _copy_file(shard)
    try:
        with atomic.atomic_file(target) as path, open(path, "wb") as file:
            yield file
    except OSError as error:
        raise SettingError(
            f"the images of {shard.path} cannot be copied to {target.parent} "
            f"({first_line(error)}); make space, or set XDG_CACHE_HOME to another folder"
        ) from None


class CopiedImages:
    """The images of shards by their names, read from the copies.

    Args:
        found: the shards, each with all of its records.
    """

    def __init__(self, found: dict[Shard, list[ScannedRecord]]) -> None:
        self._copies = copies = {shard.name: _copy_file(shard) for shard in found}
        self._paths = {shard.name: shard.path for shard in found}
        self._offsets = {
            shard.name: array.array(
                "q", itertools.accumulate((record.bytes for _, record in records), initial=0)
            )
            for shard, records in found.items()
        }
        # Without a reference to this object, with which they are closed.
        self._file = functools.lru_cache(OPEN_FILES)(lambda name: _OpenFile(copies[name]))

    def read(self, path: str) -> bytes:
        name, row = split_name(path)
        offsets = self._offsets[name]
        start, end = offsets[row], offsets[row + 1]
        file = self._file(name)  # which stays open until the end of this call
        content = os.pread(file.descriptor, end - start, start)  # threads share no position
        if len(content) < end - start:
            raise OSError(f"{self._copies[name]} was cut off")
        return content

    def place(self, path: str) -> str:
        name, row = split_name(path)
        return f"{self._paths[name]}#{row}"


class _OpenFile:
    """A file that is open for reading until the last reference to it is gone."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)


def _folder() -> Path:
    try:
        return cache_folder() / "records"
    except RuntimeError:
        raise SettingError(
            "the images of these files are copied once, and there is no home directory; set "
            "XDG_CACHE_HOME to a folder"
        ) from None


def _key(shard: Shard) -> str:
    return hashlib.sha256(os.fsencode(shard.path.resolve())).hexdigest()[:24]
