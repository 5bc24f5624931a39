"""The scan of a folder: every file looked at once, and what was seen kept for the next time.

What is kept lies in `$XDG_CACHE_HOME/vit_keras` (~/.cache/vit_keras), a file for each folder, and
holds for a file as long as its size and time of change do. A cache that is damaged, of another
folder or of another version is made anew, one that cannot be written is done without.
Neither Keras nor TensorFlow is imported here.
"""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vit_keras.data import decode
from vit_keras.io import atomic
from vit_keras.io.parallel import map_in_threads

log = logging.getLogger("vit_keras")

VERSION = 1  # of what is kept, and of how it was computed
MIN_EDGES = 24  # of a picture's 64 differences, to be known again by them
EDGE = 3  # levels of 255 between neighbours


class FileRecord(NamedTuple):
    """One file of a folder, as it was seen."""

    path: str  # within the folder
    bytes: int
    mtime: int  # nanoseconds
    sha256: str  # of the file; empty if it could not be read
    dhash: int  # of the picture, 64 bits; 0 if it is too flat to be known by it
    height: int  # as stored
    width: int
    orientation: int
    is_jpeg: bool
    reason: str  # why it is skipped; empty if it is an image


def scan(
    root: Path, stamped: Sequence[tuple[str, int, int]], workers: int | None = None
) -> list[FileRecord]:
    """Look at every file under `root` that is not known from an earlier scan.

    Args:
        root: of the folder.
        stamped: path within it, size and time of change of regular files or of links to such.
        workers: threads; as many as the machine has cores by default.

    Returns:
        an entry for each, in order.
    """
    kept = {entry.path: entry for entry in _kept(root)}
    found: list[FileRecord | None] = []
    for stamp in stamped:
        entry = kept.get(stamp[0])
        found.append(entry if entry and entry[:3] == stamp else None)
    new = [index for index, entry in enumerate(found) if entry is None]
    with warnings.catch_warnings():  # around all threads; `decode` has a limit of its own
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        looked = map_in_threads(
            lambda index: _look(root, *stamped[index]), new, workers, "scanning"
        )
        for index, entry in zip(new, looked, strict=True):
            found[index] = entry
    entries = [entry for entry in found if entry is not None]
    if new or len(entries) != len(kept):
        _keep(root, entries)
    return entries


def fingerprint(sha256: Iterable[str]) -> str:
    """One for many files, in order."""
    digest = hashlib.sha256()
    for one in sha256:
        digest.update(one.encode())
    return digest.hexdigest()


def _look(root: Path, path: str, size: int, mtime: int) -> FileRecord:
    """Read a file, decode it and forget its pixels."""
    try:
        content = (root / path).read_bytes()
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
        return FileRecord(path, size, mtime, "", 0, 0, 0, 1, False, reason)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        seen = decode.probe(content)
    except decode.UnreadableError as error:
        return FileRecord(path, size, mtime, sha256, 0, 0, 0, 1, False, str(error))
    return FileRecord(path, size, mtime, sha256, dhash(seen.grey), *seen[:4], reason="")


def dhash(grey: np.ndarray) -> int:
    """(x, y) uint8 -> 64 bits, one for each pair of neighbours in a row of the picture at 8x9.

    Equal or nearly so for one picture in several sizes and qualities (N. Krawetz' difference
    hash). A picture with hardly an edge would be like every other such one, and has 0.
    """
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    differences = np.diff(small, axis=1)
    if np.count_nonzero(np.abs(differences) >= EDGE) < MIN_EDGES:
        return 0
    return int.from_bytes(np.packbits(differences > 0).tobytes(), "big")


def cache_file(root: Path) -> Path:
    """Where the scan of `root` is kept."""
    asked = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(asked) if os.path.isabs(asked) else Path("~/.cache").expanduser()
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return base / "vit_keras" / f"{name}.json"


def _kept(root: Path) -> list[FileRecord]:
    """What an earlier scan of `root` saw; nothing where that is not certain."""
    try:
        head, rows = cache_file(root).read_text("ascii").split("\n", 1)
        if json.loads(head) != _head(root, rows):
            return []
        return [FileRecord(*row) for row in json.loads(rows)]
    except (OSError, ValueError, TypeError, RuntimeError):  # RuntimeError: there is no home
        return []


def _keep(root: Path, entries: list[FileRecord]) -> None:
    """Files that could not be read are looked at again: their rights may change without a trace."""
    rows = json.dumps([entry for entry in entries if entry.sha256])
    try:
        atomic.write_text(cache_file(root), json.dumps(_head(root, rows)) + "\n" + rows)
    except (OSError, RuntimeError) as error:
        log.debug("the scan of %s is not kept: %s", root, error)  # it costs time, nothing else


def _head(root: Path, rows: str) -> dict[str, Any]:
    """The first line of a cache: of what it is, and a checksum over the rest."""
    checksum = hashlib.sha256(rows.encode("ascii")).hexdigest()
    return {"version": VERSION, "root": str(root.resolve()), "sha256": checksum}
