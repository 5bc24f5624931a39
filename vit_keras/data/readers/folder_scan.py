"""Scan a folder or a table of images: open each file once, and cache what was found.

A record is valid while the size, the times of change and the inode of its file are unchanged.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data import decode, scientific_files
from vit_keras.data.image_formats import VERSION_1, pillow_warnings_ignored
from vit_keras.data.lazy_images import FileRecord
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.pixel_range import RangeError, smallest_bit_depth
from vit_keras.data.probe import ProbeResult, probe_by_version_1
from vit_keras.data.readers import folder_layout, scan_cache
from vit_keras.data.readers.folder_layout import ListedFile
from vit_keras.data.value_range import AUTO, PERCENTILE, ValueFacts, check_fits, range_of
from vit_keras.errors import SettingError
from vit_keras.io.parallel import map_in_threads

MIN_EDGES = 24  # of the 64 differences of a difference hash; with fewer it tells nothing
EDGE = 3  # levels of 255 between neighbouring pixels
CANNOT_BE_READ = "cannot be read: "  # for now: rights may change, so that this is not cached
FileStatus = tuple[int, int, int, int]  # bytes, mtime, ctime, inode


def scan_files(
    config: DataConfig, listed: list[ListedFile] | None = None, root: Path | None = None
) -> list[tuple[ListedFile, FileRecord]]:
    """Open the files of the folder that have changed since the last scan.

    Args:
        config: of the data.
        listed: the files; by default the folder is listed.
        root: the folder that their paths are in; by default that of `data.path`.

    Returns:
        each file with its record, in order.
    """
    # A table has a cache of its own: others in its folder may name other files.
    source = folder_layout.root(config) if root is None else Path(config.path or "").expanduser()
    root = source if root is None else root
    files = folder_layout.list_files(config) if listed is None else listed
    options = PixelOptions.of(config)
    cached = {record.path: record for record in _read_cache(source, options)}
    records: dict[str, FileRecord] = {}
    to_open = []
    for file in files:
        status = _file_status(os.path.join(root, file.path))
        record = cached.get(file.path)
        if file.reason:
            records[file.path] = unusable(file.path, status, file.reason)
        elif record and record[1:5] == status:
            records[file.path] = record
        else:
            to_open.append((file.path, status))
    with pillow_warnings_ignored():
        opened = map_in_threads(
            lambda item: _open_file(root, item[0], item[1], options),
            to_open,
            config.workers,
            "scanning",
        )
        records |= {record.path: record for record in opened}
    openable = [records[file.path] for file in files if not file.reason]
    if to_open or len(openable) != len(cached):
        _write_cache(source, openable, options)
    version = config.decoder_version
    return [(file, in_version(records[file.path], version)) for file in files]


def with_pixel_options(
    config: DataConfig, scanned: list[tuple[ListedFile, FileRecord]]
) -> tuple[PixelOptions, list[tuple[ListedFile, FileRecord]]]:
    """The pixel options of a folder, and its files without those that they cannot read.

    Files of 16 bits that do not say how many of them they use have one bit depth: `data.bit_depth`,
    or the smallest that holds the largest value of all. With `data.value_range=auto`, all files
    have one range.

    Raises:
        SettingError: that range is not known.
    """
    options = PixelOptions.of(config)
    if options.value_range is not None:
        return _with_value_range(options, scanned)
    largest = [one.largest for _, one in scanned if not one.reason and not one.bits]
    if not largest or options.decoder_version == 1:
        return options, scanned
    options = options.with_bit_depth(config.bit_depth or smallest_bit_depth(max(largest)))
    limit = 2 ** (options.bit_depth or 16)
    return options, [
        (file, one if one.bits or one.largest < limit else one._replace(reason=_beyond(one, limit)))
        for file, one in scanned
    ]


def _with_value_range(
    options: PixelOptions, scanned: list[tuple[ListedFile, FileRecord]]
) -> tuple[PixelOptions, list[tuple[ListedFile, FileRecord]]]:
    found = [(file.path, record.facts) for file, record in scanned if not record.reason]
    if options.value_range == AUTO and found:
        try:
            options = replace(options, value_range=range_of(found, options.bit_depth))
        except RangeError as error:
            raise SettingError(f"data.value_range=auto: {error}") from None
    return options, [
        (file, one if one.reason else one._replace(reason=_misfit(one.facts, options)))
        for file, one in scanned
    ]


def _misfit(facts: ValueFacts, options: PixelOptions) -> str:
    """Why an image does not have the depth or the channels of the others; empty if it does."""
    try:
        scientific_files.check_channels(facts, options)
        if options.value_range != PERCENTILE:
            check_fits(facts, options.value_range)
    except RangeError as error:
        return str(error)
    return ""


def _beyond(record: FileRecord, limit: int) -> str:
    return record.reason or f"values up to {record.largest}, and data.bit_depth ends at {limit - 1}"


def _file_status(path: str) -> FileStatus:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _open_file(root: Path, path: str, status: FileStatus, options: PixelOptions) -> FileRecord:
    """Read a file and check that it can be decoded; its pixels are not kept."""
    try:
        content = decode.read_regular_file(root / path)
    except OSError as error:
        reason = f"{CANNOT_BE_READ}{error.strerror or type(error).__name__}"
        return unusable(path, status, reason)
    except decode.UnreadableError as error:  # no image, by its first bytes
        return unusable(path, status, str(error))
    return examine(content, path, status, options)


def examine(content: bytes, path: str, status: FileStatus, options: PixelOptions) -> FileRecord:
    """Check that an encoded image can be decoded; its pixels are not kept.

    Args:
        content: its bytes.
        path: of the record.
        status: of the file that holds it.
        options: how pixels become RGB.
    """
    sha256, reason = hashlib.sha256(content).hexdigest(), ""
    image: ProbeResult | None = None
    values: ValueFacts | None = None
    try:
        if options.value_range is None:
            image = decode.probe(content)
        else:
            image, values = scientific_files.probe(content, options)
    except decode.UnreadableError as error:
        reason = str(error)
    is_in_version_1 = image is not None and image.format in VERSION_1
    if options.value_range is None and (image is None or image.remark):
        old = probe_by_version_1(content)
        image, is_in_version_1 = image or old, old is not None
    if image is None:
        return unusable(path, status, reason, sha256)
    return FileRecord(
        path,
        *status,
        sha256=sha256,
        reason=reason,
        dhash=dhash(image.grey),
        is_in_version_1=is_in_version_1,
        values=values,
        **{name: value for name, value in image._asdict().items() if name != "grey"},
    )


def unusable(path: str, status: FileStatus, reason: str, sha256: str = "") -> FileRecord:
    """The record of what is no image, and why."""
    return FileRecord(path, *status, sha256=sha256, reason=reason)


def in_version(record: FileRecord, decoder_version: int) -> FileRecord:
    """The record of a file as a version of the decoder has it, `data.decoder_version`."""
    if decoder_version > 1:
        return record
    if not record.is_in_version_1:
        reason = record.reason or f"{record.format}, which data.decoder_version=1 does not read"
        return record._replace(reason=reason)
    return record._replace(reason="", is_jpeg=record.is_jpeg and not record.remark)


def dhash(grey: np.ndarray) -> int:
    """Difference hash (N. Krawetz): (x, y) uint8 -> 64 bits, nearly equal for near-duplicates.

    A bit for each pair of neighbours in a row of the image at 8x9. An image with hardly an edge
    would have the hash of every other such image; it gets 0.
    """
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    differences = np.diff(small, axis=1)
    if np.count_nonzero(np.abs(differences) >= EDGE) < MIN_EDGES:
        return 0
    return int.from_bytes(np.packbits(differences > 0).tobytes(), "big")


def _kind(options: PixelOptions) -> str:
    """What a scan finds besides the usual: another one where `data.value_range` is set."""
    return "" if options.value_range is None else "values"


def _read_cache(root: Path, options: PixelOptions) -> list[FileRecord]:
    """The records of the last scan of `root`; none if the cache is absent or not valid."""
    try:
        return [FileRecord(*row) for row in scan_cache.read(root, _kind(options))]
    except TypeError:  # rows of something else
        return []


def _write_cache(root: Path, records: list[FileRecord], options: PixelOptions) -> None:
    kept = [one for one in records if not is_for_now(one.reason)]
    scan_cache.write(root, kept, _kind(options))


def is_for_now(reason: str) -> bool:
    """Whether an image is not read because of rights, or of a package that may be installed."""
    return reason.startswith(CANNOT_BE_READ) or "pip install" in reason
