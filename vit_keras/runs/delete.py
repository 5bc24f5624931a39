"""Runs that can go: those that were never more than begun, or those that are named.

A run that a process holds is never deleted, and one that git tracks only by name. What is deleted
is first renamed, so that a kill in between leaves no half of a run.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.runs.describe import size_of
from vit_keras.runs.listing import ROOT, find_run, list_runs
from vit_keras.runs.run_dir import LOCK, Run
from vit_keras.runs.status import RunState, is_held


@dataclass(frozen=True)
class Candidate:
    """A run that can be deleted.

    Attributes:
        run: as it was found.
        bytes: of all its files.
        is_tracked: git has files of it, which it can bring back.
    """

    run: RunState
    bytes: int
    is_tracked: bool


def candidates(names: Sequence[str] = (), root: str | Path = ROOT) -> list[Candidate]:
    """What `clean` would delete: the runs in `root` that were only begun, or exactly those named.

    Raises:
        SettingError: a name is no run, or a run in progress.
    """
    if not names:
        found = [run for run in list_runs(root) if run.state == "begun"]
        all_of_them = [_candidate(run) for run in found]
        return [one for one in all_of_them if not one.is_tracked]
    runs = {run.path.resolve(): run for run in (find_run(name, root) for name in names)}
    for run in runs.values():
        _check_deletable(run, Path(root).expanduser())
    return [_candidate(run) for run in runs.values()]


def delete(run: RunState) -> None:
    """Delete a run's folder, whole; of a link to one, the link.

    Raises:
        SettingError: a process holds it by now, or it may not be deleted.
    """
    try:
        if run.path.is_symlink():
            run.path.unlink()
            return
        held = Run(run.path)  # nobody resumes it from here on
        try:
            gone = run.path.with_name(f".deleted-{run.path.name}-{os.getpid()}")
            run.path.rename(gone)
        finally:
            held.close()
        shutil.rmtree(gone)
    except OSError as error:
        raise SettingError(f"{run.path} cannot be deleted ({error.strerror})") from None


def _candidate(run: RunState) -> Candidate:
    return Candidate(run, size_of(run.path), is_tracked(run.path))


def _check_deletable(run: RunState, root: Path) -> None:
    if any(is_held(lock.parent) for lock in run.path.rglob(LOCK)):  # its baseline has its own
        raise SettingError(f"{run.name} is in progress; stop it first, by Ctrl-C where it runs")
    if run.state == "no run":
        raise SettingError(
            f"{run.name} is no run ({run.reason}), and may be somebody's; delete it by hand"
        )
    inside = run.path.resolve()
    for place in (Path.cwd(), root):
        if place.resolve().is_relative_to(inside):
            raise SettingError(f"{run.name} holds {place}; go elsewhere, or delete it by hand")


def is_tracked(path: Path) -> bool:
    """Whether git has a file in this folder."""
    command = ["git", "ls-files", "--", "."]
    try:
        done = subprocess.run(command, cwd=path, capture_output=True, check=False)
    except OSError:  # there is no git
        return False
    return bool(done.stdout.strip())
