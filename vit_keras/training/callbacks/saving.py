"""Callbacks that save after each epoch: the checkpoint to resume from, and the models."""

import random

import keras

from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import ABSTENTION, TEMPERATURE
from vit_keras.runs.thresholds import THRESHOLDS
from vit_keras.training import checkpoint, freezing
from vit_keras.training.callbacks.history import HistoryLogger


class TrainingCheckpoint(keras.callbacks.Callback):
    """Saves everything that an exact resume needs, after every epoch."""

    def __init__(self, run: Run, history: HistoryLogger) -> None:
        super().__init__()
        self.run, self.history = run, history

    def on_epoch_end(self, epoch, logs=None):
        state = {
            "rows": self.history.rows,
            "seconds": self.history.total_seconds,
            # The seeds of what a later stage initialises are drawn by Python's generator.
            "random": random.getstate(),
        }
        checkpoint.save_checkpoint(self.run, epoch + 1, self.model, state)


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
        if self.is_best:
            for name in (TEMPERATURE, ABSTENTION, THRESHOLDS):  # fitted to the best model so far
                (self.run.path / name).unlink(missing_ok=True)
        self.save()

    @property
    def is_best(self):
        return self.history.best_epoch == self.history.rows[-1]["epoch"]

    def save(self):
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
