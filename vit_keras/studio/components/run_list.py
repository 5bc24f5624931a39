"""The runs of the studio, listed every few seconds at most."""

import contextlib
import threading
import time
from pathlib import Path
from typing import NamedTuple

from vit_keras.errors import SettingError
from vit_keras.runs import listing
from vit_keras.runs import notes as runs_notes
from vit_keras.runs.notes import Notes
from vit_keras.runs.status import RunState

CACHE_SECONDS = 5  # a page is drawn at every click; the runs are not listed each time
AFTER_SECONDS = 1
OLD_SECONDS = 60  # an older list is not shown while a new one is made


class Listing(NamedTuple):
    """The runs of a folder, the newest first, with their notes, and the folders that are none."""

    runs: list[tuple[RunState, Notes]]
    others: list[RunState]


class _Kept(NamedTuple):
    at: float
    listing: Listing


_KEPT: dict[str, _Kept] = {}
_LISTING = threading.Lock()  # held while runs are listed
_TIMERS: dict[str, threading.Timer] = {}  # of lists that are about to be made
_CHANGED = [0]  # number of times that the lists were forgotten


def list_all_runs(root: str, may_be_old: bool = False) -> Listing:
    """Every run of the studio; empty if the folder does not exist yet.

    Args:
        root: the folder of runs.
        may_be_old: give a list of up to a minute ago at once, and make a new one for the next call.
            Thousands of runs take a quarter of a second, which a click would wait for.
    """
    kept = _KEPT.get(root)
    age = time.monotonic() - kept.at if kept else OLD_SECONDS
    if kept and age < CACHE_SECONDS:
        return kept.listing
    if kept and may_be_old and age < OLD_SECONDS:
        if root not in _TIMERS:  # after the click, with which it would compete
            timer = _TIMERS[root] = threading.Timer(AFTER_SECONDS, _read_again, (root,))
            timer.daemon = True
            timer.start()
        return kept.listing
    return _read(root)


def forget() -> None:
    """Have the runs be listed again, because one of them has changed."""
    _CHANGED[0] += 1
    _KEPT.clear()


def _read_again(root: str) -> None:
    try:
        with contextlib.suppress(SettingError):  # the next page that is opened shows it
            _read(root)
    finally:
        del _TIMERS[root]


def _read(root: str) -> Listing:
    with _LISTING:
        changed, at = _CHANGED[0], time.monotonic()
        found = listing.list_runs(root) if Path(root).is_dir() else []
        runs = [run for run in found if run.is_run]
        runs.sort(key=lambda run: (-run.trained, run.name))
        noted = [(run, runs_notes.notes_or_empty(run.path)) for run in runs]
        result = Listing(noted, [run for run in found if not run.is_run])
        if changed == _CHANGED[0]:
            _KEPT[root] = _Kept(at, result)
        return result
