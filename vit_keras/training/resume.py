"""Which runs can be resumed, with which settings, and with which schedules."""

import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from vit_keras.config import stages
from vit_keras.config.compose import get_setting, set_setting, touched_settings
from vit_keras.config.schema import Config, setting_names
from vit_keras.data import splits
from vit_keras.errors import SettingError
from vit_keras.io import zip_files
from vit_keras.logs import log
from vit_keras.runs import history, run_dir
from vit_keras.runs.checkpoint_name import newest_position
from vit_keras.runs.run_dir import CHECKPOINTS, Run, config_of_run, damaged_checkpoints
from vit_keras.text import counted

MODELS = ("last.keras", "best.keras")


def resumed_config(asked: Config, overrides: Iterable[str]) -> Config:
    """The settings of the run to resume, with those that the overrides change."""
    result = run_dir.config_of_run(str(asked.run.resume))
    touched = touched_settings(overrides)
    if {"data.name", "data.classes"} & set(touched):
        new, old = splits.class_count(asked.data), splits.class_count(result.data)
        if new != old:
            raise SettingError(
                f"data.name={asked.data.name} data.classes={asked.data.classes} has {new} classes, "
                f"the model of run.resume={asked.run.resume} has {old}; leave them out or start a "
                "new run"
            )
    for setting in touched:
        if not _is_left_open(setting, get_setting(asked, setting)):
            set_setting(result, setting, get_setting(asked, setting))
    result.run.resume = asked.run.resume
    result.distribute = asked.distribute  # of the command, and not of the run
    check_resumable(result)
    return result


# The settings that may change when a run is resumed. With any other one changed, the result would
# not equal that of an uninterrupted run.
RESUMABLE = (
    "train.epochs",
    "train.early_stopping",
    "train.tensorboard",
    "train.sample_predictions",
    "train.export",
    "train.autotune",
    "train.steps_per_execution",
    "data.tfds_dir",
    "data.path",
    "data.prefetch",
    "data.device_resident",
    "data.workers",
)

# What `auto` leaves open is decided when a run starts, and kept with it.
DECIDED = ("train.precision", "train.jit_compile", "train.batch_size")


def _is_left_open(setting: str, value: object) -> bool:
    return setting in DECIDED and value == "auto"


def check_resumable(config: Config) -> None:
    """Check a configuration with `run.resume` against that of the run to resume.

    Raises:
        SettingError: the directory is no run, is in use, or was started with other settings.
    """
    resume = config.run.resume
    if resume is None:
        return
    kept_config = config_of_run(resume)
    asked, kept = map(OmegaConf.structured, (config, kept_config))
    if config.train.folds is None:  # whose folds have checkpoints of their own
        _check_checkpoints(Path(resume))
        _check_best(Path(resume), history.monitor_of(kept_config))
    if config.distribute.processes == 1:  # several would refuse one another
        Run(Path(resume)).close()  # refuses a run that another process holds
    done = len(history.read_history(Path(resume)))
    if stages.total_epochs(config) < done:
        raise SettingError(
            f"train.epochs={config.train.epochs} is less than the {done} epochs that "
            f"run.resume={resume} has done; use {done} or more"
        )
    for setting in setting_names():
        if setting.startswith(("run.", "distribute.", "tracking.")) or setting in RESUMABLE:
            continue
        new, old = OmegaConf.select(asked, setting), OmegaConf.select(kept, setting)
        if _is_left_open(setting, new):
            continue
        if setting == "train.teacher" and new and old:
            continue  # it may have been moved: the fingerprint of its weights is compared
        if setting == "train.schedule_epochs" and new == _schedule_epochs(config, kept_config):
            continue
        if new != old:
            raise SettingError(
                f"{setting}={new} differs from {old} in run.resume={resume}; a resumed run keeps "
                f"its settings ({', '.join(RESUMABLE)} aside), so leave it out or start a new run"
            )


def saved_architecture(config: Config) -> Path | None:
    """An intact model file of the run to resume; None for a new run, and before its first epoch."""
    run = Path(config.run.resume or "")
    if config.run.resume is None or not any(map(zipfile.is_zipfile, run.glob(CHECKPOINTS))):
        return None
    files = [run / name for name in MODELS]
    return next((file for file in files if not zip_files.model_fault(file)), None)


def with_decided(config: Config) -> Config:
    """`config` with what the run that it resumes, if it resumes one, decided for `auto`."""
    if config.run.resume is None:
        return config
    kept = config_of_run(config.run.resume)
    result = replace(config, train=replace(config.train))
    for setting in DECIDED:
        if _is_left_open(setting, get_setting(config, setting)):
            set_setting(result, setting, get_setting(kept, setting))
    return result


def decided_as(config: Config, run: Path) -> Config:
    """`config` with what `run` decided for `auto`, so that both compute alike."""
    kept, train = config_of_run(str(run)), replace(config.train)
    for setting in DECIDED:
        name = setting.removeprefix("train.")
        setattr(train, name, getattr(kept.train, name))
    return replace(config, train=train)


def with_schedules(config: Config) -> Config:
    """`config` with the learning-rate schedules of the run that it resumes, if it resumes one.

    With more epochs than before, the schedule that was begun stays as it is, and further epochs
    have one of their own; fewer epochs cut it short. A new run with these settings ends the same.
    """
    if config.run.resume is None or config.stages:
        return config
    lengths = _schedule_epochs(config, config_of_run(config.run.resume))
    return replace(config, train=replace(config.train, schedule_epochs=lengths))


def record_epochs(run: Run, config: Config, planned: Iterable[stages.Stage]) -> None:
    """Write and log the schedules that follow where `train.epochs` is another than before."""
    before = config_of_run(str(run.path)).train.epochs
    run_dir.write_config(run, config)
    if before == config.train.epochs:
        return
    log.info("train.epochs is %s instead of %s:", config.train.epochs, before)
    for stage in planned:
        cut = f", cut short after {stage.epochs}" if stage.epochs < stage.schedule_epochs else ""
        log.info(
            "  epochs %d to %d: a learning-rate schedule of %s%s",
            *(stage.first_epoch + 1, stage.end),
            *(counted(stage.schedule_epochs, "epoch[s]"), cut),
        )


def _schedule_epochs(config: Config, kept: Config) -> list[int]:
    lengths, planned = list(kept.train.schedule_epochs), kept.train.epochs or 0
    has_begun = any(Path(str(config.run.resume)).glob(CHECKPOINTS))
    if has_begun and config.train.epochs != planned and sum(lengths) < planned:
        lengths.append(planned - sum(lengths))
    return lengths


def _check_checkpoints(path: Path) -> None:
    """Refuse a run without a checkpoint, though it got past its first epoch.

    Without Keras only the file's end is looked at: damage inside is found when it is read.
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


def _check_best(path: Path, monitor: str) -> None:
    """Refuse a run whose best model is damaged: a checkpoint has only its own epoch's weights."""
    newest = newest_position(path)
    rows = [row for row in history.read_history(path) if newest and row["epoch"] <= newest.epochs]
    if not newest or not rows:
        return
    best = history.best_epoch(rows, monitor)
    if best == newest.epochs and not newest.step:  # which is written again
        return
    if fault := zip_files.model_fault(path / "best.keras"):
        raise SettingError(
            f"run.resume={path} cannot be resumed: {fault}, and it was of epoch "
            f"{best:.0f}; restore an intact copy of it, or start a new run"
        )
