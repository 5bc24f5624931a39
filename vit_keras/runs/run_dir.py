"""The run directory: everything about one training run, in files that explain themselves.

A file is complete or absent: each is written under a temporary name and then renamed.
"""

import contextlib
import dataclasses
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from omegaconf import OmegaConf

from vit_keras.config.schema import Config, RunConfig
from vit_keras.errors import SettingError
from vit_keras.io.atomic import atomic_file, cannot_be_made, check_folder
from vit_keras.logs import log, log_handler
from vit_keras.runs import paths
from vit_keras.runs.config_file import CONFIG, read_config
from vit_keras.text import folder_name

LOCK = ".lock"
LOG = "train.log"
PROGRESS = "progress.json"  # epoch, step and time left; there only while the run trains
SAMPLES = "samples/predictions.json"
BASELINE = "baseline"  # folder of the baseline run, in that of a fine-tuning
OLD_BASELINE = "from_scratch"  # its name in version 0.1
FOLDS = "folds"  # folder of the runs of `train.folds`, in that of their ensemble
CHECKPOINTS = "checkpoint/epoch-*.npz"
TEMPORARY = (".new-", ".deleted-")  # what a killed process leaves of a write or a deletion


class Run:
    """A run directory, locked by this process until `close` or the end of the process."""

    is_writer = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = filelock.FileLock(path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise SettingError(
                f"run {path} is in use by another process; wait for it, or choose another run.dir"
            ) from None

    def close(self) -> None:
        self._lock.release()

    def atomic_write(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A temporary path to write to, renamed to `name` unless the block raises."""
        return atomic_file(self.path / name, shared=False)  # the run is locked

    def write_text(self, name: str, text: str) -> None:
        with self.atomic_write(name) as path:
            path.write_text(text, encoding="utf-8")

    def write_json(self, name: str, content: Any) -> None:
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingError(
                f"{self.path / name} cannot be read ({error}); this run cannot be resumed"
            ) from None


class FollowedRun(Run):
    """A run directory that another process writes: what is written to this one is discarded."""

    is_writer = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """There is no lock to release."""

    @contextmanager
    def atomic_write(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / Path(name).name


def create(config: Config) -> Run:
    """A new run directory: `run.dir`, or `<name>-<time>` under `run.root`.

    Raises:
        SettingError: the directory exists and is not empty, or cannot be made.
    """
    settings = config.run
    try:
        path = (
            _empty_dir(settings) if settings.dir else make_run_dir(config.name, Path(settings.root))
        )
    except OSError as error:
        raise cannot_be_made(_run_setting(settings), error) from None
    run = Run(path.resolve())
    write_config(run, config)
    return run


def write_config(run: Run, config: Config) -> None:
    """Write `config.yaml`, resolved; without `run.resume`, which is no setting of the run.

    What is relative in it is absolute in `paths.json`.
    """
    stored = dataclasses.replace(config, run=dataclasses.replace(config.run, resume=None))
    kept, absolute = read_paths(run.path), paths.absolute_paths(stored)
    if kept:
        stored, absolute = paths.as_typed(stored, read_config(run.path / CONFIG), kept)
    if kept or absolute:
        run.write_json(paths.PATHS, absolute)
    run.write_text(CONFIG, OmegaConf.to_yaml(OmegaConf.structured(stored)))


def read_paths(run: Path) -> dict[str, str]:
    """The absolute paths of the run's settings; none if it has no intact `paths.json`."""
    kept = read_or_default(read_json, run / paths.PATHS, {})
    return kept if isinstance(kept, dict) else {}


def is_run(place: str | Path) -> bool:
    """Whether `place` is a run directory, and not another file or an address of a model."""
    return (Path(place).expanduser() / CONFIG).is_file()


def check_free(settings: RunConfig) -> None:
    """Check that a new run directory can be made, before any data is read."""
    if settings.resume is not None:
        return
    path = Path(settings.dir or settings.root)
    if settings.dir:
        _check_is_listed(settings)
    there = check_folder(_run_setting(settings), path)
    if not settings.dir or there != path or not any(path.iterdir()):
        return
    if (path / CONFIG).exists():
        raise SettingError(
            f"run.dir={path} is a run already; choose a new folder, or resume that run by "
            f"run.resume={path}"
        )
    raise SettingError(f"run.dir={path} is not empty, and no run; choose a new or empty folder")


def _check_is_listed(settings: RunConfig) -> None:
    """Refuse a folder that the list of runs passes over, so that the run would not be found."""
    path, root = Path(str(settings.dir)).absolute(), Path(settings.root).absolute()
    *within, name = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    hidden = [part for part in within if part.startswith(".")]
    if name.startswith(TEMPORARY):
        hidden.append(name)
    if hidden:
        raise SettingError(
            f"run.dir={settings.dir} would not be listed among the runs, because of {hidden[0]}; "
            "choose a name that does not begin with a dot"
        )


def damaged_checkpoints(path: Path) -> SettingError:
    return SettingError(
        f"run.resume={path} cannot be resumed: every file in {path / 'checkpoint'} is damaged; "
        "restore an intact copy of one, or start a new run"
    )


def baseline_dir(path: Path) -> Path:
    """The folder of the baseline run of the fine-tuning in `path`."""
    old = path / OLD_BASELINE
    return old if old.is_dir() else path / BASELINE


def fold_dirs(path: Path) -> list[Path]:
    """The folders of the folds that the run in `path` has, in order."""
    found = [one for one in (path / FOLDS).glob("*") if one.name.isdecimal()]
    return sorted(found, key=lambda one: int(one.name))


def _run_setting(settings: RunConfig) -> str:
    return f"run.dir={settings.dir}" if settings.dir else f"run.root={settings.root}"


def _empty_dir(settings: RunConfig) -> Path:
    check_free(dataclasses.replace(settings, resume=None))
    path = Path(str(settings.dir))
    path.mkdir(parents=True, exist_ok=True)
    return path


def make_run_dir(name: str, root: Path) -> Path:
    """A new empty folder `<name>-<time>` under `root`, of the letters that `folder_name` leaves."""
    stamp = f"{folder_name(name)}-{time.strftime('%Y%m%d-%H%M%S')}"
    root.mkdir(parents=True, exist_ok=True)
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (root / (stamp + suffix)).mkdir()
            return root / (stamp + suffix)
    raise SettingError(f"run.root={root} holds a thousand runs of {stamp}; choose another run.root")


def config_of_run(directory: str) -> Config:
    """The configuration that a run was started with, with its paths as seen from here.

    Raises:
        SettingError: the directory is no run, or its settings are damaged or a newer version's.
    """
    path = Path(directory) / CONFIG
    if not os.path.isfile(path):
        raise SettingError(
            f"run.resume={directory} is not a run: it has no {CONFIG}; name the folder that a "
            "training run printed as its last line"
        )
    try:
        return paths.located(read_config(path), read_paths(Path(directory)))
    except SettingError as error:
        reason, _, _ = str(error).partition("; ")
        raise SettingError(
            f"{reason}, so run.resume={directory} cannot be resumed; start a new run"
        ) from None


def read_json(file: Path) -> Any:
    """Content of a JSON file of a run.

    Raises:
        SettingError: the file is missing or damaged.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{file} is damaged ({error}); restore an intact copy of it") from None


def read_or_default(read: Callable[[Path], Any], path: Path, default: Any) -> Any:
    """`read(path)`, or `default` if the file is missing or damaged, which the status reports."""
    try:
        return read(path)
    except SettingError:
        return default


@contextmanager
def log_file(run: Run) -> Iterator[None]:
    """Log to `train.log` too, with the time; a resumed run appends."""
    if not run.is_writer:
        yield
        return
    handler = logging.FileHandler(run.path / LOG, encoding="utf-8")
    with log_handler(handler, "%(asctime)s %(message)s", logging.DEBUG):
        log.debug("started at %s", time.strftime("%Y-%m-%d %H:%M:%S %z"))
        yield
