"""Give a run another name: that of its folder."""

from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.io.zip_files import sanitized_name
from vit_keras.runs.run_dir import LOCK, Run
from vit_keras.runs.status import is_locked


def rename(run: Path, name: str) -> Path:
    """Rename the folder of a run within its parent; its new path.

    Raises:
        SettingError: the name cannot be that of a folder or is taken, or the run is running.
    """
    name = name.strip()
    if name != sanitized_name(name):
        raise SettingError(
            f"{name!r} cannot be the name of a run; use letters, digits, spaces and _-., at most "
            f"60: {sanitized_name(name)!r}"
        )
    target = run.with_name(name)
    if target.exists() or target.is_symlink():
        raise SettingError(f"{target} exists already; choose another name")
    if any(is_locked(lock.parent) for lock in run.rglob(LOCK)):
        raise SettingError(f"{run.name} is running; wait until it has ended, or stop it")
    try:
        locked = None if run.is_symlink() else Run(run)  # nobody can resume it meanwhile
        try:
            run.rename(target)
        finally:
            if locked:
                locked.close()
    except OSError as error:
        raise SettingError(f"{run} cannot be renamed ({error.strerror})") from None
    return target
