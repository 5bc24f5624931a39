"""Callbacks that stop a training: NaN loss, Ctrl-C and early stopping."""

import signal
import threading
from collections.abc import Iterator
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

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle Ctrl-C in this context, unless it is ignored or this is not the main thread."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            yield
            return
        self.previous = signal.signal(signal.SIGINT, self._handle_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self.previous)

    def _handle_interrupt(self, number, frame):
        self.interrupted = True
        signal.signal(signal.SIGINT, self.previous)

    def _raise_if_interrupted(self, *_args, **_kwargs):
        if self.interrupted:
            raise KeyboardInterrupt

    on_train_batch_end = on_test_batch_end = on_epoch_end = _raise_if_interrupted


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
