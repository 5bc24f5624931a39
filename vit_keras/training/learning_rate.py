"""Learning-rate schedules: linear warm-up, then a cosine or linear decay, or none."""

from typing import Any

import keras
from keras import ops

from vit_keras.config.schema import OptimConfig

serializable = keras.saving.register_keras_serializable("vit_keras")


def learning_rate_schedule(
    config: OptimConfig, epochs: int, steps_per_epoch: int, first_step: int = 0
) -> Any:
    """Linear warm-up from 0, then what `optim.schedule` names.

    `cosine`: down to `final_lr_fraction` of the peak (Loshchilov & Hutter 2017, SGDR, eq. 5 with
    one cycle). `linear`: the same, in a line. `wsd`: at the peak, and in a line through the last
    `decay_ratio` of the steps (Hu et al. 2024, https://arxiv.org/abs/2404.06395, with the line of
    Hägele et al. 2024, https://arxiv.org/abs/2405.18392). `constant`: at the peak.

    Under gradient accumulation it counts updates of the weights, so that batches of 64 and 4
    accumulated ones of 16 are the same.

    Args:
        config: peak, warm-up, decay, final fraction and gradient accumulation.
        epochs: of the stage.
        steps_per_epoch: steps of one batch each.
        first_step: the step of the run at which the stage begins.
    """
    every = config.gradient_accumulation_steps if config.step_unit == "update" else 1
    first, end = first_step // every, (first_step + epochs * steps_per_epoch) // every
    schedule = SCHEDULES[config.schedule](config, max(end - first, 1))
    return OffsetSchedule(first, schedule, every) if first or every > 1 else schedule


@serializable
class OffsetSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of steps of `batches_per_step` batches each, which begins at step `first_step`.

    Keras counts batches, also those that are accumulated.
    """

    def __init__(self, first_step: int, schedule: Any, batches_per_step: int = 1) -> None:
        self.first_step, self.schedule = first_step, schedule
        self.batches_per_step = batches_per_step

    def __call__(self, step):
        step = ops.floor_divide(step, self.batches_per_step)
        # In float16 a batch whose update is skipped is not counted: the count may lag behind.
        return self.schedule(ops.maximum(step - self.first_step, 0))

    def get_config(self):
        return {
            "first_step": self.first_step,
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "batches_per_step": self.batches_per_step,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(**{**config, "schedule": schedule})


@serializable
class PiecewiseLinear(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 to `peak`, constant, and down to `final`, all in straight lines.

    Args:
        peak, final: learning rates.
        warmup_steps: steps until the peak.
        decay_steps: steps of the decline, which ends at `steps`.
        steps: the step from which on the rate is `final`.
    """

    def __init__(
        self, peak: float, final: float, warmup_steps: int, decay_steps: int, steps: int
    ) -> None:
        self.peak, self.final, self.steps = peak, final, steps
        self.warmup_steps, self.decay_steps = warmup_steps, decay_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        risen = ops.minimum(step / self.warmup_steps, 1) if self.warmup_steps else 1
        fallen = (step - (self.steps - self.decay_steps)) / max(self.decay_steps, 1)
        fallen = ops.clip(fallen, 0, 1) if self.decay_steps else 0
        return risen * (self.peak + fallen * (self.final - self.peak))

    def get_config(self):
        return {
            "peak": self.peak,
            "final": self.final,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "steps": self.steps,
        }


def _cosine(config: OptimConfig, steps: int) -> Any:
    warmup = _warmup_steps(config, steps)
    decay = dict(decay_steps=steps - warmup, alpha=config.final_lr_fraction)
    cosine = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return cosine(config.learning_rate, **decay)
    return cosine(0.0, warmup_target=config.learning_rate, warmup_steps=warmup, **decay)


def _linear(config: OptimConfig, steps: int) -> PiecewiseLinear:
    return _piecewise_linear(config, steps, steps)


def _wsd(config: OptimConfig, steps: int) -> PiecewiseLinear:
    return _piecewise_linear(config, steps, max(round(config.decay_ratio * steps), 1))


def _constant(config: OptimConfig, steps: int) -> PiecewiseLinear:
    return _piecewise_linear(config, steps, 0)


def _piecewise_linear(config: OptimConfig, steps: int, decay_steps: int) -> PiecewiseLinear:
    warmup, peak = _warmup_steps(config, steps), config.learning_rate
    return PiecewiseLinear(
        peak=peak,
        final=peak * config.final_lr_fraction,
        warmup_steps=warmup,
        decay_steps=min(decay_steps, steps - warmup),
        steps=steps,
    )


def _warmup_steps(config: OptimConfig, steps: int) -> int:
    return min(round(config.warmup_ratio * steps), steps - 1)


SCHEDULES = {"cosine": _cosine, "linear": _linear, "wsd": _wsd, "constant": _constant}
