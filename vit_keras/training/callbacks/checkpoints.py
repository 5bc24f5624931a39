"""What is written after each epoch: the checkpoint and the models."""

import keras

from vit_keras.config.schema import Config
from vit_keras.runs.history import best_epoch
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import TEMPERATURE
from vit_keras.training import checkpoint, freezing
from vit_keras.training.callbacks.history import HistoryLogger


class SaveCheckpoint(keras.callbacks.Callback):
    """Everything that a resume needs, after every epoch."""

    def __init__(self, run: Run, recorder: HistoryLogger) -> None:
        super().__init__()
        self.run, self.recorder = run, recorder

    def on_epoch_end(self, epoch, logs=None):
        checkpoint.save_checkpoint(self.run, epoch + 1, self.model, {"rows": self.recorder.rows})


class ExactSwapEMAWeights(keras.callbacks.SwapEMAWeights):
    """Keras' callback with an exact swap.

    On TensorFlow, Keras swaps by adding and subtracting, which rounds: a run that is resumed from a
    checkpoint would differ in the last bits from one that went on.
    """

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)


class SaveModels(keras.callbacks.Callback):
    """`last.keras` after every epoch, `best.keras` when the validation accuracy is a new best."""

    def __init__(self, run: Run, vit: keras.Model, recorder: HistoryLogger) -> None:
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
            with self.run.atomic_write(name) as path, freezing.merging_exactly(self.vit):
                self.vit.save(path)
        for layer in frozen:
            layer.trainable = False


def save_again(
    config: Config, run: Run, model: keras.Model, vit: keras.Model, recorder: HistoryLogger
) -> None:
    """Write the models of a restored epoch: a kill may have come before they were written."""
    save = SaveModels(run, vit, recorder)
    if config.optim.ema_momentum is None:
        return save.save()
    swap = ExactSwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    save.save()
    swap.on_test_end()
