"""Scan files of many encoded images: look at every record once, and cache what was found.

A scan is valid while the size, the times of change and the inode of its file are unchanged.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from vit_keras.config.schema import DataConfig
from vit_keras.data.image_formats import NO_IMAGE, pillow_warnings_ignored
from vit_keras.data.lazy_images import FileRecord
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.readers import scan_cache
from vit_keras.data.readers.folder_scan import examine, in_version, is_for_now, unusable
from vit_keras.io import parallel

CHUNK = 64  # images in the threads at a time: their bytes are in memory
NO_BYTES = "no bytes of an image"
NO_IMAGE_BYTES = "its bytes are no image"

Example = tuple[bytes | None, Any]  # an encoded image, or none, and its label


@dataclass(frozen=True)
class Shard:
    """A file of records, one of those that a split consists of."""

    name: str  # within the data set
    path: Path
    split: str
    count: int  # of its records


class ScannedRecord(NamedTuple):
    """A record of a shard, with its label as it is stored."""

    label: Any
    record: FileRecord


def record_name(shard: Shard, row: int) -> str:
    """The name of a record within the data set: `train.parquet#17` is the eighteenth."""
    return f"{shard.name}#{row}"


def split_name(name: str) -> tuple[str, int]:
    """The shard and the row of a record's name."""
    shard, _, row = name.rpartition("#")
    return shard, int(row)


def cached(shard: Shard, kind: str, options: PixelOptions) -> list[ScannedRecord] | None:
    """What the last scan of a shard found, if it has not changed since."""
    status = _status(shard.path)
    rows = scan_cache.read(shard.path, _full_kind(kind, options))
    if len(rows) != shard.count:
        return None
    try:
        found = [ScannedRecord(label, FileRecord(*row)) for label, *row in rows]
    except TypeError:
        return None
    # A shard that was renamed has the same content and other names.
    is_same = all(
        record[2:5] == status and record.path == record_name(shard, row)
        for row, (_, record) in enumerate(found)
    )
    return found if is_same else None


def scan(
    shard: Shard,
    examples: Iterable[Example],
    kind: str,
    config: DataConfig,
    bar: tqdm,
    copy: IO[bytes] | None = None,
) -> list[ScannedRecord]:
    """Look at each record of a shard, in threads, and keep what is found in the cache.

    Args:
        shard: the file.
        examples: its images and labels, in order.
        kind: of the scan: which parts of a record it reads.
        config: of the data.
        bar: of the progress, which goes on by each record.
        copy: gets the bytes of the images, one after the other.
    """
    options, status = PixelOptions.of(config), _status(shard.path)
    numbered = enumerate(examples)

    def look(item: tuple[int, Example]) -> ScannedRecord:
        row, (content, label) = item
        name = record_name(shard, row)
        if content is None:
            return ScannedRecord(label, unusable(name, (0, *status), NO_BYTES))
        record = examine(content, name, (len(content), *status), options)
        if record.reason == NO_IMAGE:  # of a record one was expected
            record = record._replace(reason=NO_IMAGE_BYTES)
        return ScannedRecord(label, record)

    found: list[ScannedRecord] = []
    with (
        pillow_warnings_ignored(),
        ThreadPoolExecutor(config.workers or parallel.available_cores()) as pool,
    ):
        for chunk in _chunks(numbered):
            results = pool.map(look, chunk)
            if copy is not None:
                copy.writelines(content for _, (content, _) in chunk if content is not None)
            found += results
            bar.update(len(chunk))
    if not any(is_for_now(record.reason) for _, record in found):
        rows = [(label, *record) for label, record in found]
        scan_cache.write(shard.path, rows, _full_kind(kind, options))
    return found


def usable_in_version(found: list[ScannedRecord], config: DataConfig) -> list[ScannedRecord]:
    """The records as `data.decoder_version` has them."""
    version = config.decoder_version
    return [one._replace(record=in_version(one.record, version)) for one in found]


def _chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(items, CHUNK)):
        yield chunk


def _status(path: Path) -> tuple[int, int, int]:
    """When a file changed, and which it is, as in a `FileRecord`."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _full_kind(kind: str, options: PixelOptions) -> str:
    return f"records {kind}" + ("" if options.value_range is None else " values")
