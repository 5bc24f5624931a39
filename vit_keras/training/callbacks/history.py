"""Callbacks that record a run: `history.csv`, `curves.png`, `train.log` and `progress.json`."""

import csv
import io
import itertools
import json
import statistics
import time
from typing import Any

import keras

from vit_keras.config.stages import Stage
from vit_keras.data.input_pipeline import DataWait
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.runs import curves
from vit_keras.runs.history import VAL_MAP, best_epoch
from vit_keras.runs.run_dir import PROGRESS, Run
from vit_keras.training.optimizer import last_learning_rate
from vit_keras.training.plan import TrainingPlan

COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
WRITE_INTERVAL = 1.0  # least seconds between two writes of `progress.json`
DRAW_INTERVAL = 10.0  # and between two drawings of `curves.png`, which take half a second each


class HistoryLogger(keras.callbacks.Callback):
    """Writes a row of `history.csv` and a line of `train.log` per epoch, and `curves.png`.

    Attributes:
        rows: a dict for each epoch of the run, those before a resume included.
        stage: name of the stage that is trained.
        monitor: by which score the best epoch is chosen, see `monitor_of`.
        interrupted: `epoch_times` of the epoch that goes on, if one was interrupted.
        data_wait: measures the time spent waiting for input; to be given to the training batches.

    Args:
        run: the run directory.
        rows: of the epochs that are done.
        images_per_epoch: to train on.
        begun: when the run began, by `time.perf_counter()`, as if it had not been interrupted.
        monitor: as the attribute.
    """

    def __init__(
        self,
        run: Run,
        rows: list[dict[str, Any]],
        images_per_epoch: int,
        begun: float,
        monitor: str,
    ) -> None:
        super().__init__()
        self.run, self.rows, self.images_per_epoch, self.begun = run, rows, images_per_epoch, begun
        self.stage, self.monitor = "all", monitor
        self.data_wait = DataWait()
        self.interrupted = {"seconds": 0.0, "waited": 0.0}
        self.drawn = time.perf_counter()

    def rows_of(self, stage: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["stage"] == stage]

    @property
    def best_epoch(self) -> int:
        """Of the run so far, counted from 1."""
        return best_epoch(self.rows, self.monitor)

    @property
    def total_seconds(self) -> float:
        """Of the run so far: loading, compiling, training and saving."""
        return time.perf_counter() - self.begun

    def on_epoch_begin(self, epoch, logs=None):
        earlier, self.interrupted = self.interrupted, {"seconds": 0.0, "waited": 0.0}
        self.started = time.perf_counter() - earlier["seconds"]
        self.data_wait.go_on_with_epoch(**earlier)  # it comes before this callback

    @property
    def epoch_times(self) -> dict[str, float]:
        """Seconds of the epoch so far, and those of them spent waiting for input."""
        return {"seconds": self.trained - self.started, "waited": self.data_wait.waited}

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()  # after the last batch, before validation

    def on_epoch_end(self, epoch, logs=None):
        of_labels = ("map",) if self.monitor == VAL_MAP else ()  # of training, for the curves
        names = dict.fromkeys((*COLUMNS, *of_labels, self.monitor))
        row: dict[str, Any] = {"epoch": epoch + 1, "stage": self.stage}
        row |= {name: float(logs[name]) for name in names}
        row["learning_rate"] = last_learning_rate(self.model.optimizer)
        row["images_per_second"] = round(self.images_per_epoch / (self.trained - self.started), 1)
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        row["data_wait"] = round(self.data_wait.share, 4)
        self.rows.append(row)
        self.write()
        values = (f"{k}={v}" if isinstance(v, str) else f"{k}={v:.6g}" for k, v in row.items())
        log.debug("epoch %s", " ".join(values))
        waited = 100 * self.data_wait.share
        log.info("epoch %d: %.1f%% of the time spent waiting for data", epoch + 1, waited)

    def write(self) -> None:
        if not self.run.is_writer:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        self.run.write_text("history.csv", text.getvalue())
        if time.perf_counter() - self.drawn >= DRAW_INTERVAL:
            self.draw()

    def draw(self) -> None:
        """Draw `curves.png`, which lags behind `history.csv` where epochs are short."""
        with self.run.atomic_write("curves.png") as path:
            curves.draw_curves(self.rows, path)
        self.drawn = time.perf_counter()


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras' callback with the learning rate that was used, not that of the batch to come."""

    def _collect_learning_rate(self, logs):
        return {**logs, "learning_rate": last_learning_rate(self.model.optimizer)}


class Progress(keras.callbacks.Callback):
    """Writes `progress.json` at most once a second, for whoever watches the run directory.

    The time left is that of the stage: how fast the next one is shows when it has begun.
    """

    def __init__(self, run: Run, plan: TrainingPlan, stage: Stage, first_step: int = 0) -> None:
        super().__init__()
        number = [one.name for one in plan.stages].index(stage.name) + 1
        of_stages = {"stage": stage.name, "number": number, "stages": len(plan.stages)}
        self.stage, self.place = stage, of_stages if len(plan.stages) > 1 else {}
        self.file, self.first_step = run.path / PROGRESS, first_step
        self.epochs, self.steps = plan.total_epochs, plan.steps_per_epoch
        self.written = self.first_call_end = 0.0
        self.first_call = 0  # steps of the epoch's first call
        self.epoch_starts: list[float] = []  # of this process
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.epoch_starts.append(time.perf_counter())
        self.first_call = 0
        self._write(self.first_step, {})
        self.first_step = 0

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if not self.first_call:
            self.first_call, self.first_call_end = batch + 1, now  # compilation is over
        if now - self.written >= WRITE_INTERVAL:
            self._write(batch + 1, logs or {})

    def _write(self, step: int, logs: dict[str, Any]) -> None:
        self.written = time.perf_counter()
        content: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "epochs": self.epochs,
            "step": step,
            "steps": self.steps,
            "compiling": len(self.epoch_starts) == 1 and not self.first_call,  # again in each stage
            **{name: float(logs[name]) for name in ("loss", "accuracy") if name in logs},
            "seconds_left": self._seconds_left(step),
            **self.place,
        }
        atomic.write_text(self.file, json.dumps(content) + "\n", shared=False, flush=False)

    def _seconds_left(self, step: int) -> float | None:
        """By the pace of recent epochs, validation and saving included; at first of the steps."""
        epochs_after, now = self.stage.end - self.epoch - 1, time.perf_counter()
        durations = [end - start for start, end in itertools.pairwise(self.epoch_starts)]
        if known := durations[1:]:  # the first epoch includes compilation
            epoch = statistics.median(known[-5:])
            rest_of_epoch = max(0.0, epoch - (now - self.epoch_starts[-1]))
            return round(epochs_after * epoch + rest_of_epoch, 1)
        if not self.first_call or step <= self.first_call:
            return None
        seconds_per_step = (now - self.first_call_end) / (step - self.first_call)
        return round(seconds_per_step * (self.steps * (epochs_after + 1) - step), 1)
