"""The Trainer: fits a model stage by stage, saves it after each epoch, and evaluates the best."""

import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from vit_keras import backend
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.data.dataset import Splits
from vit_keras.data.input_pipeline import evaluation_batches
from vit_keras.logs import log
from vit_keras.runs import run_end
from vit_keras.runs.checkpoint_name import Position, newest_position
from vit_keras.runs.history import monitor_of
from vit_keras.runs.run_dir import PROGRESS, Run
from vit_keras.text import counted
from vit_keras.tracking.follow import Follower
from vit_keras.training import (
    checkpoint,
    export_at_end,
    freezing,
    out_of_memory,
    overfit_check,
    processes,
    resume,
)
from vit_keras.training.callbacks import saving, stopping
from vit_keras.training.callbacks.history import HistoryLogger, Progress, TensorBoard
from vit_keras.training.callbacks.sample_predictions import SamplePredictions
from vit_keras.training.callbacks.tracking import Tracking
from vit_keras.training.plan import TrainingPlan
from vit_keras.training.run_metrics import run_metrics, scores_text
from vit_keras.training.stage_inputs import StageInputs, stage_inputs
from vit_keras.training.training_model import TrainingModel


@dataclass(frozen=True)
class Result:
    """Where a run is and what it reached, as in its `metrics.json`."""

    path: Path
    metrics: dict[str, Any]


class Trainer:
    """Trains one run, from its start or from its last intact checkpoint.

    Attributes:
        config: the run's settings, as they are stored in it.
        run: the run directory, held by this process.
        plan: stages, steps per epoch and the configuration to train with.
        splits: training, validation and test images.
        model: what is fitted; `model.vit` is what is saved.
        history: a row for each finished epoch of the run.
        follower: is told of each epoch, to send it to MLflow; None for a run that is not tracked.

    Args:
        started: the `time.perf_counter()` that the run's time is counted from; by default now.
    """

    def __init__(
        self,
        config: Config,
        run: Run,
        plan: TrainingPlan,
        splits: Splits,
        model: TrainingModel,
        started: float | None = None,
    ) -> None:
        self._checkpoint = checkpoint.load_latest(run) if config.run.resume else None
        state = self._checkpoint.state if self._checkpoint else {"rows": []}
        first_step = self._checkpoint.step if self._checkpoint else 0
        self.config, self.run, self.plan = config, run, plan.from_step(first_step)
        self.splits, self.model = splits, model
        self.follower: Follower | None = None
        self._interrupted: checkpoint.Checkpoint | None = None  # within the epoch that goes on
        rows = state["rows"]
        images = plan.steps_per_epoch * config.train.batch_size
        earlier = state.get("seconds", sum(row.get("seconds", 0) for row in rows))
        started = time.perf_counter() if started is None else started
        self.history = HistoryLogger(run, rows, images, started - earlier, monitor_of(config))
        self.history.interrupted = state.get("epoch", self.history.interrupted)

    def fit(self) -> Result:
        """Train every stage that is not finished, then evaluate the best model.

        Raises:
            ResourceError: there is not enough memory.
        """
        with out_of_memory.in_one_line(self.config):
            return self._fit()

    def _fit(self) -> Result:
        if self.config.run.resume:
            log.info("resuming %s %s", self.run.path, self._position_text())
            resume.record_epochs(self.run, self.config, self.plan.stages)
        for stage in self.plan.stages:
            self.fit_stage(stage)
        overfit_check.warn_if_not_overfit(self.config, self.history.rows)
        return self.evaluate()

    def fit_stage(self, stage: Stage) -> None:
        """Train `stage` to its end, or only restore it where it had ended already.

        Raises:
            DivergedError: the loss is not finite any more.
            KeyboardInterrupt: stopped by Ctrl-C, with a checkpoint after the last batch.
        """
        if self._checkpoint and self._checkpoint.stage != stage.name:
            return  # the checkpoint is of a later stage
        self._configure(stage)
        if self._checkpoint:
            self._restore(self._checkpoint)
            self._checkpoint = None
        if not self._is_finished(stage):
            self._fit_epochs(stage)

    def evaluate(self) -> Result:
        """Evaluate the best model on the test split, once, and write `metrics.json`."""
        if self.run.is_writer:  # no epoch is trained any more
            (self.run.path / PROGRESS).unlink(missing_ok=True)
        processes.wait_for_all("best.keras")
        self.model.vit.load_weights(self.run.path / "best.keras")
        by_class = self.model.compile_for_evaluation(self.config)
        config = self.config
        test = evaluation_batches(self.splits.test, config.train.batch_size, config.data.prefetch)
        scores = self.model.evaluate(test, verbose=_verbosity(), return_dict=True)
        metrics = run_metrics(
            scores, by_class, self.history, self.plan, self.splits, self.model.vit
        )
        self.run.write_json("metrics.json", metrics)
        log.info(
            "%s with best.keras of epoch %d; "
            "trained in %.0f s, %.0f s with loading, saving and this evaluation",
            scores_text(metrics),
            metrics["best_epoch"],
            metrics["train_seconds"],
            metrics["total_seconds"],
        )
        reason, message = stopping.end_of(self.plan, self.history)
        if reason == run_end.EARLY_STOPPING:
            log.info("%s", message)
        log.info("model: %s", self.run.path / "best.keras")
        log.info("curves: %s", self.run.path / "curves.png")
        return Result(self.run.path, metrics)

    def export(self) -> None:
        """Export the best model as `train.export` asks; not in the scope of several devices."""
        export_at_end.export_best_model(self.config, self.run, self.splits.test)
        log.info("run: %s", self.run.path)

    def save_models(self) -> None:
        """Write `last.keras` and, after the best epoch, `best.keras`, as the callbacks do."""
        save = saving.ModelCheckpoint(self.run, self.model.vit, self.history)
        if self.config.optim.ema_momentum is None:
            return save.save()
        swap = saving.ExactSwapEMAWeights()
        swap.set_model(self.model)
        swap.on_test_begin()
        save.save()
        swap.on_test_end()

    def callbacks(self, stage: Stage) -> list[keras.callbacks.Callback]:
        """What happens between the batches and epochs of `stage`; Keras calls them in order."""
        config, run, history, vit = self.config, self.run, self.history, self.model.vit
        result: list[Any] = [history.data_wait, stopping.StopOnNaN(self.plan, stage), history]
        if run.is_writer:
            result.append(Progress(run, self.plan, stage, self._first_step))
        steps = self.plan.steps_per_epoch
        result.append(saving.TrainingCheckpoint(run, history, steps, self._interrupted))
        if config.optim.ema_momentum is not None:
            # After the checkpoint, which holds the raw weights; before the models, which hold the
            # averaged ones.
            result.append(saving.ExactSwapEMAWeights(swap_on_epoch=True))
        result.append(saving.ModelCheckpoint(run, vit, history))
        if config.train.early_stopping is not None:
            result.append(stopping.EarlyStopping(stage, config.train.early_stopping, history))
        if config.train.tensorboard and run.is_writer:
            result.append(TensorBoard(run.path / "tensorboard"))
        if count := config.train.sample_predictions:
            names, validation = self.splits.class_names, self.splits.validation
            result.append(SamplePredictions(run, vit, validation, names, count))
        if self.follower is not None:
            result.append(Tracking(self.follower))
        return result

    def _configure(self, stage: Stage) -> None:
        # Counted in recorded epochs: early stopping may have shortened earlier stages.
        earlier = len(self.history.rows) - len(self.history.rows_of(stage.name))
        self.model.configure_stage(stage, self.plan, earlier * self.plan.steps_per_epoch)
        self.history.stage = stage.name
        if self.config.stages:
            table = freezing.trainable_table(self.model.vit, stage)
            epochs = counted(stage.epochs, "epoch[s]")
            if stage.image_size is not None:
                epochs += " on images of {} x {} pixels".format(*stage.image_size)
            log.info("\nstage %s, %s:\n%s", stage.name, epochs, table)

    def _restore(self, latest: checkpoint.Checkpoint) -> None:
        checkpoint.restore_checkpoint(latest, self.model)
        if "random" in latest.state:  # not in those of version 0.1
            version, numbers, gauss = latest.state["random"]
            random.setstate((version, tuple(numbers), gauss))
        if self.history.rows:
            self.history.write()  # drops epochs that were recorded after the checkpoint
            self.history.draw()
        if latest.step:
            self._interrupted = latest
        else:
            self.save_models()  # the run may have been killed before it wrote them

    def _is_finished(self, stage: Stage) -> bool:
        rows = self.history.rows_of(stage.name)
        if len(rows) >= stage.epochs:
            return True
        patience = self.config.train.early_stopping
        has_stalled = stopping.has_stalled(rows, patience, self.history.monitor)
        return has_stalled and not self._interrupted  # an epoch that has begun comes to its end

    def _fit_epochs(self, stage: Stage) -> None:
        inputs = stage_inputs(self.config, self.splits, self.model)
        while not self._is_finished(stage):
            try:
                self._fit_rest(stage, inputs)
            except KeyboardInterrupt:
                self._report_stop()
                raise
            finally:
                if self.history.rows:
                    self.history.draw()

    def _fit_rest(self, stage: Stage, inputs: StageInputs) -> None:
        """Fit the epochs of `stage` that are left, or the rest of one that was interrupted."""
        done, first, steps = len(self.history.rows), self._first_step, self.plan.steps_per_epoch
        end = done + (1 if first else stage.epochs - len(self.history.rows_of(stage.name)))
        callbacks = self.callbacks(stage)
        (saver,) = (c for c in callbacks if isinstance(c, saving.TrainingCheckpoint))
        interrupt = stopping.StopAndSave(saver.save_within_epoch, steps, self._report_stop)
        if backend.process_count() > 1:  # which are not stopped at the same batch
            interrupt = stopping.StopOnInterrupt()
        settings: dict[str, Any] = {"epochs": end, "verbose": _verbosity()}
        with interrupt.listening():
            self.model.fit(
                inputs.training_batches(done, first, steps, self.history.data_wait),
                steps_per_epoch=steps - first,
                initial_epoch=done,
                validation_data=inputs.validation_batches(),
                callbacks=saving.CallbacksFromStep(
                    [*callbacks, interrupt], first, steps, model=self.model, **settings
                ),
                shuffle=False,  # the batches come shuffled, and Keras would warn
                **settings,
            )
        self._interrupted = None
        processes.wait_for_all("checkpoint")
        is_averaged = self.config.optim.ema_momentum is not None
        if is_averaged and (latest := checkpoint.load_latest(self.run)):
            # `fit` leaves the averaged weights in the model; the next one needs the raw ones.
            checkpoint.restore_checkpoint(latest, self.model)

    @property
    def _first_step(self) -> int:
        """Steps that are done of the epoch to fit next."""
        return self._interrupted.step if self._interrupted else 0

    def _report_stop(self) -> None:
        log.info("\nstopped %s; go on with run.resume=%s", self._position_text(), self.run.path)

    def _position_text(self) -> str:
        position = newest_position(self.run.path) or Position(0)
        return position.text(self.plan.total_epochs)


def _verbosity() -> int:
    """A progress bar on a terminal; a line per epoch in a file, where bars would pile up.

    Nothing in a process that follows another.
    """
    if backend.process_index():
        return 0
    return 1 if sys.stdout.isatty() else 2
