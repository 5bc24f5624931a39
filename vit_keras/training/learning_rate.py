"""Learning-rate schedule: linear warm-up and cosine decay."""

from typing import Any

import keras
from keras import ops

from vit_keras.config.schema import OptimConfig


def learning_rate_schedule(
    config: OptimConfig, epochs: int, steps_per_epoch: int, first_step: int = 0
) -> Any:
    """Linear warm-up from 0, then a cosine down to `final_lr_fraction` of the peak.

    Loshchilov & Hutter 2017 (SGDR), eq. 5 with one cycle.

    Args:
        config: peak, warm-up and final fraction.
        epochs: of the stage.
        steps_per_epoch: steps of one batch each.
        first_step: the step of the run at which the stage begins.
    """
    schedule = _warmup_cosine(config, epochs * steps_per_epoch)
    return OffsetSchedule(first_step, schedule) if first_step else schedule


class OffsetSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins at step `first_step` of the optimizer's count."""

    def __init__(self, first_step: int, schedule: Any) -> None:
        self.first_step, self.schedule = first_step, schedule

    def __call__(self, step):
        # In float16 a batch whose update is skipped is not counted: the count may lag behind.
        return self.schedule(ops.maximum(step - self.first_step, 0))

    def get_config(self):
        return {"first_step": self.first_step, "schedule": self.schedule}


def _warmup_cosine(config: OptimConfig, steps: int) -> Any:
    warmup = min(round(config.warmup_ratio * steps), steps - 1)
    decay = dict(decay_steps=steps - warmup, alpha=config.final_lr_fraction)
    cosine = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return cosine(config.learning_rate, **decay)
    return cosine(0.0, warmup_target=config.learning_rate, warmup_steps=warmup, **decay)
