"""The loop: data and a configuration in, a run directory out."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras import backend
from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.data import dataset, input_pipeline
from vit_keras.errors import SettingError
from vit_keras.runs import history as runs_history
from vit_keras.runs import run_dir
from vit_keras.training import callbacks, checkpoint, freezing, overfit_check, preflight
from vit_keras.training.callbacks import checkpoints, history, sample_predictions, stopping
from vit_keras.training.training_model import TrainingModel

log = logging.getLogger("vit_keras")


@dataclass(frozen=True)
class Result:
    """Where a run was put and what it reached, as `metrics.json` has it."""

    path: Path
    metrics: dict[str, Any]


def _train(
    config: Config, run: run_dir.Run, splits: dataset.Splits, model: TrainingModel
) -> Result:
    kept = checkpoint.load_latest(run) if config.run.resume else None
    rows = kept.state["rows"] if kept else []
    if config.run.resume:
        run_dir.write_config(run, config)  # with more epochs, if they were asked for
        log.info(
            "resuming %s after epoch %d of %d", run.path, len(rows), stages.total_epochs(config)
        )
    steps = preflight.steps_per_epoch(config, len(splits.train.labels))
    recorder = history.HistoryLogger(run, rows, steps * config.train.batch_size)
    for stage in stages.plan(config):
        is_kept = bool(rows) and rows[-1]["stage"] == stage.name
        own = recorder.rows_of(stage.name)
        has_stalled = stopping.has_stalled(own, config.train.early_stopping)
        is_over = len(own) >= stage.epochs or has_stalled
        if is_over and not (kept and is_kept):
            continue
        _begin(config, model, stage, steps, recorder)
        if kept and is_kept:
            checkpoint.restore_checkpoint(kept, model)
            recorder.write()  # a history that ran ahead of the checkpoint is cut back to it
            checkpoints.save_again(config, run, model, model.vit, recorder)
            kept = None
        if not is_over:
            _fit(config, run, model, splits, recorder, stage)
    return _finish(config, run, model, splits, recorder)


def _begin(
    config: Config, model: TrainingModel, stage: Stage, steps: int, recorder: history.HistoryLogger
) -> None:
    first_steps, before = {}, 0
    for earlier in stages.plan(config):
        first_steps[earlier.name] = before * steps
        if earlier.name == stage.name:
            break
        before += len(recorder.rows_of(earlier.name))
    recorder.stage = stage.name
    model.configure_stage(stage, overfit_check.disable_regularisation(config), steps, first_steps)
    if config.stages:
        table = freezing.trainable_table(model.vit, stage)
        epochs = f"{stage.epochs} epoch{'s' if stage.epochs > 1 else ''}"
        log.info("\nstage %s, %s:\n%s", stage.name, epochs, table)


def _fit(
    config: Config,
    run: run_dir.Run,
    model: TrainingModel,
    splits: dataset.Splits,
    recorder: history.HistoryLogger,
    stage: Stage,
) -> None:
    first_epoch, steps = (
        len(recorder.rows),
        preflight.steps_per_epoch(config, len(splits.train.labels)),
    )
    training, validation = _streams(config, model, splits, recorder, steps)
    interrupt = stopping.StopOnInterrupt()
    left = stage.epochs - len(recorder.rows_of(stage.name))
    try:
        with interrupt.listening():
            model.fit(
                training,
                steps_per_epoch=steps,
                initial_epoch=first_epoch,
                epochs=first_epoch + left,
                validation_data=validation,
                callbacks=[
                    *callbacks.build_callbacks(config, run, model.vit, recorder, steps),
                    *_samples(config, run, model, splits),
                    interrupt,
                ],
                shuffle=False,  # the order is the epoch's own, and Keras would warn
                verbose=_verbosity(),
            )
    except KeyboardInterrupt:
        log.info(
            "\nstopped after epoch %d of %d; go on with run.resume=%s",
            len(recorder.rows),
            stages.total_epochs(config),
            run.path,
        )
        raise
    if config.optim.ema_momentum is not None and (whole := checkpoint.load_latest(run)):
        # Keras' `fit` ends with the average in the weights' place; the next stage needs them.
        checkpoint.restore_checkpoint(whole, model)


def _samples(
    config: Config, run: run_dir.Run, model: TrainingModel, splits: dataset.Splits
) -> list[keras.callbacks.Callback]:
    """Last in the list: it asks the model with the weights that are saved."""
    if not (count := config.train.sample_predictions):
        return []
    names = splits.class_names
    return [sample_predictions.SamplePredictions(run, model.vit, splits.validation, names, count)]


def _streams(
    config: Config,
    model: TrainingModel,
    splits: dataset.Splits,
    recorder: history.HistoryLogger,
    steps: int,
) -> tuple[Any, Any]:
    """The batches to train on, from the epoch that is next, and those to validate on."""
    size, prefetch = config.train.batch_size, config.data.prefetch
    train, validation = splits.train, splits.validation
    if model.on_features:
        log.info("the frozen backbone's features are computed once")
        train, validation = (model.features(split, size) for split in (train, validation))
    training = input_pipeline.training_batches(
        train,
        size,
        config.train.seed,
        len(recorder.rows),
        prefetch,
        steps=steps,
        repeats=1 if model.on_features else model.augment_config.repeated_augmentation,
        wait=recorder.wait,
    )
    return training, input_pipeline.evaluation_batches(validation, size, prefetch)


def _finish(
    config: Config,
    run: run_dir.Run,
    model: TrainingModel,
    splits: dataset.Splits,
    recorder: history.HistoryLogger,
) -> Result:
    """Measure the best model on the test split, once, and say where everything was put."""
    rows = recorder.rows
    overfit_check.warn_if_not_overfit(config, rows)
    model.vit.load_weights(run.path / "best.keras")
    model.on_images()
    test = input_pipeline.evaluation_batches(
        splits.test, config.train.batch_size, config.data.prefetch
    )
    scores = model.evaluate(test, verbose=_verbosity(), return_dict=True)
    best = runs_history.best_epoch(rows)
    # The first epoch compiles; where there are others, it says nothing about speed.
    speeds = [row["images_per_second"] for row in rows[1:] or rows]
    peaks = backend.peak_memory_mb()
    metrics = {
        "test_accuracy": scores["accuracy"],
        "test_loss": scores["loss"],
        "best_val_accuracy": rows[best - 1]["val_accuracy"],
        "best_epoch": best,
        "epochs": len(rows),
        "params": freezing.count_params(model.vit),
        "images_per_second": float(np.median(speeds)),
        "train_seconds": round(sum(row["seconds"] for row in rows), 1),
        "peak_memory_mb": peaks["host"],
        "peak_gpu_memory_mb": peaks.get("gpu"),
    }
    run.write_json("metrics.json", metrics)
    log.info(
        "test accuracy %.4f (loss %.4f) with best.keras of epoch %d; trained in %.0f s",
        metrics["test_accuracy"],
        metrics["test_loss"],
        best,
        metrics["train_seconds"],
    )
    log.info("model: %s\ncurves: %s", run.path / "best.keras", run.path / "curves.png")
    log.info("run: %s", run.path)
    return Result(run.path, metrics)


def _describe(
    run: run_dir.Run, vit: keras.Model, splits: dataset.Splits, description: dict[str, Any]
) -> None:
    """Write what is known before training, or hold a resumed run to what it was started with."""
    lines: list[str] = []
    vit.summary(line_length=80, print_fn=lines.append)
    log.info("\n".join(lines))
    mapping = {str(index): name for index, name in enumerate(splits.class_names)}
    if not (run.path / "class_mapping.json").exists():
        run.write_text("model_summary.txt", "\n".join(lines) + "\n")
        run.write_json("environment.json", description)
        run.write_json("class_mapping.json", mapping)
        return
    if run.read_json("environment.json")["data_fingerprint"] != description["data_fingerprint"]:
        raise SettingError(
            f"the images or classes are not those that run.resume={run.path} was trained on "
            "(fingerprint in environment.json); resume with the run's own data, or start a new run"
        )


def _verbosity() -> int:
    """A progress bar on a terminal; a line per epoch in a file, where bars would pile up."""
    return 1 if sys.stdout.isatty() else 2
