"""Read a folder of images: open each file once, skip bad files, cache what the scan has found.

The cache of a folder is a file in `$XDG_CACHE_HOME/vit_keras` (~/.cache/vit_keras). A record is
valid while the size and modification time of its file are unchanged. A cache that is damaged, or of
another folder or version, is written again; training goes on where it cannot be written.
"""

import hashlib
import json
import logging
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vit_keras.config.schema import DataConfig
from vit_keras.data import decode
from vit_keras.data.dataset import DatasetInfo, Finding, SourceData, Split
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.readers import folder_layout
from vit_keras.data.readers.folder_layout import ListedFile, Listing, is_needed
from vit_keras.data.readers.layout_names import is_named_as_image
from vit_keras.data.resize import requested_size
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.io.parallel import map_in_threads

log = logging.getLogger("vit_keras")

CACHE_VERSION = 1  # of the cache's format, and of how its values are computed
MIN_EDGES = 24  # of the 64 differences of a difference hash; with fewer it tells nothing
EDGE = 3  # levels of 255 between neighbouring pixels
NO_IMAGE = "by its content"  # how the reason ends that a file is no image at all


def read(config: DataConfig) -> SourceData:
    """The folder's splits as lazy images, and a finding for each bad file.

    Raises:
        SettingError: a class has no image; or a file is bad and `data.on_bad_file` is fail.
    """
    size, root = requested_size(config), folder_layout.root(config)
    listing = folder_layout.list_folder(config)
    class_names = listing.class_names
    scanned = scan_files(config, listing.files)
    findings = [
        Finding(_problem(record), file.path, file.split, class_names[file.label], record.reason)
        for file, record in scanned
        if record.reason
    ]
    skipped = [finding for finding in findings if finding.problem == "skipped"]
    if skipped and config.on_bad_file == "fail":
        raise SettingError(
            f"{root / skipped[0].file}: {skipped[0].detail}; {len(skipped)} of {len(scanned)} "
            "files cannot be used: repair or remove them, or set data.on_bad_file=skip"
        )
    _check_classes(config, listing, scanned, findings)
    findings = [*folder_layout.layout_findings(listing), *findings, *listing.others]
    splits = {}
    for name in dict.fromkeys(file.split for file, _ in scanned):
        usable = [
            (file, record) for file, record in scanned if file.split == name and not record.reason
        ]
        records = [record for _, record in usable]
        labels = np.array([file.label for file, _ in usable], np.int32)
        images = LazyImages(root, records, size, config.resize_mode, config.workers)
        splits[name or "train"] = Split(images, labels)
    validation, test = splits.get("validation"), splits.get("test")
    return SourceData(splits["train"], validation, test, class_names, tuple(findings))


def info(config: DataConfig) -> DatasetInfo:
    return DatasetInfo(requested_size(config), 3, len(folder_layout.class_names(config)))


def class_names(config: DataConfig) -> list[str]:
    return folder_layout.class_names(config)


def image_counts(config: DataConfig) -> dict[str, int]:
    return dict(Counter(file.split or "train" for file in folder_layout.list_files(config)))


def _problem(record: FileRecord) -> str:
    """Whether a file was expected to be an image: `skipped`, or else `ignored`."""
    is_other = record.reason.endswith(NO_IMAGE) and not is_named_as_image(record.path)
    return "ignored" if is_other else "skipped"


def _check_classes(
    config: DataConfig,
    listing: Listing,
    scanned: list[tuple[ListedFile, FileRecord]],
    findings: list[Finding],
) -> None:
    """Refuse a class whose files are all skipped, unless a split may lack it."""
    files = Counter((file.split, file.label) for file, _ in scanned)
    usable = Counter((file.split, file.label) for file, record in scanned if not record.reason)
    for split in {split for split, _ in files} - {split for split, _ in +usable}:
        raise SettingError(f"data.path={config.path}: no file of the {split} split can be used")
    for split, label in files:
        name = listing.class_names[label]
        if usable[split, label] or not is_needed(config, listing.class_names, split, name):
            continue
        first = next(row for row in findings if (row.split, row.class_name) == (split, name))
        folder = listing.layout.folders[split][name][0]
        raise SettingError(
            f"data.path={config.path}: none of the {files[split, label]} files of {folder} can be "
            f"used ({first.file}: {first.detail}); add images, or {folder_layout.way_out(split)}"
        )


def scan_files(
    config: DataConfig, listed: list[ListedFile] | None = None
) -> list[tuple[ListedFile, FileRecord]]:
    """Open the files of the folder that have changed since the last scan.

    Args:
        config: of the data.
        listed: the files; by default the folder is listed.

    Returns:
        each file with its record, in order.
    """
    root = folder_layout.root(config)
    files = folder_layout.list_files(config) if listed is None else listed
    cached = {record.path: record for record in _read_cache(root)}
    records: dict[str, FileRecord] = {}
    to_open = []
    for file in files:
        record = cached.get(file.path)
        if file.reason:
            records[file.path] = _unusable(file, file.reason)
        elif record and record[:3] == (file.path, file.bytes, file.mtime):
            records[file.path] = record
        else:
            to_open.append(file)
    # Around all threads, because a filter is set for the process; `decode` has a limit of its own.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = map_in_threads(
            lambda file: _open_file(root, file), to_open, config.workers, "scanning"
        )
        records |= {record.path: record for record in opened}
    openable = [records[file.path] for file in files if not file.reason]
    if to_open or len(openable) != len(cached):
        _write_cache(root, openable)
    return [(file, records[file.path]) for file in files]


def _open_file(root: Path, file: ListedFile) -> FileRecord:
    """Read a file and check that it can be decoded; its pixels are not kept."""
    try:
        content = (root / file.path).read_bytes()
    except OSError as error:
        return _unusable(file, f"cannot be read: {error.strerror or type(error).__name__}")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = decode.probe(content)
    except decode.UnreadableError as error:
        return _unusable(file, str(error), sha256)
    return FileRecord(
        path=file.path,
        bytes=file.bytes,
        mtime=file.mtime,
        sha256=sha256,
        dhash=dhash(image.grey),
        height=image.height,
        width=image.width,
        orientation=image.orientation,
        is_jpeg=image.is_jpeg,
        reason="",
    )


def _unusable(file: ListedFile, reason: str, sha256: str = "") -> FileRecord:
    return FileRecord(file.path, file.bytes, file.mtime, sha256, 0, 0, 0, 1, False, reason)


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


def cache_file(root: Path) -> Path:
    """The cache of the scan of `root`."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache_home) if os.path.isabs(cache_home) else Path("~/.cache").expanduser()
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return base / "vit_keras" / f"{name}.json"


def _read_cache(root: Path) -> list[FileRecord]:
    """The records of the last scan of `root`; none if the cache is absent or not valid."""
    try:
        header, rows = cache_file(root).read_text("ascii").split("\n", 1)
        if json.loads(header) != _header(root, rows):
            return []
        return [FileRecord(*row) for row in json.loads(rows)]
    except (OSError, ValueError, TypeError, RuntimeError):  # RuntimeError: no home directory
        return []


def _write_cache(root: Path, records: list[FileRecord]) -> None:
    # A file that could not be read is opened again: its permissions may change without a trace.
    rows = json.dumps([record for record in records if record.sha256])
    try:
        atomic.write_text(cache_file(root), json.dumps(_header(root, rows)) + "\n" + rows)
    except (OSError, RuntimeError) as error:
        log.debug("the scan of %s is not cached: %s", root, error)


def _header(root: Path, rows: str) -> dict[str, Any]:
    """The first line of a cache: its version, its folder and a checksum of the other lines."""
    checksum = hashlib.sha256(rows.encode("ascii")).hexdigest()
    return {"version": CACHE_VERSION, "root": str(root.resolve()), "sha256": checksum}
