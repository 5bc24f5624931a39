"""Estimate parameters, memory and time of a training from a few of its steps.

Each stage is trained for two short epochs in a temporary run directory. The first one compiles; the
second tells what a step, the validation, and the files that end an epoch take.
"""

import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from vit_keras import peak_memory
from vit_keras.config.folds import fold_config
from vit_keras.config.schema import Config, RunConfig
from vit_keras.config.stages import Stage
from vit_keras.data.input_pipeline import evaluation_batches, training_batches
from vit_keras.logs import console
from vit_keras.runs import run_dir
from vit_keras.text import counted, format_duration
from vit_keras.training import freezing, out_of_memory, preflight
from vit_keras.training.plan import with_single_steps
from vit_keras.training.train import prepare
from vit_keras.training.trainer import Trainer

BATCHES = 5  # of an epoch, in training and in validation


@dataclass(frozen=True)
class Estimate:
    """Expected size, memory and time of a training.

    Attributes:
        params: parameters of the model.
        memory_mb: peak memory of the process, in MB of 10^6 bytes: `host`, and `gpu`.
        start_seconds: to load the data, build the model and compile each stage.
        epoch_seconds: of an epoch of each stage, validation and saving included.
        epochs: of each stage.
        images_per_second: training speed of the last stage.
        runs: how many such are trained, one after the other: the folds of `train.folds`.
    """

    params: int
    memory_mb: dict[str, float]
    start_seconds: float
    epoch_seconds: tuple[float, ...]
    epochs: tuple[int, ...]
    images_per_second: float
    runs: int = 1

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        pairs = zip(self.epoch_seconds, self.epochs, strict=True)
        return self.runs * (self.start_seconds + sum(epoch * count for epoch, count in pairs))

    def lines(self) -> list[str]:
        """Printable lines, `<quantity>: <value>` each."""
        memory = ", ".join(f"{mb:,.0f} MB ({where})" for where, mb in self.memory_mb.items())
        pairs = zip(self.epochs, self.epoch_seconds, strict=True)
        epochs = " + ".join(
            f"{counted(count, 'epoch[s]')} of {seconds:.1f} s" for count, seconds in pairs
        )
        of_one = f"{self.start_seconds:.0f} s to start + {epochs}"
        all_runs = of_one if self.runs == 1 else f"{self.runs} folds of {of_one}"
        return [
            f"parameters: {self.params:,}",
            f"memory: {memory}",
            f"time: {format_duration(self.seconds)} = {all_runs}",
            f"speed: {self.images_per_second:,.0f} images/s",
        ]


def estimate(config: Config) -> Estimate:
    """Train `config` for a few steps of each stage, in a temporary run directory.

    A stage that would be trained on cached features is timed without the cache: it will be faster.
    Of the folds of `train.folds` the first is timed, and the others are taken to be like it.

    Raises:
        SettingError: the configuration or its data cannot work.
        ResourceError: there is not enough memory.
    """
    preflight.check(config)
    folds = config.train.folds
    if folds is not None:
        config = fold_config(config, 1)
    with out_of_memory.in_one_line(config):
        return replace(_estimate(config), runs=folds or 1)


def _estimate(config: Config) -> Estimate:
    started = time.perf_counter()
    with console():
        prepared = prepare(with_single_steps(config))
    start_seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        plan, model = prepared.plan, prepared.model
        config = replace(prepared.config, run=RunConfig(dir=str(Path(folder) / "run")))
        run = run_dir.create(config)
        trainer = Trainer(config, run, plan, prepared.splits, model)
        times = [_time(trainer, stage) for stage in plan.stages]
        run.close()
    return Estimate(
        params=freezing.count_params(model.vit),
        memory_mb=peak_memory.in_mb(),
        start_seconds=start_seconds + sum(one.compilation for one in times),
        epoch_seconds=tuple(one.epoch(plan.steps_per_epoch) for one in times),
        epochs=tuple(stage.epochs for stage in plan.stages),
        images_per_second=config.train.batch_size / times[-1].step,
    )


@dataclass(frozen=True)
class _StageTimes:
    """Seconds that a stage takes once, for a step, and in each epoch."""

    compilation: float
    step: float
    validation: float
    end_of_epoch: float  # files and curves

    def epoch(self, steps: int) -> float:
        return self.step * steps + self.validation + self.end_of_epoch


class _Timer(keras.callbacks.Callback):
    """Notes when each batch and the whole ends, and how long each validation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.batch_ends: dict[int, list[float]] = defaultdict(list)  # epoch -> times
        self.validations: list[float] = []  # seconds
        self.end = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.batch_ends[self.epoch].append(time.perf_counter())

    def on_test_begin(self, logs=None):
        self.validation_start = time.perf_counter()

    def on_test_end(self, logs=None):
        self.validations.append(time.perf_counter() - self.validation_start)

    def on_train_end(self, logs=None):
        self.end = time.perf_counter()


def _time(trainer: Trainer, stage: Stage) -> _StageTimes:
    """Train `stage` for two epochs of a few batches."""
    started, timer, plan, splits = time.perf_counter(), _Timer(), trainer.plan, trainer.splits
    size, prefetch = plan.config.train.batch_size, plan.config.data.prefetch
    trainer.model.configure_stage(stage, plan, first_step=0)
    trainer.model.use_images()
    trainer.history.stage = stage.name
    trainer.history.rows.clear()
    images = len(splits.validation.labels)
    timed = splits.validation.take(np.arange(min(images, size * BATCHES)))
    trainer.model.fit(
        training_batches(
            splits.train,
            size,
            plan.config.train.seed,
            first_epoch=0,
            prefetch=prefetch,
            steps=plan.steps_per_epoch,
            repeats=trainer.model.augment_config.repeated_augmentation,
            alternating_flip=trainer.model.alternates_flips,
            wait=trainer.history.data_wait,
        ),
        steps_per_epoch=BATCHES,  # however many an epoch has: the batches have no end
        epochs=2,
        validation_data=evaluation_batches(timed, size, prefetch),
        callbacks=[timer, *trainer.callbacks(stage)],
        shuffle=False,
        verbose=0,
    )
    ends = timer.batch_ends[1]
    first_validation, validation = timer.validations
    step = float(np.median(np.diff(ends)))
    compilation = timer.batch_ends[0][0] - started - step + first_validation - validation
    return _StageTimes(
        compilation=max(0.0, compilation),
        step=step,
        validation=validation * images / len(timed.labels),
        end_of_epoch=timer.end - ends[-1] - validation,
    )
