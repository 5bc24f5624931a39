"""What happens between batches and epochs. The order of the list in `for_run` matters."""

import csv
import io
import itertools
import json
import logging
import statistics
import time
from typing import Any

import keras

from vit_keras.data.input_wait import DataWait
from vit_keras.runs import curves
from vit_keras.runs.progress import PROGRESS
from vit_keras.runs.run_dir import Run

log = logging.getLogger("vit_keras")


class HistoryLogger(keras.callbacks.Callback):
    """A row of `history.csv` per epoch, `curves.png` drawn again, a line in `train.log`.

    Attributes:
        wait: the clock of the waiting for data, which the batches are to note themselves in.
        rows: one dict an epoch; everything that later epochs need to know of earlier ones.
    """

    def __init__(self, run: Run, rows: list[dict[str, Any]], images_per_epoch: int) -> None:
        super().__init__()
        self.run, self.rows, self.images_per_epoch = run, rows, images_per_epoch
        self.stage, self.wait = "all", DataWait()

    def rows_of(self, stage: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["stage"] == stage]

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()  # the last one of the epoch: validation comes after

    def on_epoch_end(self, epoch, logs=None):
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row: dict[str, Any] = {"epoch": epoch + 1, "stage": self.stage}
        row |= {name: float(logs[name]) for name in names}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["images_per_second"] = round(self.images_per_epoch / (self.trained - self.started), 1)
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        row["data_wait"] = round(self.wait.share, 4)
        self.rows.append(row)
        self.write()
        said = (f"{k}={v}" if isinstance(v, str) else f"{k}={v:.6g}" for k, v in row.items())
        log.debug("epoch %s", " ".join(said))
        log.info("epoch %d: %.1f%% of the time waiting for data", epoch + 1, 100 * self.wait.share)

    def write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        self.run.write_text("history.csv", text.getvalue())
        with self.run.atomic_write("curves.png") as path:
            curves.draw_curves(self.rows, path)


EVERY = 1.0  # seconds between two writings, at least


class Progress(keras.callbacks.Callback):
    """Write `progress.json` once a second at most; it is gone when the run has ended.

    Moved into place whole, and not waited for until the disk has it: of a machine that stops,
    nobody needs it.
    """

    def __init__(self, run: Run, epochs: int, steps: int) -> None:
        super().__init__()
        self.file = run.path / PROGRESS
        self.epochs, self.steps = epochs, steps
        self.written = self.first = 0.0
        self.begins: list[float] = []  # of this process's epochs
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.begins.append(time.perf_counter())
        self._write(0, {})

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if batch == 0:
            self.first = now  # compiling is over
        if now - self.written >= EVERY:
            self._write(batch + 1, logs or {})

    def _write(self, step: int, logs: dict[str, Any]) -> None:
        self.written = time.perf_counter()
        content: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "epochs": self.epochs,
            "step": step,
            "steps": self.steps,
            **{name: float(logs[name]) for name in ("loss", "accuracy") if name in logs},
            "seconds_left": self._seconds_left(step),
        }
        temporary = self.file.with_name(f".new-{PROGRESS}")
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        temporary.replace(self.file)

    def _seconds_left(self, step: int) -> float | None:
        """By the epochs so far, all that is done between them included; at first by the steps."""
        whole, now = self.epochs - self.epoch - 1, time.perf_counter()
        lengths = [later - earlier for earlier, later in itertools.pairwise(self.begins)]
        if known := lengths[1:]:  # the first epoch compiles
            epoch = statistics.median(known[-5:])
            return round(whole * epoch + max(0.0, epoch - (now - self.begins[-1])), 1)
        if step < 2:
            return None
        of_step = (now - self.first) / (step - 1)
        return round(of_step * (self.steps * (whole + 1) - step), 1)
