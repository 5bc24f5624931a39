"""Train a run: check the settings, load the data, build the model, fit it, evaluate it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from vit_keras import backend
from vit_keras.config.schema import Config
from vit_keras.config.stages import check_image_sizes
from vit_keras.data import device_resident, lazy_images, quality_report, registry, sampling
from vit_keras.data.dataset import SourceData, Splits
from vit_keras.data.image_input import PREPROCESS, ImageInput
from vit_keras.data.readers import in_memory
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.logs import console, log
from vit_keras.model.vit import describe
from vit_keras.runs import accuracy, run_dir, run_end, training_images
from vit_keras.runs.run_dir import Run, log_file
from vit_keras.text import counted
from vit_keras.training import (
    autotune,
    batch_size,
    class_weights,
    devices,
    environment,
    freezing,
    out_of_memory,
    overfit_check,
    preflight,
    resume,
    teacher,
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
        devices.check(config)
        run_dir.check_free(config.run)
        resume.check_resumable(config)
        config = resume.with_schedules(resume.with_decided(config))
        with out_of_memory.in_one_line(config, is_loading=True):
            prepared = prepare(config, arrays, may_measure=True)
        config = prepared.config
        resumed = config.run.resume
        # After the model was built: one that cannot be leaves no directory behind.
        run = Run(Path(resumed).resolve()) if resumed else run_dir.create(config)
        try:
            with log_file(run), lazy_images.report_decode_failures(prepared.splits):
                _report_unused_settings(config, arrays)
                _describe_run(run, config, prepared)
                trainer = Trainer(
                    config, run, prepared.plan, prepared.splits, prepared.model, started
                )
                with run_end.recorded(run, lambda: stopping.end_of(trainer.plan, trainer.history)):
                    return trainer.fit()
        finally:
            (run.path / run_dir.PROGRESS).unlink(missing_ok=True)
            run.close()


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
    backend.reset_peak_memory()
    keras.utils.set_random_seed(config.train.seed)
    config, splits = _load_splits(config, data)
    device_resident.is_resident(config.data, splits.train.images)  # refuses what cannot be
    pair, reason = autotune.default_pair(config.train)
    default = batch_size.provisional(autotune.with_pair(config, pair), len(splits.train.labels))
    prepared = _build(default, splits, Precision(pair.policy, reason))
    plan, model = prepared.plan, prepared.model
    with out_of_memory.in_one_line(default):
        tuned = autotune.tune(config, plan, prepared.splits, model.vit, may_measure)
    if tuned is None:
        return prepared
    del prepared, model  # before the other one is made
    backend.reset_peak_memory()
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


def _describe_run(run: Run, config: Config, prepared: Prepared) -> None:
    """Log what is known before training and write it into the run.

    Raises:
        SettingError: the data are not those that the run to resume was trained on.
    """
    splits, vit, precision = prepared.splits, prepared.model.vit, prepared.precision
    log.info("data: %s\n%s", config.data.name, splits.table())
    _report_data_quality(run, splits, vit)
    _report_imbalance(config, splits, prepared.model)
    if problem := prepared.plan.average_problem:
        log.warning("warning: %s", problem)
    log.info("precision: %s (%s)", precision.policy, precision.reason)
    _report_steps_per_execution(prepared.plan)
    description = environment.describe(precision, splits)
    if (taught_by := prepared.model.teacher) is not None:
        log.info("teacher: %s", teacher.describe_teacher(config, taught_by))
        if problem := teacher.trained_on(config, splits):
            log.warning("warning: %s", problem)
        description["teacher_fingerprint"] = taught_by.fingerprint
    lines: list[str] = []
    vit.summary(line_length=80, print_fn=lines.append)
    log.info("\n".join(lines))
    if (run.path / "class_mapping.json").exists():  # resumed, and the file that is written last
        _check_fingerprints(run, description, config.train.teacher)
    else:
        run.write_text("model_summary.txt", "\n".join(lines) + "\n")
        if program := ImageInput.of_run(config.data, vit.input_shape[1:]).program:
            run.write_text(PREPROCESS, program)
        training_images.write_training_images(run, splits.train_hashes)
        run.write_json("environment.json", description)
        run.write_json("class_mapping.json", dict(enumerate(splits.class_names)))
    if prepared.weights_report:
        log.info("pretrained: %s", prepared.weights_report)
        run.write_text("pretrained.txt", prepared.weights_report + "\n")


def _report_steps_per_execution(plan: TrainingPlan) -> None:
    asked, steps = plan.config.train.steps_per_execution, plan.steps_per_execution
    if asked not in ("auto", steps):
        log.info(
            "steps per call: %d, because train.steps_per_execution=%d does not divide the %s of an "
            "epoch",
            *(steps, asked, counted(plan.steps_per_epoch, "batch[es]")),
        )


def _report_data_quality(run: Run, splits: Splits, vit: keras.Model) -> None:
    """Warn of suspicious data, and list the affected files of a folder in the run."""
    if splits.findings:
        run.write_text(quality_report.REPORT, quality_report.findings_csv(splits.findings))
    for line in quality_report.summary(splits.findings):
        log.warning("warning: %s; all in %s", line, run.path / quality_report.REPORT)
    problems = [*quality_report.label_problems(splits), *quality_report.rare_classes(splits)]
    problems += [*quality_report.joined_labels(splits), *quality_report.crop(splits)]
    for problem in [*problems, *accuracy.small_splits(splits.image_counts)]:
        log.warning("warning: %s", problem)
    log.info("pixels: %s", quality_report.pixel_statistics(splits.train, vit))


def _report_imbalance(config: Config, splits: Splits, model: TrainingModel) -> None:
    """Log what is done about unequal classes, or warn of them where nothing is."""
    if model.class_weights is not None:
        weights = class_weights.describe(model.class_weights, splits.class_names)
        log.info("weights of the classes in the training loss: %s", weights)
    elif config.data.sampling == "none":
        for problem in quality_report.imbalance(splits):
            log.warning("warning: %s", problem)


def _check_fingerprints(run: Run, found: dict[str, Any], taught_by: str | None) -> None:
    kept = run.read_json("environment.json")
    if kept["data_fingerprint"] != found["data_fingerprint"]:
        raise SettingError(
            f"the images or classes are not those that run.resume={run.path} was trained on "
            "(fingerprint in environment.json); resume with the run's own data, or start a new run"
        )
    if kept.get("teacher_fingerprint") != found.get("teacher_fingerprint"):
        raise SettingError(
            f"train.teacher={taught_by} has other weights than that of run.resume={run.path} "
            "(fingerprint in environment.json); resume with the same teacher, or start a new run"
        )
