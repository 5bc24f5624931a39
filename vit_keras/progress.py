"""How far a training is, for whoever looks at its directory: `progress.json`, while it runs."""

import json
import statistics
import time
from typing import Any

import keras

from vit_keras.run import Run

PROGRESS = "progress.json"
EVERY = 1.0  # seconds between two writings, at least


class Progress(keras.callbacks.Callback):
    """Write `progress.json` once a second at most; it is gone when the run has ended.

    Moved into place whole, and not waited for until the disk has it: of a machine that stops, nobody
    needs it.
    """

    def __init__(self, run: Run, rows: list[dict[str, Any]], epochs: int, steps: int) -> None:
        super().__init__()
        self.file = run.path / PROGRESS
        self.rows, self.epochs, self.steps = rows, epochs, steps
        self.written = self.began = self.first = 0.0
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.began = epoch, time.perf_counter()
        self._write(0, {})

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if batch == 0:
            self.first = now  # compiling is over
        if now - self.written >= EVERY:
            self._write(batch + 1, logs or {})

    def _write(self, step: int, logs: dict[str, Any]) -> None:
        self.written = time.perf_counter()
        content = {
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
        """By the epochs so far but for the first, which compiles; before, by the steps of this."""
        whole = self.epochs - self.epoch - 1
        if known := [row["seconds"] for row in self.rows[1:]]:
            epoch = statistics.median(known[-5:])
            elapsed = time.perf_counter() - self.began
            return round(whole * epoch + max(0.0, epoch - elapsed), 1)
        if step < 2 or self.rows:
            return None
        of_step = (time.perf_counter() - self.first) / (step - 1)
        return round(of_step * (self.steps * (whole + 1) - step), 1)
