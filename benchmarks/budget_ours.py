"""Ours, for `time_to_accuracy.py`: a recipe, its number of steps fitted to the budget."""

import math
import statistics
import tempfile
import time
from pathlib import Path

from budget import Contender, result

TRIAL_CALLS = 8  # of the compiled step in each stage, to time it


def ours(task):
    """Train `task.recipe` as `vit-keras train` does, and evaluate its final weights.

    A trial of each stage tells how many steps fit into the budget; the stages keep their shares of
    it, and each learning-rate schedule is completed. Not counted are the validation and the files
    that end an epoch: the final weights, those of `last.keras`, do not depend on them.
    """
    from vit_keras.config import stages
    from vit_keras.training.preflight import load_config
    from vit_keras.training.train import prepare

    words = [f"recipe={task.recipe}", *task.overrides]
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(*words)
        prepare(config, may_measure=True)  # what `auto` is: the trial and the run recall it
        epochs = {stage.name: stage.epochs for stage in stages.plan(config)}
        per_call = config.train.steps_per_execution
        trial = _words(config, dict.fromkeys(epochs, 1), TRIAL_CALLS * per_call)
        clocks, prepared = _train(load_config(*words, *trial, f"run.dir={folder}/trial"))
        seconds = {name: clock.step_seconds for name, clock in clocks.items()}
        print("  step:", *(f"{name} {step:.3f} s" for name, step in seconds.items()), flush=True)
        full = len(prepared.splits.train.labels) // prepared.plan.config.train.batch_size
        epochs, steps = fitted(epochs, full, seconds, task.seconds)
        final = _words(config, epochs, max(2, round(steps / per_call)) * per_call)
        clocks, prepared = _train(load_config(*words, *final, f"run.dir={folder}/run"))
        return _row(task, clocks.values(), prepared, Path(folder, "run/last.keras"))


def fitted(epochs, full, step_seconds, budget):
    """Epochs of each stage, and steps of an epoch, unrounded, that together take `budget` seconds.

    Args:
        epochs: stage -> its epochs in the recipe.
        full: steps in an epoch of all images.
        step_seconds: stage -> seconds of a step.
        budget: seconds.
    """
    whole = sum(count * full * step_seconds[name] for name, count in epochs.items())
    factor = budget / whole
    if len(epochs) == 1:
        ((name, count),) = epochs.items()
        scaled = {name: math.ceil(count * factor)}  # whole epochs, but for a rest
    else:
        # An epoch has as many steps as the images fill, or fewer, in every stage.
        scaled = {name: count * math.ceil(factor) for name, count in epochs.items()}
    steps = full * factor * sum(epochs.values()) / sum(scaled.values())
    return scaled, steps


def _words(config, epochs, steps):
    """Settings of the epochs of each stage and of the steps of an epoch."""
    limit = f"train.limit_train_batches={steps}"
    if not config.stages:
        return [limit, f"train.epochs={sum(epochs.values())}"]
    return [limit, *(f"stages.{name}.epochs={count}" for name, count in epochs.items())]


def _train(config):
    """Train a run; a clock for each stage, and what was prepared for it."""
    from vit_keras.runs import run_dir
    from vit_keras.training.train import prepare
    from vit_keras.training.trainer import Trainer

    clocks = {}

    class TimedTrainer(Trainer):
        def callbacks(self, stage):
            clocks[stage.name] = _clock()
            return [*super().callbacks(stage), clocks[stage.name]]

    prepared = prepare(config)
    run = run_dir.create(prepared.config)
    trainer = TimedTrainer(prepared.config, run, prepared.plan, prepared.splits, prepared.model)
    for stage in prepared.plan.stages:
        trainer.fit_stage(stage)
    run.close()
    return clocks, prepared


def _clock():
    import keras

    class Clock(keras.callbacks.Callback):
        """Times the steps of a stage, but for the first, which compiles.

        Attributes:
            steps: (seconds, number of steps) of each call of the compiled step.
            uncounted: steps that were not timed.
        """

        def __init__(self):
            super().__init__()
            self.steps, self.uncounted, self.is_compiled = [], 0, False

        def on_epoch_begin(self, epoch, logs=None):
            self.mark, self.done = time.perf_counter(), 0

        def on_train_batch_end(self, batch, logs=None):
            now, steps = time.perf_counter(), batch + 1 - self.done
            if self.is_compiled:
                self.steps.append((now - self.mark, steps))
            else:
                self.uncounted += steps
            self.mark, self.done, self.is_compiled = now, batch + 1, True

        @property
        def step_seconds(self):
            return statistics.median(seconds / steps for seconds, steps in self.steps)

    return Clock()


def _row(task, clocks, prepared, file):
    import keras

    from vit_keras.training.step_time import Pair

    model = keras.saving.load_model(file, compile=False)
    config = prepared.plan.config
    timed = [step for clock in clocks for step in clock.steps]
    uncounted = sum(clock.uncounted for clock in clocks)
    way = Pair(config.train.precision, config.train.jit_compile)
    row = result(
        Contender(step=None, predict=model.predict_on_batch, params=model.count_params()),
        task,
        seconds=sum(seconds for seconds, _ in timed),
        images=sum(steps for _, steps in timed) * config.train.batch_size,
        uncounted=uncounted * config.train.batch_size,
        train_images=len(prepared.splits.train.labels),
    )
    return {"way": f"{task.recipe}, {way}", **row}
