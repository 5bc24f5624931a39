"""What ends a training early."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.errors import DivergedError
from vit_keras.runs.history import best_epoch
from vit_keras.training.callbacks.history import HistoryLogger


class StopOnNaN(keras.callbacks.Callback):
    """Raise `DivergedError`, naming the step, as soon as the loss is not finite."""

    def __init__(self, config: Config, steps_per_epoch: int, stage: str) -> None:
        super().__init__()
        self.steps_per_epoch, self.epoch = steps_per_epoch, 0
        self.place = f"stages.{stage}" if config.stages else "optim"
        self.optim = next(item.optim for item in stages.plan(config) if item.name == stage)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if np.isfinite(logs["loss"]):
            return
        step = self.epoch * self.steps_per_epoch + batch + 1
        rate, warmup = self.optim.learning_rate, self.optim.warmup_ratio
        raise DivergedError(
            f"the loss became {logs['loss']} at step {step} (epoch {self.epoch + 1}, batch "
            f"{batch + 1}); lower {self.place}.learning_rate={rate:g}, raise "
            f"{self.place}.warmup_ratio={warmup:g} or set optim.clip_norm=1"
        )


class StopOnInterrupt(keras.callbacks.Callback):
    """Raise `KeyboardInterrupt` at the end of the batch in which Ctrl-C came.

    Raised where it comes, as Python does, it is lost whenever that is in a destructor or a callback
    of a library's. A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for Ctrl-C unless it is to be ignored, or Python tells another thread of it."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            yield
            return
        self.previous = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self.previous)

    def _note(self, number, frame):
        self.interrupted = True
        signal.signal(signal.SIGINT, self.previous)

    def _raise_if_interrupted(self, *_args, **_kwargs):
        if self.interrupted:
            raise KeyboardInterrupt

    on_train_batch_end = on_test_batch_end = on_epoch_end = _raise_if_interrupted


class EarlyStopping(keras.callbacks.Callback):
    """Stop the stage after `patience` epochs without a better validation accuracy.

    Counted from the recorded rows and not in the callback, as Keras' own does: a resumed run stops
    where the uninterrupted one would have.
    """

    def __init__(self, patience: int, recorder: HistoryLogger) -> None:
        super().__init__()
        self.patience, self.recorder = patience, recorder

    def on_epoch_end(self, epoch, logs=None):
        rows = self.recorder.rows_of(self.recorder.stage)
        if has_stalled(rows, self.patience):
            self.model.stop_training = True


def has_stalled(rows: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether `patience` epochs went by since the best one."""
    return bool(patience and rows) and rows[-1]["epoch"] - best_epoch(rows) >= patience
