"""What a training will take, by a few real steps of it: parameters, memory and time."""

import time
from dataclasses import dataclass

import keras
import numpy as np

from vit_keras import backend
from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.data import dataset, input_pipeline
from vit_keras.data.splits import load_splits
from vit_keras.logs import console
from vit_keras.text import format_duration
from vit_keras.training import freezing, overfit_check, preflight
from vit_keras.training.build_model import build_training_model
from vit_keras.training.training_model import TrainingModel

STEPS = 4  # that are timed, of each stage and each of training and validation


@dataclass(frozen=True)
class Estimate:
    """What was measured.

    Attributes:
        params: of the model.
        memory_mb: the most that the process held so far, in MB of 10^6 bytes: `host`, and `gpu`.
        start_seconds: to read the data, build the model and compile it.
        epoch_seconds: of each stage, validation included.
        epochs: of each stage.
        images_per_second: of training, in the last stage.
    """

    params: int
    memory_mb: dict[str, float]
    start_seconds: float
    epoch_seconds: tuple[float, ...]
    epochs: tuple[int, ...]
    images_per_second: float

    @property
    def seconds(self) -> float:
        pairs = zip(self.epoch_seconds, self.epochs, strict=True)
        return self.start_seconds + sum(epoch * count for epoch, count in pairs)

    def lines(self) -> list[str]:
        """As it is printed, `<what>: <how much>` each."""
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
    """Train `config` for a few steps of each stage, and make no run of it.

    A stage that trains on features which are computed once is taken for one that computes them each
    time: it will be faster than this.

    Raises:
        SettingError: the configuration or its data cannot work.
    """
    began = time.perf_counter()
    preflight.check(config)
    with console():
        keras.utils.set_random_seed(config.train.seed)
        splits = load_splits(config.data, config.train.seed)
        steps = preflight.steps_per_epoch(config, len(splits.train.labels))
        splits = overfit_check.select_overfit_batches(splits, config)
        policy = backend.precision(config.train.precision).policy
        model, _ = build_training_model(
            overfit_check.disable_regularisation(config), splits, policy
        )
        start, seconds, speed = time.perf_counter() - began, [], 0.0
        for stage in stages.plan(config):
            compiling, step, validating = _timed(config, model, splits, stage, steps)
            start += compiling
            seconds.append(step * steps + validating)
            speed = config.train.batch_size / step
    return Estimate(
        params=freezing.count_params(model.vit),
        memory_mb=backend.peak_memory_mb(),
        start_seconds=start,
        epoch_seconds=tuple(seconds),
        epochs=tuple(stage.epochs for stage in stages.plan(config)),
        images_per_second=speed,
    )


class _Clock(keras.callbacks.Callback):
    """When each batch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())

    on_test_batch_end = on_train_batch_end

    def pace(self) -> float:
        """Seconds a batch: the median, without the first, which compiles."""
        return float(np.median(np.diff(self.ends))) if len(self.ends) > 1 else 0.0


def _timed(
    config: Config, model: TrainingModel, splits: dataset.Splits, stage: Stage, steps: int
) -> tuple[float, float, float]:
    """Seconds to compile a stage, of one of its steps, and of a validation."""
    began, size, prefetch = time.perf_counter(), config.train.batch_size, config.data.prefetch
    firsts = {earlier.name: 0 for earlier in stages.plan(config)}
    model.configure_stage(stage, overfit_check.disable_regularisation(config), steps, firsts)
    model.on_images()
    training, validation = _Clock(), _Clock()
    stream = input_pipeline.training_batches(
        splits.train, size, config.train.seed, 0, prefetch, steps=steps,
        repeats=model.augment_config.repeated_augmentation,
    )  # fmt: skip
    model.fit(
        stream, steps_per_epoch=min(steps, STEPS + 1), epochs=1, callbacks=[training],
        shuffle=False, verbose=0,
    )  # fmt: skip
    few = splits.validation.take(np.arange(min(len(splits.validation.labels), size * (STEPS + 1))))
    model.evaluate(
        input_pipeline.evaluation_batches(few, size, prefetch), callbacks=[validation], verbose=0
    )
    step = training.pace() or training.ends[0] - began
    whole = -(-len(splits.validation.labels) // size)
    return training.ends[0] - began, step, validation.pace() * whole
