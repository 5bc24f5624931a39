"""Learning-rate range test: the loss of training steps while the learning rate rises.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks" (https://arxiv.org/abs/1506.01186),
section 3.3. The rate rises exponentially with each update, as in fastai and Lightning.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import plotting
from vit_keras.config.schema import Config
from vit_keras.data.input_pipeline import training_batches
from vit_keras.errors import DivergedError
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.training import out_of_memory, preflight
from vit_keras.training.callbacks.stopping import StopOnInterrupt
from vit_keras.training.learning_rate import OffsetSchedule, serializable
from vit_keras.training.plan import with_single_steps
from vit_keras.training.range_test import CSV, PNG, check_range
from vit_keras.training.train import Prepared, prepare

DIVERGED = 4.0  # times the lowest running loss, at which fastai and Lightning stop as well
MEMORY = 0.9  # momentum of that running loss
BLUR = 0.03  # of the sweep: standard deviation of the Gaussian that smooths the curve
DIGITS = 2  # of a suggested rate


@dataclass(frozen=True)
class RangeTest:
    """The curve of a range test, (n,) each, and what follows from it.

    Attributes:
        setting: what the rate is to be written to, such as `optim.learning_rate`.
        rates: of each update, rising.
        losses: of the batch before that update.
        has_diverged: whether the sweep ended before its highest rate.
    """

    setting: str
    rates: np.ndarray
    losses: np.ndarray
    has_diverged: bool

    @property
    def smoothed(self) -> np.ndarray:
        """The losses averaged over neighbouring rates, to both sides, so that no dip is shifted."""
        return smooth(self.losses, BLUR * len(self.losses))

    @property
    def minimum(self) -> float:
        """The rate at which the smoothed loss is lowest: the highest that may still train."""
        return float(self.rates[np.argmin(self.smoothed)])

    @property
    def steepest(self) -> float | None:
        """The rate below `minimum` at which the smoothed loss falls most; None if it never does."""
        end = int(np.argmin(self.smoothed)) + 1
        if end < 3:
            return None
        slopes = np.gradient(self.smoothed[:end], np.log(self.rates[:end]))
        return float(self.rates[np.argmin(slopes)])

    def lines(self) -> list[str]:
        """What is to be printed."""
        if self.steepest is None:
            return [
                f"no suggestion: the loss does not fall between the learning rates "
                f"{self.rates[0]:.2g} and {self.rates[-1]:.2g}; try a lower --lowest, or more "
                "--steps"
            ]
        lines = [
            f"{self.setting}={self.steepest:.{DIGITS}g}: suggested, where the loss falls most",
            f"{self.setting}={self.minimum / 10:.{DIGITS}g}: a tenth of the rate of the lowest "
            f"loss ({self.minimum:.{DIGITS}g})",
        ]
        if not self.has_diverged:
            lines.append(f"the loss did not diverge up to {self.rates[-1]:.2g}; see the plot")
        return lines

    def save(self, folder: Path) -> None:
        """Write the curve to `folder` as CSV and PNG, in place of an earlier test."""
        with atomic.atomic_folder(folder, CSV) as new:
            with (new / CSV).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["learning_rate", "loss", "smoothed_loss"])
                rows = zip(self.rates, self.losses, self.smoothed, strict=True)
                writer.writerows([f"{value:.6g}" for value in row] for row in rows)
            plotting.save_figure(self._figure(), new / PNG)

    def _figure(self) -> Any:
        figure = plotting.figure(7, 4)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, alpha=0.4, label="loss of the batch")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        if self.steepest is not None:
            label = f"suggested: {self.steepest:.{DIGITS}g}"
            axes.axvline(self.steepest, color="C2", label=label)
            tenth = f"a tenth of the minimum: {self.minimum / 10:.{DIGITS}g}"
            axes.axvline(self.minimum / 10, color="C3", linestyle="--", label=tenth)
        # The losses of a diverging end would flatten the rest.
        low, high = self.smoothed.min(), self.smoothed[0]
        margin = 0.5 * max(high - low, 0.1 * high)
        axes.set(xscale="log", xlabel=self.setting, ylabel="loss")
        axes.set_ylim(low - margin, high + margin)
        axes.grid(alpha=0.3)
        axes.legend()
        return figure


def smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """(n,) -> (n,): averages by a Gaussian of that standard deviation, in positions."""
    positions = np.arange(len(values))
    distances = (positions[:, None] - positions) / max(deviation, 1.0)
    weights = np.exp(-0.5 * distances**2)
    return weights @ values / weights.sum(axis=1)


def find_learning_rate(config: Config, lowest: float, highest: float, steps: int) -> RangeTest:
    """Train from the initial weights while the learning rate rises, without a run directory.

    The step is that of the training: its batches, augmentation, optimizer, precision and, of
    several stages, the first one. Warm-up and decay are replaced by the sweep.

    Args:
        config: of the training.
        lowest: learning rate of the first update.
        highest: that of the last one, unless the loss diverges before.
        steps: number of updates.

    Raises:
        SettingError: the rates, the configuration or its data cannot work.
        ResourceError: there is not enough memory.
        DivergedError: the loss of the initial weights is not finite.
    """
    check_range(lowest, highest, steps)
    preflight.check(config)
    with out_of_memory.in_one_line(config):
        return _sweep(prepare(with_single_steps(config)), Sweep(lowest, highest, steps))


@serializable
class Sweep(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rates from `lowest` to `highest`, which rise by the same factor with each step."""

    def __init__(self, lowest: float, highest: float, steps: int) -> None:
        self.lowest, self.highest, self.steps = lowest, highest, steps

    def __call__(self, step):
        growth = math.log(self.highest / self.lowest) / (self.steps - 1)
        return self.lowest * ops.exp(growth * ops.cast(step, "float32"))

    def get_config(self):
        return {"lowest": self.lowest, "highest": self.highest, "steps": self.steps}


class _Losses(keras.callbacks.Callback):
    """Notes the loss of each batch, and ends the sweep when it diverges."""

    def __init__(self, sweep: Sweep, batches_per_step: int) -> None:
        super().__init__()
        self.sweep, self.every = sweep, batches_per_step
        self.losses: list[float] = []
        self.sum = self.running = 0.0
        self.lowest = math.inf
        self.has_diverged = False

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean of the batches so far.
        total = float(logs["loss"]) * (batch + 1)
        loss, self.sum = total - self.sum, total
        if not math.isfinite(loss):
            self._stop()
            return
        self.losses.append(loss)
        count = len(self.losses)
        self.running = MEMORY * self.running + (1 - MEMORY) * loss
        average = self.running / (1 - MEMORY**count)  # as in Adam: the first ones count in full
        self.lowest = min(self.lowest, average)
        if average > DIVERGED * self.lowest:
            self._stop()
        elif count % (self.every * max(1, self.sweep.steps // 10)) == 0:
            step, all_steps = count // self.every, self.sweep.steps
            rate = float(self.sweep(step - 1))
            log.info("step %d of %d: rate %.2g, loss %.4f", step, all_steps, rate, average)

    def _stop(self):
        self.has_diverged = self.model.stop_training = True


def _sweep(prepared: Prepared, sweep: Sweep) -> RangeTest:
    plan, model, config = prepared.plan, prepared.model, prepared.plan.config
    stage, every = plan.stages[0], config.optim.gradient_accumulation_steps
    setting = f"stages.{stage.name}.learning_rate" if config.stages else "optim.learning_rate"
    model.configure_stage(stage, plan, first_step=0)
    model.use_images()
    scaled = Sweep(sweep.lowest * plan.rate_factor, sweep.highest * plan.rate_factor, sweep.steps)
    model.optimizer.learning_rate = OffsetSchedule(0, scaled, every)  # `sweep` is of the setting
    losses, interrupt = _Losses(sweep, every), StopOnInterrupt()
    with interrupt.listening():
        model.fit(
            training_batches(
                prepared.splits.train,
                config.train.batch_size,
                config.train.seed,
                first_epoch=0,
                prefetch=config.data.prefetch,
                steps=plan.steps_per_epoch,
                repeats=model.augment_config.repeated_augmentation,
                alternating_flip=model.alternates_flips,
                sampling=config.data.sampling,
            ),
            steps_per_epoch=sweep.steps * every,  # however many an epoch has
            callbacks=[losses, interrupt],
            shuffle=False,
            verbose=0,
        )
    updates = len(losses.losses) // every
    if not updates:
        raise DivergedError(
            f"the loss is not finite at the first step, whatever {setting} is; look at the images, "
            f"or set train.precision=float32 (it is {prepared.precision.policy})"
        )
    means = np.reshape(losses.losses[: updates * every], (updates, every)).mean(axis=1)
    rates = np.geomspace(sweep.lowest, sweep.highest, sweep.steps)[:updates]
    return RangeTest(setting, rates, means, losses.has_diverged)
