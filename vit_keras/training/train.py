"""Train a run: check the settings, load the data, build the model, fit it, evaluate it."""

import contextlib
import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from vit_keras import backend, peak_memory
from vit_keras.config.schema import Config
from vit_keras.config.stages import check_image_sizes
from vit_keras.data import device_resident, lazy_images, registry, sampling
from vit_keras.data.dataset import SourceData, Splits
from vit_keras.data.readers import in_memory
from vit_keras.data.splits import load_splits
from vit_keras.logs import console, log, quiet
from vit_keras.model.vit import describe
from vit_keras.runs import run_dir, run_end
from vit_keras.runs.run_dir import Run, log_file
from vit_keras.tracking.follow import followed
from vit_keras.training import (
    autotune,
    batch_size,
    devices,
    distribution,
    freezing,
    out_of_memory,
    overfit_check,
    preflight,
    processes,
    resume,
    run_description,
)
from vit_keras.training.build_model import build_training_model
from vit_keras.training.callbacks import stopping
from vit_keras.training.plan import TrainingPlan, resolve_plan
from vit_keras.training.precision import Precision
from vit_keras.training.trainer import Result, Trainer
from vit_keras.training.training_model import TrainingModel
from vit_keras.training.unused_settings import effect_remarks


class Prepared(NamedTuple):
    """All that a training needs before its first step."""

    config: Config  # with what was decided for `auto`
    splits: Splits
    plan: TrainingPlan
    precision: Precision
    model: TrainingModel  # built, not yet compiled
    weights_report: str  # which pretrained weights were loaded; empty from scratch


def train_model(config: Config, data: Any = None) -> Result:
    """Train the run that `config` describes, from data to metrics.

    With `config.train.folds` set, trains so many; see `folds`.
    With `config.run.resume` set, continues that run after its last intact checkpoint; on a CPU the
    result is bit for bit that of an uninterrupted run.

    TensorFlow keeps what XLA has compiled for a run, about 200 MB, until the process ends. Train
    many runs by a sweep (`--multirun`), each in a process of its own, or with
    `train.jit_compile=false`.

    Args:
        config: of the run; `load_config` makes one.
        data: replaces `config.data.name`: (images, labels), a dictionary of such pairs, a
            tf.data.Dataset, a Keras PyDataset, or the result of `build_splits`; read into memory.

    Raises:
        SettingError: the configuration, the data or the run directory cannot work.
        ResourceError: there is not enough memory.
        DivergedError: the loss is not finite any more; the last checkpoint remains.
        ProcessLostError: another process of the training has ended; the run can be resumed.
        KeyboardInterrupt: stopped by Ctrl-C; the run can be resumed.
    """
    if config.train.folds is not None:
        from vit_keras.training.folds import train_folds  # by this function for each

        return train_folds(config, data)
    started = time.perf_counter()
    preflight.check_settings(config)
    with console():
        arrays = None if data is None else in_memory.to_in_memory(data, config.data)
        config = in_memory.with_array_source(config, arrays)
        preflight.check(config, arrays)
        processes.start(config.distribute)
        is_first = backend.process_index() == 0
        with contextlib.nullcontext() if is_first else quiet():
            processes.check_settings_and_versions(config)
            usable = functools.partial(devices.usable, config)
            return _train(config, arrays, started, distribution.resolve(config.distribute, usable))


def _train(
    config: Config, data: SourceData | None, started: float, scope: distribution.Scope
) -> Result:
    """`train_model` on the devices of `scope`."""
    with scope():
        devices.check(config)
    run_dir.check_free(config.run)
    resume.check_resumable(config)
    config = resume.with_schedules(resume.with_decided(config))
    with out_of_memory.in_one_line(config, is_loading=True), scope():
        prepared = prepare(config, data, may_measure=True)
    config = prepared.config
    processes.check_data(prepared.splits)
    # After the model was built: one that cannot be leaves no directory behind.
    run = _open_run(config)
    try:
        with log_file(run), lazy_images.report_decode_failures(prepared.splits):
            _report_unused_settings(config, data)
            with scope():
                run_description.describe(run, config, prepared)
            trainer = Trainer(config, run, prepared.plan, prepared.splits, prepared.model, started)
            with (
                followed(run, config) as trainer.follower,  # to the end, which is recorded by then
                run_end.recorded(run, lambda: stopping.end_of(trainer.plan, trainer.history)),
            ):
                with scope(), processes.explaining_loss(run):
                    result = trainer.fit()
                trainer.export()
            processes.wait_for_all("end")
            return result
    finally:
        if run.is_writer:
            (run.path / run_dir.PROGRESS).unlink(missing_ok=True)
        run.close()


def _open_run(config: Config) -> Run:
    """The run that is resumed, or a new one; of several processes the first one opens it."""
    resumed, run = config.run.resume, None
    if backend.process_index() == 0:
        run = Run(Path(resumed).resolve()) if resumed else run_dir.create(config)
    return processes.shared_run(run, is_new=not resumed)


def prepare(config: Config, data: SourceData | None = None, may_measure: bool = False) -> Prepared:
    """Seed Keras, load the data, resolve the plan and the precision, and build the model.

    Args:
        config: a checked configuration.
        data: replaces `config.data.name`.
        may_measure: decide `auto` by timing the training step, where it was not timed before.

    Raises:
        SettingError: the data or the pretrained weights cannot be loaded, or do not fit the stages
            or the classes.
    """
    peak_memory.reset()
    keras.utils.set_random_seed(config.train.seed)
    config, splits = _load_splits(config, data)
    device_resident.is_resident(config.data, splits.train.images)  # refuses what cannot be
    pair, reason = autotune.default_pair(config.train)
    default = batch_size.provisional(autotune.with_pair(config, pair), len(splits.train.labels))
    prepared = _build(default, splits, Precision(pair.policy, reason))
    plan, model = prepared.plan, prepared.model
    if backend.process_count() > 1:  # each would measure something else
        return prepared
    with out_of_memory.in_one_line(default):
        tuned = autotune.tune(config, plan, prepared.splits, model.vit, may_measure)
    if tuned is None:
        return prepared
    del prepared, model  # before the other one is made
    peak_memory.reset()
    config, precision = tuned
    return _build(config, splits, precision)


def _build(config: Config, splits: Splits, precision: Precision) -> Prepared:
    """The plan and the model, the same whatever was built before in this process."""
    plan = resolve_plan(config, len(splits.train.labels))
    splits = overfit_check.select_overfit_batches(splits, config)
    keras.utils.set_random_seed(config.train.seed)
    model, weights_report = build_training_model(plan.config, splits, precision.policy)
    for stage in plan.stages:
        freezing.check_layers(model.vit, stage)
    if any(stage.image_size for stage in plan.stages):
        patch_size = describe(model.vit)["patch_size"]
        check_image_sizes(plan.stages, model.vit.input_shape[1:3], patch_size)
    return Prepared(config, splits, plan, precision, model, weights_report)


def _load_splits(config: Config, data: SourceData | None) -> tuple[Config, Splits]:
    """The images, and the configuration with the range of values that was found, which is kept."""
    splits = load_splits(config.data, config.train.seed, data)
    sampling.check_classes(splits.train.labels, splits.class_names, config.data.sampling)
    return with_found_values(config, splits), splits


def with_found_values(config: Config, data: SourceData | Splits) -> Config:
    """`config` with the bit depth and the range of values that were found, which a run keeps."""
    if data.bit_depth is not None:
        config = replace(config, data=replace(config.data, bit_depth=data.bit_depth))
    if data.value_range is not None:
        value_range, channels = data.value_range, data.train.images.shape[-1]
        kept = value_range if isinstance(value_range, str) else list(value_range)
        config = replace(config, data=replace(config.data, value_range=kept, channels=channels))
    return config


def _report_unused_settings(config: Config, data: SourceData | None) -> None:
    if config.run.resume is None:
        counts = registry.image_counts(config.data) if data is None else data.image_counts
        for remark in effect_remarks(config, counts):
            log.warning("warning: %s", remark)
