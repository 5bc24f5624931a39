"""What happens between batches and epochs. The order of the list in `for_run` matters."""

from typing import Any

import keras

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.runs.run_dir import Run
from vit_keras.training.callbacks.checkpoints import ExactSwapEMAWeights, SaveCheckpoint, SaveModels
from vit_keras.training.callbacks.history import HistoryLogger, Progress
from vit_keras.training.callbacks.stopping import EarlyStopping, StopOnNaN


def build_callbacks(
    config: Config, run: Run, vit: keras.Model, recorder: HistoryLogger, steps_per_epoch: int
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run, in the order that they have to be called in."""
    stop_on_nan = StopOnNaN(config, steps_per_epoch, recorder.stage)
    progress = Progress(run, stages.total_epochs(config), steps_per_epoch)
    result: list[Any] = [recorder.wait, stop_on_nan, recorder, progress]
    result.append(SaveCheckpoint(run, recorder))
    if config.optim.ema_momentum is not None:
        # After the checkpoint, which holds the raw weights; before the models that people use.
        result.append(ExactSwapEMAWeights(swap_on_epoch=True))
    result.append(SaveModels(run, vit, recorder))
    if config.train.early_stopping is not None:
        result.append(EarlyStopping(config.train.early_stopping, recorder))
    if config.train.tensorboard:
        result.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
    return result
