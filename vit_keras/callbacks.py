"""What happens between batches and epochs. The order of the list in `for_run` matters."""

import csv
import io
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from vit_keras import checkpoint, curves, stages
from vit_keras.config import Config
from vit_keras.errors import DivergedError
from vit_keras.history import best_epoch
from vit_keras.progress import Progress
from vit_keras.run import Run
from vit_keras.saved_run import TEMPERATURE
from vit_keras.waiting import DataWait

log = logging.getLogger("vit_keras")


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


class Recorder(keras.callbacks.Callback):
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
        with self.run.replacing("curves.png") as path:
            curves.draw(self.rows, path)


class Checkpoint(keras.callbacks.Callback):
    """Everything that a resume needs, after every epoch."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        super().__init__()
        self.run, self.recorder = run, recorder

    def on_epoch_end(self, epoch, logs=None):
        checkpoint.save(self.run, epoch + 1, self.model, {"rows": self.recorder.rows})


class ExactSwapEMAWeights(keras.callbacks.SwapEMAWeights):
    """Keras' callback with an exact swap.

    On TensorFlow, Keras swaps by adding and subtracting, which rounds: a run that is resumed from a
    checkpoint would differ in the last bits from one that went on.
    """

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)


class SaveModels(keras.callbacks.Callback):
    """`last.keras` after every epoch, `best.keras` when the validation accuracy is a new best."""

    def __init__(self, run: Run, vit: keras.Model, recorder: Recorder) -> None:
        super().__init__()
        self.run, self.vit, self.recorder = run, vit, recorder

    def on_epoch_end(self, epoch, logs=None):
        if self.is_best:
            (self.run.path / TEMPERATURE).unlink(missing_ok=True)  # another model's
        self.save()

    @property
    def is_best(self):
        return best_epoch(self.recorder.rows) == self.recorder.rows[-1]["epoch"]

    def save(self):
        names = ["last.keras", "best.keras"] if self.is_best else ["last.keras"]
        frozen = [layer for layer in self.vit.layers if not layer.trainable]
        for layer in frozen:  # a matter of this stage, not of the model that is kept
            layer.trainable = True
        for name in names:
            with self.run.replacing(name) as path, stages.merging_exactly(self.vit):
                self.vit.save(path)
        for layer in frozen:
            layer.trainable = False


class StopEarly(keras.callbacks.Callback):
    """Stop the stage after `patience` epochs without a better validation accuracy.

    Counted from the recorded rows and not in the callback, as Keras' own does: a resumed run stops
    where the uninterrupted one would have.
    """

    def __init__(self, patience: int, recorder: Recorder) -> None:
        super().__init__()
        self.patience, self.recorder = patience, recorder

    def on_epoch_end(self, epoch, logs=None):
        rows = self.recorder.rows_of(self.recorder.stage)
        if has_stalled(rows, self.patience):
            self.model.stop_training = True


def has_stalled(rows: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether `patience` epochs went by since the best one."""
    return bool(patience and rows) and rows[-1]["epoch"] - best_epoch(rows) >= patience


def save_again(
    config: Config, run: Run, model: keras.Model, vit: keras.Model, recorder: Recorder
) -> None:
    """Write the models of a restored epoch: a kill may have come before they were written."""
    save = SaveModels(run, vit, recorder)
    if config.optim.ema is None:
        return save.save()
    swap = ExactSwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    save.save()
    swap.on_test_end()


def for_run(
    config: Config, run: Run, vit: keras.Model, recorder: Recorder, steps_per_epoch: int
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run, in the order that they have to be called in."""
    stop_on_nan = StopOnNaN(config, steps_per_epoch, recorder.stage)
    progress = Progress(run, stages.epochs(config), steps_per_epoch)
    result: list[Any] = [recorder.wait, stop_on_nan, recorder, progress]
    result.append(Checkpoint(run, recorder))
    if config.optim.ema is not None:
        # After the checkpoint, which holds the raw weights; before the models that people use.
        result.append(ExactSwapEMAWeights(swap_on_epoch=True))
    result.append(SaveModels(run, vit, recorder))
    if config.train.early_stopping is not None:
        result.append(StopEarly(config.train.early_stopping, recorder))
    if config.train.tensorboard:
        result.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
    return result
