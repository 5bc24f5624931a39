"""Learning-rate schedule: linear warm-up and cosine decay."""

from typing import Any

import keras
from keras import ops

from vit_keras.config.schema import OptimConfig


def learning_rate_schedule(
    config: OptimConfig, epochs: int, steps_per_epoch: int, first_step: int = 0
) -> Any:
    """Linear warm-up from 0, then a cosine down to `final_lr_fraction` of the peak.

    Loshchilov & Hutter 2017 (SGDR), eq. 5 with one cycle. Under gradient accumulation it counts
    updates of the weights, so that batches of 64 and 4 accumulated ones of 16 are the same.

    Args:
        config: peak, warm-up, final fraction and gradient accumulation.
        epochs: of the stage.
        steps_per_epoch: steps of one batch each.
        first_step: the step of the run at which the stage begins.
    """
    every = config.gradient_accumulation_steps if config.step_unit == "update" else 1
    first, end = first_step // every, (first_step + epochs * steps_per_epoch) // every
    schedule = _warmup_cosine(config, max(end - first, 1))
    return OffsetSchedule(first, schedule, every) if first or every > 1 else schedule


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
            "schedule": self.schedule,
            "batches_per_step": self.batches_per_step,
        }


def _warmup_cosine(config: OptimConfig, steps: int) -> Any:
    warmup = min(round(config.warmup_ratio * steps), steps - 1)
    decay = dict(decay_steps=steps - warmup, alpha=config.final_lr_fraction)
    cosine = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return cosine(config.learning_rate, **decay)
    return cosine(0.0, warmup_target=config.learning_rate, warmup_steps=warmup, **decay)
