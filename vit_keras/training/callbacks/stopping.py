"""Callbacks that stop a training: NaN loss, Ctrl-C and other signals, and early stopping."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from vit_keras.config.stages import Stage
from vit_keras.errors import DivergedError
from vit_keras.logs import log
from vit_keras.runs import run_end
from vit_keras.runs.history import ACCURACY, MONITORS, best_epoch
from vit_keras.text import counted
from vit_keras.training.callbacks.history import HistoryLogger
from vit_keras.training.plan import TrainingPlan


class StopOnNaN(keras.callbacks.Callback):
    """Raises `DivergedError`, naming the step, as soon as the loss is not finite."""

    def __init__(self, plan: TrainingPlan, stage: Stage) -> None:
        super().__init__()
        self.steps_per_epoch, self.epoch = plan.steps_per_epoch, 0
        self.settings = f"stages.{stage.name}" if plan.config.stages else "optim"
        self.optim = stage.optim

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if np.isfinite(logs["loss"]):
            return
        step = self.epoch * self.steps_per_epoch + batch + 1
        rate, warmup = self.optim.learning_rate, self.optim.warmup_ratio
        raise DivergedError(
            f"the loss became {logs['loss']} at step {step} (epoch {self.epoch + 1}, batch "
            f"{batch + 1}); lower {self.settings}.learning_rate={rate:g}, raise "
            f"{self.settings}.warmup_ratio={warmup:g} or set optim.clip_norm=1"
        )


class StopOnInterrupt(keras.callbacks.Callback):
    """Raises `KeyboardInterrupt` at the end of the batch during which Ctrl-C is pressed.

    Python raises it at once, and it is lost where that is in a destructor or in a library's
    callback. A second Ctrl-C does not wait for the batch.
    """

    signals: tuple[int, ...] = (signal.SIGINT,)

    def __init__(self) -> None:
        super().__init__()
        self.received = 0  # number of the first signal
        self.previous: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals in this context, unless ignored, or this is not the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python sets handlers in the main thread alone
            return
        before = {number: signal.getsignal(number) for number in self.signals}
        self.previous = {n: old for n, old in before.items() if old not in (signal.SIG_IGN, None)}
        for number in self.previous:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            self._stop_listening()

    def _handle(self, number, frame):
        self.received = number
        self._stop_listening()

    def _stop_listening(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def on_train_batch_end(self, batch, logs=None):
        if self.received:
            raise KeyboardInterrupt

    on_test_batch_end = on_epoch_end = on_train_batch_end


class StopAndSave(StopOnInterrupt):
    """Saves a checkpoint at the end of the batch during which a signal arrives, and then ends.

    Within a validation, which a checkpoint cannot go on from, it waits for the end of the epoch. By
    Ctrl-C it ends with `KeyboardInterrupt`, and otherwise by the signal.

    Args:
        save: is given how many steps of the epoch are done.
        steps: of an epoch.
        report: says where the training was stopped.
    """

    signals = (signal.SIGINT, *run_end.SIGNALS)

    def __init__(self, save: Callable[[int], None], steps: int, report: Callable[[], None]) -> None:
        super().__init__()
        self.save, self.steps, self.report = save, steps, report

    def on_train_batch_end(self, batch, logs=None):
        if self.received and batch + 1 < self.steps:
            self.save(batch + 1)
            self._end()

    def on_test_batch_end(self, batch, logs=None):
        """The epoch's end comes soon, and saves."""

    def on_epoch_end(self, epoch, logs=None):
        if self.received:
            self._end()

    def _end(self) -> None:
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.report()  # before the process ends
        signal.raise_signal(self.received)


class EarlyStopping(keras.callbacks.Callback):
    """Stops the stage after `patience` epochs without a better value of `train.monitor`.

    Keras' own counts in the callback; this counts in the history, so that a resumed run stops where
    the uninterrupted one would have.
    """

    def __init__(self, stage: Stage, patience: int, history: HistoryLogger) -> None:
        super().__init__()
        self.stage, self.patience, self.history = stage, patience, history

    def on_epoch_end(self, epoch, logs=None):
        rows = self.history.rows_of(self.stage.name)
        if has_stalled(rows, self.patience, self.history.monitor):
            self.model.stop_training = True
        if reason := stop_reason(self.stage, rows, self.patience, self.history.monitor):
            log.info("early stopping: %s", reason)


def end_of(plan: TrainingPlan, history: HistoryLogger) -> tuple[str, str]:
    """(reason, message) of the end of a training that went through all of its stages."""
    patience = plan.config.train.early_stopping
    reasons = [
        stop_reason(stage, history.rows_of(stage.name), patience, history.monitor)
        for stage in plan.stages
    ]
    done, total = len(history.rows), plan.total_epochs
    if not any(reasons):
        return run_end.FINISHED, f"after {counted(done, 'epoch[s]')}"
    stopped = "; ".join(reason for reason in reasons if reason)
    return run_end.EARLY_STOPPING, f"early stopping after {done} of {total} epochs: {stopped}"


def has_stalled(rows: list[dict[str, Any]], patience: int | None, monitor: str = ACCURACY) -> bool:
    """Whether the best epoch is `patience` epochs or more before the last one."""
    return bool(patience and rows) and rows[-1]["epoch"] - best_epoch(rows, monitor) >= patience


def stop_reason(
    stage: Stage, rows: list[dict[str, Any]], patience: int | None, monitor: str
) -> str:
    """How `stage`, with the history `rows`, ended before its last epoch; empty if it did not."""
    if len(rows) >= stage.epochs or not has_stalled(rows, patience, monitor):
        return ""
    best = next(row for row in rows if row["epoch"] == best_epoch(rows, monitor))
    return (
        f"stage {stage.name} ended after {len(rows)} of {stage.epochs} epochs, "
        f"{rows[-1]['epoch'] - best['epoch']} after its best {MONITORS[monitor]}, "
        f"{best[monitor]:.4f} in epoch {best['epoch']} "
        f"(train.early_stopping={patience})"
    )
