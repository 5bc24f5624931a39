"""The cache of a scan: a file of JSON in `$XDG_CACHE_HOME/vit_keras`, with a header that proves it.

A cache that is damaged, or of another source or version, counts as absent, and is written again;
training goes on where it cannot be written.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from vit_keras.cache import cache_folder
from vit_keras.io import atomic

log = logging.getLogger("vit_keras")

VERSION = 3  # of the cache's format, and of how its values are computed


def cache_file(source: Path, kind: str = "") -> Path:
    """The cache of the scan of a folder or a file; scans that find other things differ in `kind`.

    Raises:
        RuntimeError: there is no home directory.
    """
    key = os.fsencode(source.resolve()) + (b"\0" + kind.encode() if kind else b"")
    return cache_folder() / f"{hashlib.sha256(key).hexdigest()[:24]}.json"


def read(source: Path, kind: str = "") -> list[Any]:
    """The rows of the last scan of `source`; none if the cache is absent or not valid."""
    try:
        header, rows = cache_file(source, kind).read_text("ascii").split("\n", 1)
        return json.loads(rows) if json.loads(header) == _header(source, rows) else []
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home directory
        return []


def write(source: Path, rows: list[Any], kind: str = "") -> None:
    """Keep the rows of a scan, each a list or a tuple."""
    text = json.dumps(rows)
    try:
        header = json.dumps(_header(source, text))
        atomic.write_text(cache_file(source, kind), f"{header}\n{text}")
    except (OSError, RuntimeError) as error:
        log.debug("the scan of %s is not cached: %s", source, error)


def _header(source: Path, rows: str) -> dict[str, Any]:
    """The first line of a cache: its version, its source and a checksum of the other lines."""
    checksum = hashlib.sha256(rows.encode("ascii")).hexdigest()
    return {"version": VERSION, "root": str(source.resolve()), "sha256": checksum}
