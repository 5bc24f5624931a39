"""Ours, for `time_to_accuracy.py`: a recipe, its number of steps fitted to the budget."""

import math
import statistics
import tempfile
import time
from pathlib import Path

from budget import Contender, result


def speed(task):
    """What `auto` is for `task.recipe`, and the seconds of a step in each stage.

    Not counted are the validation and the files that end an epoch: the final weights, those of
    `last.keras`, do not depend on them.
    """
    from vit_keras.training.preflight import load_config
    from vit_keras.training.step_time import Pair
    from vit_keras.training.train import prepare

    config = load_config(*_recipe(task))
    chosen = prepare(config, may_measure=True).plan.config.train
    pair = Pair(chosen.precision, chosen.jit_compile)
    settings = [f"train.precision={pair.policy}", f"train.jit_compile={pair.xla}".lower()]
    calls = 1 + task.trial_steps
    trial = _words(config, dict.fromkeys(_epochs(config), 1), calls * _per_call(config))
    with tempfile.TemporaryDirectory() as folder:
        clocks, _ = _train(load_config(*_recipe(task), *settings, *trial, f"run.dir={folder}/run"))
    seconds = {name: clock.step_seconds for name, clock in clocks.items()}
    print("  step:", *(f"{name} {step:.3f} s" for name, step in seconds.items()), flush=True)
    return {"way": f"{task.recipe}, {pair}", "settings": settings, "step_seconds": seconds}


def train(task, settings, step_seconds):
    """Train `task.recipe` for the steps that fit into the seconds of `task`; a row of the table.

    The stages keep their shares of it, and each learning-rate schedule is completed.
    """
    from vit_keras.training.preflight import load_config
    from vit_keras.training.train import prepare

    words = [*_recipe(task), *settings]
    prepared = prepare(load_config(*words))
    config = prepared.plan.config
    full = len(prepared.splits.train.labels) // config.train.batch_size
    epochs, steps = fitted(_epochs(config), full, step_seconds, task.seconds)
    per_call = _per_call(config)
    final = _words(config, epochs, max(2, round(steps / per_call)) * per_call)
    with tempfile.TemporaryDirectory() as folder:
        clocks, prepared = _train(load_config(*words, *final, f"run.dir={folder}/run"))
        return _row(task, clocks, prepared, step_seconds, Path(folder, "run/last.keras"))


def _recipe(task):
    return [f"recipe={task.recipe}", *task.overrides]


def _epochs(config):
    from vit_keras.config import stages

    return {stage.name: stage.epochs for stage in stages.plan(config)}


def _per_call(config):
    return config.train.steps_per_execution


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


def _row(task, clocks, prepared, step_seconds, file):
    import keras

    model = keras.saving.load_model(file, compile=False)
    batch_size = prepared.plan.config.train.batch_size
    counts = {name: sum(n for _, n in clock.steps) for name, clock in clocks.items()}
    uncounted = sum(clock.uncounted for clock in clocks.values())
    quiet = sum(count * step_seconds[name] for name, count in counts.items())
    return result(
        Contender(step=None, predict=model.predict_on_batch, params=model.count_params()),
        task,
        images=(sum(counts.values()) + uncounted) * batch_size,
        images_per_second=sum(counts.values()) * batch_size / quiet,
        took=sum(seconds for clock in clocks.values() for seconds, _ in clock.steps),
        train_images=len(prepared.splits.train.labels),
    )
