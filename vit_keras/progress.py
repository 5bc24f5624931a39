"""How far a training is, for whoever looks at its directory: `progress.json`, while it runs."""

import itertools
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
