"""Remember the status of runs while their files are unchanged, to list thousands of them at once.

What was found is kept in memory and, where reading took long, in a file of the cache folder, for
the next process. A record is valid while the names, sizes, times and inodes of the run's files are
unchanged, and as long as this version of the code reads them. A file that is damaged, or of another
version, is written again.

In a process that lists many runs again and again, as the studio does, most are looked at less
closely: files that were added, removed or replaced show in the times of their folders, and training
and evaluation change them in no other way. Those that somebody wrote in place are seen after some
more listings.
"""

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import vit_keras
from vit_keras.cache import cache_folder
from vit_keras.config.schema import Config
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.runs.config_file import build, changed_values
from vit_keras.runs.run_dir import LOCK, LOG, PROGRESS
from vit_keras.runs.status import RunState, is_locked, run_status

# Files that change without the status: a lock is tried, and logs are no part of it.
NOT_READ = (LOCK, PROGRESS, LOG, "notes.json")
CHECKPOINT = "checkpoint"
SETTLED = 2_000_000_000  # nanoseconds without a change, after which a file is taken as written
MANY = 200  # runs, from which on each listing looks closely at some of them in turn
TURNS = 10  # listings, in which each of so many runs is looked at closely once
WORTH_KEEPING = 0.5  # seconds that reading took, from which on the result is written to a file


class Known(NamedTuple):
    """The status of a run, and what identified its files, and its folders, before it was read."""

    signature: str
    folders: tuple[int, ...] | None
    run: RunState


@dataclass
class StatusCache:
    """The runs of one folder.

    Attributes:
        found: name of a run -> what is known of it.
        stored: name of a run -> signature and status as the file has them.
        seconds: that reading took since the file was written.
        listings: number of them so far.
    """

    root: Path
    found: dict[str, Known] = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    listings: int = 0

    def statuses(self, runs: Mapping[str, Path]) -> list[RunState]:
        """The status of each run; what is known of others is forgotten."""
        turns = TURNS if len(runs) >= MANY else 1
        found = []
        for number, (name, path) in enumerate(runs.items(), start=self.listings):
            is_quick = number % turns > 0
            found.append((is_quick and self._unchanged(path, name)) or self.status(path, name))
        self.listings += 1
        self._save(list(runs))
        return found

    def _unchanged(self, path: Path, name: str) -> RunState | None:
        """The status that is known, unless the folders of the run have changed since."""
        known = self.found.get(name)
        if known is None or known.folders is None or known.folders != _folders(path):
            return None
        return None if is_locked(path) else replace(known.run, path=path)

    def status(self, path: Path, name: str) -> RunState:
        """As `run_status`, of a run in the folder."""
        folders, signature = _folders(path), _signature(path)
        if signature is None or is_locked(path):
            self.found.pop(name, None)  # or a less close look would find what was known before
            return run_status(path, name)
        if name in self.found and self.found[name].signature == signature:
            known = self.found[name]._replace(folders=folders)
            self.found[name] = known
            return replace(known.run, path=path)
        run = _from_record(self.stored.get(name), signature, path, name)
        if run is None:
            began = time.perf_counter()
            run = run_status(path, name)
            self.seconds += time.perf_counter() - began
            if run.state == "running":  # locked in between, of which the signature knows nothing
                return run
        self.found[name] = Known(signature, folders, run)
        return run

    def _save(self, names: list[str]) -> None:
        """Forget what is not among `names`, and write the file if reading took long."""
        self.found = {name: self.found[name] for name in names if name in self.found}
        if self.seconds < WORTH_KEEPING:
            return
        self.seconds = 0.0
        runs = {name: _to_record(one.signature, one.run) for name, one in self.found.items()}
        text = json.dumps({"version": _code_version(), "runs": runs})
        try:
            atomic.write_text(_file(self.root), text)
        except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
            log.debug("the list of runs is not kept: %s", error)


def cache_of(root: Path) -> StatusCache:
    """The cache of a folder of runs."""
    return _cache_of(root.absolute())


@functools.lru_cache(maxsize=8)
def _cache_of(root: Path) -> StatusCache:
    try:
        content = json.loads(_file(root).read_text("utf-8"))
        if content["version"] == _code_version():
            return StatusCache(root, stored=dict(content["runs"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        pass
    return StatusCache(root)


def _file(root: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return cache_folder() / f"runs-{digest}.json"


@functools.cache
def _code_version() -> str:
    """Changes with the code that reads a run, also where it is edited in place."""
    package = Path(vit_keras.__file__).parent
    files = [
        file for place in ("config", "runs") for file in sorted((package / place).rglob("*.py"))
    ]
    return _digest([str(package), *(_stamp(file.stat()) for file in files)])


def _folders(path: Path) -> tuple[int, ...] | None:
    """What changes when a file of a run is added, removed or replaced.

    None while it changes, or without access.
    """
    try:
        found = [os.stat(path)]
        with contextlib.suppress(FileNotFoundError):
            found.append(os.stat(os.path.join(path, CHECKPOINT)))
    except OSError:
        return None
    newest = max(status.st_mtime_ns for status in found)
    is_settled = time.time_ns() - newest >= SETTLED
    return tuple(number for one in found for number in _stamp(one)) if is_settled else None


def _signature(path: Path) -> str | None:
    """What identifies the files of a run; None while they are being written, or without access."""
    parts, newest = [], 0
    try:
        for entry in [*os.scandir(path), *_checkpoints(path)]:
            if entry.is_dir() or entry.name in NOT_READ:
                parts.append((entry.name,))
                continue
            status = entry.stat()
            newest = max(newest, status.st_mtime_ns)
            parts.append((entry.name, *_stamp(status)))
    except OSError:
        return None
    return None if time.time_ns() - newest < SETTLED else _digest(sorted(parts))


def _checkpoints(path: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(path / CHECKPOINT))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(parts: list[Any]) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _to_record(signature: str, run: RunState) -> dict[str, Any]:
    return {
        "signature": signature,
        "state": run.state,
        "reason": run.reason,
        "config": None if run.config is None else changed_values(run.config),
        "metrics": run.metrics,
        "trained": run.trained,
        "fingerprint": run.fingerprint,
        "data_path": run.data_path,
    }


def _from_record(record: Any, signature: str, path: Path, name: str) -> RunState | None:
    """The status in a record of the file; None if it is of other files, or damaged."""
    try:
        if record is None or record["signature"] != signature:
            return None
        values = {key: value for key, value in record.items() if key != "signature"}
        config = values["config"]
        values["config"] = None if config is None else build(Config, config)
        return RunState(name, path, **values)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
