"""Time the compiled training step of a run in one precision, with more or less of XLA."""

import gc
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from vit_keras.config.stages import Stage
from vit_keras.data.dataset import Splits
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import TrainingPlan

MIN_STEPS, MAX_STEPS = 4, 50
SECONDS = 1.0  # of timed steps, at least


class Pair(NamedTuple):
    """A Keras dtype policy, and what XLA compiles: a value of `train.jit_compile`."""

    policy: str
    xla: Any

    def __str__(self) -> str:
        return f"{self.policy} {self.xla_text}"

    @property
    def xla_text(self) -> str:
        return {True: "with XLA", False: "without XLA"}.get(self.xla, f"with XLA for {self.xla}")


def images_per_second(plan: TrainingPlan, splits: Splits, stage: Stage, pair: Pair) -> float:
    """Training speed of a stage, augmentation included and reading excluded.

    The model is one of its own, and dropped: the weights of the one that is to be trained are not
    touched. The fastest step counts: others may have waited for another process.
    """
    settings = replace(plan.config.train, precision=pair.policy, jit_compile=pair.xla)
    config = replace(plan.config, train=settings)
    size = settings.batch_size
    index = np.arange(size) % len(splits.train.labels)
    batch: tuple[np.ndarray, ...] = (splits.train.images[index], splits.train.labels[index])
    model, _ = build_training_model(config, splits, pair.policy)
    try:
        model.configure_stage(stage, replace(plan, config=config), first_step=0)
        model.use_images()
        if model.alternates_flips:
            batch = (*batch, np.zeros(size, bool))
        model.train_on_batch(batch)  # compiles
        steps: list[float] = []
        while len(steps) < MIN_STEPS or (sum(steps) < SECONDS and len(steps) < MAX_STEPS):
            started = time.perf_counter()
            model.train_on_batch(batch)
            steps.append(time.perf_counter() - started)
        return size / min(steps)
    finally:
        del model
        gc.collect()  # the compiled steps and the optimizer's state, before the next are made
