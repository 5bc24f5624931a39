"""Delete runs: those that ended before their first epoch did, or those that are named.

A run that a process has locked is never deleted, and one that git tracks only by name. A folder is
renamed before it is deleted, so that an interruption leaves no partial run.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.runs.checkpoint_name import newest_position
from vit_keras.runs.describe import size_of
from vit_keras.runs.listing import ROOT, find_run, list_runs
from vit_keras.runs.run_dir import LOCK, Run
from vit_keras.runs.status import RunState, is_locked


@dataclass(frozen=True)
class Candidate:
    """A run that can be deleted.

    Attributes:
        run: its status.
        bytes: total size of its files.
        is_tracked: whether git tracks files of it.
    """

    run: RunState
    bytes: int
    is_tracked: bool


def candidates(names: Sequence[str] = (), root: str | Path = ROOT) -> list[Candidate]:
    """Runs that `clean` would delete: those in `root` without an epoch, or exactly those named.

    Raises:
        SettingError: a name is not a run, or the run is running.
    """
    if not names:
        found = [run for run in list_runs(root) if _has_no_epoch(run)]
        all_of_them = [_candidate(run) for run in found]
        return [one for one in all_of_them if not one.is_tracked]
    found = [find_run(name, root, any_folder=True) for name in names]
    runs = {run.path.resolve(): run for run in found}
    for run in runs.values():
        _check_deletable(run, Path(root).expanduser())
    return [_candidate(run) for run in runs.values()]


def _has_no_epoch(run: RunState) -> bool:
    is_begun = run.state == "started" or (run.state == "failed" and not run.metrics.get("epochs"))
    return is_begun and newest_position(run.path) is None  # nothing to go on from


def delete(run: RunState) -> None:
    """Delete the folder of a run, or only the link if it is a symbolic link.

    Raises:
        SettingError: a process has locked it meanwhile, or it cannot be deleted.
    """
    try:
        if run.path.is_symlink():
            run.path.unlink()
            return
        locked = Run(run.path)  # from here on nobody can resume it
        try:
            gone = run.path.with_name(f".deleted-{run.path.name}-{os.getpid()}")
            run.path.rename(gone)
        finally:
            locked.close()
        shutil.rmtree(gone)
    except OSError as error:
        raise SettingError(f"{run.path} cannot be deleted ({error.strerror})") from None


def _candidate(run: RunState) -> Candidate:
    return Candidate(run, size_of(run.path), is_tracked(run.path))


def _check_deletable(run: RunState, root: Path) -> None:
    if any(
        is_locked(lock.parent) for lock in run.path.rglob(LOCK)
    ):  # the baseline has a lock of its own
        raise SettingError(
            f"{run.name} is running; stop it first, on the Training page of the studio or by "
            "Ctrl-C in its terminal"
        )
    if run.state == "no run":
        raise SettingError(
            f"{run.name} is not a run ({run.reason}); delete it by hand if you are sure"
        )
    inside = run.path.resolve()
    for place in (Path.cwd(), root):
        if place.resolve().is_relative_to(inside):
            raise SettingError(
                f"{run.name} contains {place}; change the directory, or delete it by hand"
            )


def is_tracked(path: Path) -> bool:
    """Whether git tracks a file in this folder."""
    command = ["git", "ls-files", "--", "."]
    try:
        done = subprocess.run(command, cwd=path, capture_output=True, check=False)
    except OSError:  # git is not installed
        return False
    return bool(done.stdout.strip())
