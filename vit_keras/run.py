"""The run directory: everything about one training run, in files that explain themselves.

A file is whole or absent: each is written beside its place and moved there in one step.
"""

import contextlib
import dataclasses
import functools
import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from vit_keras import archives, history
from vit_keras.config import Config, RunConfig, setting_names
from vit_keras.errors import SettingError

CONFIG = "config.yaml"
LOCK = ".lock"
SCRATCH = "from_scratch"  # the folder of the baseline, in a fine-tuning's own
CHECKPOINTS = "checkpoint/epoch-*.npz"
# What a resumed run may be told anew; everything else it keeps, or its past would not be its own.
RESUMABLE = (
    "train.epochs",
    "train.early_stopping",
    "train.tensorboard",
    "train.samples",
    "data.dir",
    "data.path",
    "data.prefetch",
    "data.workers",
)


class Run:
    """A run directory, held by this process until `close` or the process's end."""

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

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A path to write to; what was written becomes `name` when the block ends well."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".new-{target.name}")  # keeps the suffix, which Keras reads
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        with self.replacing(name) as path:
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


def create(config: Config) -> Run:
    """A new run directory: `run.dir`, or `<name>-<time>` under `run.root`.

    Raises:
        SettingError: the directory exists and is not empty, or cannot be made.
    """
    settings = config.run
    try:
        path = (
            _empty_dir(Path(settings.dir))
            if settings.dir
            else fresh_dir(config.name, Path(settings.root))
        )
    except OSError as error:
        raise _cannot_be_made(_asked(settings), error) from None
    run = Run(path.resolve())
    write_config(run, config)
    return run


def write_config(run: Run, config: Config) -> None:
    """`config.yaml`, resolved. What resumes a run is no setting of the run."""
    kept = dataclasses.replace(config, run=dataclasses.replace(config.run, resume=None))
    run.write_text(CONFIG, OmegaConf.to_yaml(OmegaConf.structured(kept)))


def check_free(settings: RunConfig) -> None:
    """Refuse a place that a new run cannot be put in, before any data is read."""
    if settings.resume is not None:
        return
    path = Path(settings.dir or settings.root)
    there = check_folder(_asked(settings), path)
    if not settings.dir or there != path or not any(path.iterdir()):
        return
    if (path / CONFIG).exists():
        raise SettingError(
            f"run.dir={path} is a run already; choose a new folder, or go on with that run by "
            f"run.resume={path}"
        )
    raise SettingError(f"run.dir={path} is not empty, and no run; choose a new or empty folder")


def check_folder(asked: str, path: Path) -> Path:
    """What there is of `path`, from above; refused if no folder can be made or written below."""
    try:
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise _cannot_be_made(asked, error) from None
    if not there.is_dir():
        raise SettingError(f"{asked}: {there} is a file; choose a folder instead")
    if not os.access(there, os.W_OK):
        raise SettingError(f"{asked}: {there} is read-only; choose a folder that you may write to")
    return there


def check_resumable(config: Config) -> None:
    """Hold a configuration with `run.resume` to that of the run which it goes on with.

    Raises:
        SettingError: the directory is no run, is in use, or was started with other settings.
    """
    resume = config.run.resume
    if resume is None:
        return
    asked, kept = map(OmegaConf.structured, (config, config_of(resume)))
    _check_checkpoints(Path(resume))
    _check_best(Path(resume))
    Run(Path(resume)).close()  # refuses a run that another process holds
    for setting in setting_names():
        if setting.startswith("run.") or setting in RESUMABLE:
            continue
        new, old = OmegaConf.select(asked, setting), OmegaConf.select(kept, setting)
        if new != old:
            raise SettingError(
                f"{setting}={new} differs from {old} in run.resume={resume}; a resumed run keeps "
                f"its settings ({', '.join(RESUMABLE)} aside), so leave it out or start a new run"
            )


def _check_checkpoints(path: Path) -> None:
    """Refuse a run that has nothing to go on from, though it got past its first epoch.

    A glance, without Keras: a file damaged inside is told when it is read.
    """
    found = sorted(path.glob(CHECKPOINTS))
    if any(map(zipfile.is_zipfile, found)):
        return
    if found:
        raise damaged_checkpoints(path)
    if (path / "best.keras").exists():  # written after the first checkpoint
        raise SettingError(
            f"run.resume={path} has no checkpoint/ to go on from, as no released run has; leave it "
            "out to start a new run"
        )


def _check_best(path: Path) -> None:
    """Refuse a run whose best model is lost: a checkpoint has its own epoch's weights alone."""
    whole = [file for file in path.glob(CHECKPOINTS) if zipfile.is_zipfile(file)]
    newest = max((int(file.stem.removeprefix("epoch-")) for file in whole), default=0)
    rows = [row for row in history.read(path) if row["epoch"] <= newest]
    if not rows or history.best_epoch(rows) == newest:  # which is written again
        return
    if fault := archives.model_fault(path / "best.keras"):
        raise SettingError(
            f"run.resume={path} cannot go on: {fault}, and it was of epoch "
            f"{history.best_epoch(rows):.0f}; put a whole copy of it back, or start a new run"
        )


def damaged_checkpoints(path: Path) -> SettingError:
    return SettingError(
        f"run.resume={path} cannot go on: every file in {path / 'checkpoint'} is damaged; put a "
        "whole copy of one back, or start a new run"
    )


def _cannot_be_made(asked: str, error: OSError) -> SettingError:
    return SettingError(
        f"{asked} cannot be made ({error.strerror}); choose a folder that you may write to"
    )


def _asked(settings: RunConfig) -> str:
    return f"run.dir={settings.dir}" if settings.dir else f"run.root={settings.root}"


def _empty_dir(path: Path) -> Path:
    check_free(RunConfig(dir=str(path)))
    path.mkdir(parents=True, exist_ok=True)
    return path


def fresh_dir(name: str, root: Path) -> Path:
    """A new empty folder `<name>-<time>` under `root`."""
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    root.mkdir(parents=True, exist_ok=True)
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            (root / (stamp + suffix)).mkdir()
            return root / (stamp + suffix)
    raise SettingError(f"run.root={root} holds a thousand runs of {stamp}; choose another run.root")


def config_of(directory: str) -> Config:
    """The configuration that a run was started with.

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
        return read_config(path)
    except SettingError as error:
        reason, _, _ = str(error).partition("; ")
        raise SettingError(
            f"{reason}, so run.resume={directory} cannot go on; start a new run"
        ) from None


@functools.cache
def _schema() -> Any:
    return OmegaConf.structured(Config)  # takes as long as all else that is done to read a run


def read_config(file: Path) -> Config:
    """The settings in a run's `config.yaml`.

    One of an older version lacks those that came later: their defaults are what it did.

    Raises:
        SettingError: the file is damaged, or has settings that this version does not know.
    """
    try:
        loaded: Any = OmegaConf.load(file)
        if "resume" not in loaded.get("run", {}):  # the last line that is written
            raise ValueError("its end is missing")
        return OmegaConf.to_object(OmegaConf.merge(_schema(), loaded))  # type: ignore
    except ConfigKeyError as error:
        raise SettingError(
            f"{file} has {error.full_key}, which this version does not know: the run is of a newer "
            "one; install that (pip install --upgrade vit-keras-lab)"
        ) from None
    except Exception as error:  # YAML's and OmegaConf's errors share no base
        reason = (str(error) or "no reason given").splitlines()[0]
        raise SettingError(f"{file} is damaged ({reason}); put a whole copy of it back") from None
