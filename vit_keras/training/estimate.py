"""Estimate parameters, memory and time of a training from a few of its steps."""

import time
from dataclasses import dataclass

import keras
import numpy as np

from vit_keras import backend
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.data.dataset import Splits
from vit_keras.data.input_pipeline import evaluation_batches, training_batches
from vit_keras.logs import console
from vit_keras.text import format_duration
from vit_keras.training import freezing, preflight
from vit_keras.training.plan import TrainingPlan
from vit_keras.training.train import prepare
from vit_keras.training.training_model import TrainingModel

STEPS = 4  # timed per stage, in training and in validation; one more, which compiles, is not


@dataclass(frozen=True)
class Estimate:
    """Expected size, memory and time of a training.

    Attributes:
        params: parameters of the model.
        memory_mb: peak memory of the process, in MB of 10^6 bytes: `host`, and `gpu`.
        start_seconds: to load the data, build the model and compile each stage.
        epoch_seconds: of an epoch of each stage, validation included.
        epochs: of each stage.
        images_per_second: training speed of the last stage.
    """

    params: int
    memory_mb: dict[str, float]
    start_seconds: float
    epoch_seconds: tuple[float, ...]
    epochs: tuple[int, ...]
    images_per_second: float

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        pairs = zip(self.epoch_seconds, self.epochs, strict=True)
        return self.start_seconds + sum(epoch * count for epoch, count in pairs)

    def lines(self) -> list[str]:
        """Printable lines, `<quantity>: <value>` each."""
        memory = ", ".join(f"{mb:,.0f} MB ({where})" for where, mb in self.memory_mb.items())
        pairs = zip(self.epochs, self.epoch_seconds, strict=True)
        epochs = " + ".join(f"{count} epochs of {seconds:.1f} s" for count, seconds in pairs)
        return [
            f"parameters: {self.params:,}",
            f"memory: {memory}",
            f"time: {format_duration(self.seconds)} = {self.start_seconds:.0f} s to start + "
            f"{epochs}",
            f"speed: {self.images_per_second:,.0f} images/s",
        ]


def estimate(config: Config) -> Estimate:
    """Train `config` for a few steps of each stage, without a run directory.

    A stage that would be trained on cached features is timed without the cache: it will be faster.

    Raises:
        SettingError: the configuration or its data cannot work.
    """
    started = time.perf_counter()
    preflight.check(config)
    with console():
        splits, plan, _, model, _ = prepare(config)
        start_seconds = time.perf_counter() - started
        epoch_seconds, step_seconds = [], 0.0
        for stage in plan.stages:
            compile_seconds, step_seconds, validation_seconds = _time(model, splits, plan, stage)
            start_seconds += compile_seconds
            epoch_seconds.append(step_seconds * plan.steps_per_epoch + validation_seconds)
    return Estimate(
        params=freezing.count_params(model.vit),
        memory_mb=backend.peak_memory_mb(),
        start_seconds=start_seconds,
        epoch_seconds=tuple(epoch_seconds),
        epochs=tuple(stage.epochs for stage in plan.stages),
        images_per_second=config.train.batch_size / step_seconds,
    )


class _BatchTimer(keras.callbacks.Callback):
    """Notes when each batch ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())

    on_test_batch_end = on_train_batch_end

    def seconds_per_batch(self) -> float:
        """The median, without the first batch, which compiles; 0 if there was no other."""
        return float(np.median(np.diff(self.ends))) if len(self.ends) > 1 else 0.0


def _time(
    model: TrainingModel, splits: Splits, plan: TrainingPlan, stage: Stage
) -> tuple[float, float, float]:
    """Seconds to compile `stage`, of one of its steps, and of a validation."""
    started, train_timer, validation_timer = time.perf_counter(), _BatchTimer(), _BatchTimer()
    size, prefetch = plan.config.train.batch_size, plan.config.data.prefetch
    model.configure_stage(stage, plan, first_step=0)
    model.use_images()
    training = training_batches(
        splits.train,
        size,
        plan.config.train.seed,
        first_epoch=0,
        prefetch=prefetch,
        steps=plan.steps_per_epoch,
        repeats=model.augment_config.repeated_augmentation,
    )
    steps = min(plan.steps_per_epoch, STEPS + 1)
    model.fit(training, steps_per_epoch=steps, callbacks=[train_timer], shuffle=False, verbose=0)
    images = len(splits.validation.labels)
    timed = splits.validation.take(np.arange(min(images, size * (STEPS + 1))))
    validation = evaluation_batches(timed, size, prefetch)
    model.evaluate(validation, callbacks=[validation_timer], verbose=0)
    compile_seconds = train_timer.ends[0] - started
    batches = -(-images // size)
    return (
        compile_seconds,
        train_timer.seconds_per_batch() or compile_seconds,
        validation_timer.seconds_per_batch() * batches,
    )
