"""Callbacks that save: the checkpoint to resume from, and after each epoch the models."""

import random
from typing import Any

import keras

from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import ABSTENTION, TEMPERATURE
from vit_keras.runs.thresholds import THRESHOLDS
from vit_keras.training import checkpoint, freezing
from vit_keras.training.callbacks.history import HistoryLogger


class TrainingCheckpoint(keras.callbacks.Callback):
    """Saves everything that an exact resume needs, after every epoch, and within one on demand.

    Args:
        run: the run directory.
        history: of the run.
        steps: of an epoch.
        interrupted: a checkpoint within the epoch that goes on: its metrics are restored, which
            Keras resets when the epoch begins.
    """

    def __init__(
        self,
        run: Run,
        history: HistoryLogger,
        steps: int,
        interrupted: checkpoint.Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.run, self.history, self.steps, self.interrupted = run, history, steps, interrupted
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.interrupted is not None:
            checkpoint.restore_metrics(self.interrupted, self.model)
            self.interrupted = None

    def on_epoch_end(self, epoch, logs=None):
        if self.run.is_writer:
            checkpoint.save_checkpoint(self.run, epoch + 1, self.model, self._state())

    def save_within_epoch(self, step: int) -> None:
        """Save after `step` steps of the epoch; between two steps."""
        if hasattr(self.model, "jax_state_sync"):  # JAX keeps the values outside of the model
            self.model.jax_state_sync()
        state = {**self._state(), "stage": self.history.stage, "epoch": self.history.epoch_times}
        checkpoint.save_checkpoint(self.run, self.epoch, self.model, state, step, self.steps)

    def _state(self) -> dict[str, Any]:
        return {
            "rows": self.history.rows,
            "seconds": self.history.total_seconds,
            # The seeds of what a later stage initialises are drawn by Python's generator.
            "random": random.getstate(),
        }


class CallbacksFromStep(keras.callbacks.CallbackList):
    """Callbacks of a `fit` over the rest of an epoch, told the steps of the whole epoch.

    Args:
        callbacks: in the order in which they are called.
        first_step: steps that were done before.
        steps: of the whole epoch.
        settings: the `epochs` and `verbose` of `fit`, and the `model`.
    """

    def __init__(
        self,
        callbacks: list[keras.callbacks.Callback],
        first_step: int,
        steps: int,
        **settings: Any,
    ) -> None:
        has_bar = bool(settings["verbose"])
        super().__init__(callbacks, add_history=True, add_progbar=has_bar, steps=steps, **settings)
        self.first_step = first_step

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(self.first_step + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self.first_step + batch, logs)


class ExactSwapEMAWeights(keras.callbacks.SwapEMAWeights):
    """Keras' callback with an exact swap.

    On TensorFlow, Keras swaps by adding and subtracting, which rounds: a run that is resumed from a
    checkpoint would differ in the last bits from an uninterrupted one.
    """

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)


class ModelCheckpoint(keras.callbacks.Callback):
    """Saves `last.keras` after every epoch, and `best.keras` at the best of `train.monitor`."""

    def __init__(self, run: Run, vit: keras.Model, history: HistoryLogger) -> None:
        super().__init__()
        self.run, self.vit, self.history = run, vit, history

    def on_epoch_end(self, epoch, logs=None):
        if self.is_best and self.run.is_writer:
            for name in (TEMPERATURE, ABSTENTION, THRESHOLDS):  # fitted to the best model so far
                (self.run.path / name).unlink(missing_ok=True)
        self.save()

    @property
    def is_best(self):
        return self.history.best_epoch == self.history.rows[-1]["epoch"]

    def save(self):
        if not self.run.is_writer:
            return
        names = ["last.keras", "best.keras"] if self.is_best else ["last.keras"]
        # Frozen layers belong to the stage; a saved model trains as a whole.
        frozen = [layer for layer in self.vit.layers if not layer.trainable]
        for layer in frozen:
            layer.trainable = True
        for name in names:
            with self.run.atomic_write(name) as path, freezing.merging_lora_in_float32(self.vit):
                self.vit.save(path)
        for layer in frozen:
            layer.trainable = False
