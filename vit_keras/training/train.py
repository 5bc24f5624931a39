"""Train: data and a configuration in, a run directory out."""

from pathlib import Path
from typing import Any

import keras

from vit_keras import backend
from vit_keras.config.schema import Config
from vit_keras.data import dataset, lazy_images, quality_report
from vit_keras.data.readers import in_memory
from vit_keras.data.splits import load_splits
from vit_keras.logs import console
from vit_keras.runs import progress, run_dir
from vit_keras.runs.run_dir import Run, log_file
from vit_keras.training import environment, overfit_check, preflight
from vit_keras.training import resume as training_resume
from vit_keras.training.build_model import build_training_model
from vit_keras.training.trainer import Result, _describe, _train, log


def train_model(config: Config, data: Any = None) -> Result:
    """Train the run that `config` describes, from data to metrics.

    With `config.run.resume` set, goes on from that run's last whole checkpoint and ends bit for bit
    (on a CPU) where the run would have ended uninterrupted.

    Args:
        config: of the run; `load_config` makes one.
        data: in the place of `config.data.name`: (images, labels), a dictionary of such pairs, a
            tf.data.Dataset, a Keras PyDataset, or what `build_splits` gives; read into memory.

    Raises:
        SettingError: the configuration, the data or the run directory cannot work.
        DivergedError: the loss is not finite any more; the last checkpoint stands.
        KeyboardInterrupt: stopped by hand; the run can be resumed.
    """
    preflight.check_settings(config)
    with console():
        given = None if data is None else in_memory.to_in_memory(data)
        config = in_memory.with_array_source(config, given)
        preflight.check(config, given)
        run_dir.check_free(config.run)
        training_resume.check_resumable(config)
        keras.utils.set_random_seed(config.train.seed)
        return _run(config, given)


def _run(config: Config, given: dataset.InMemoryData | None) -> Result:
    """Load the data, make the model and the run directory, and train."""
    splits = load_splits(config.data, config.train.seed, given)
    preflight.steps_per_epoch(config, len(splits.train.labels))
    splits = overfit_check.select_overfit_batches(splits, config)
    precision = backend.precision(config.train.precision)
    # Before there is a run: a model that cannot be had leaves none behind.
    model, report = build_training_model(
        overfit_check.disable_regularisation(config), splits, precision.policy
    )
    resume = config.run.resume
    run = run_dir.Run(Path(resume).resolve()) if resume else run_dir.create(config)
    try:
        with log_file(run):
            log.info("data: %s\n%s", config.data.name, splits.table())
            write_data_report(run, splits, model.vit)
            log.info("precision: %s (%s)", precision.policy, precision.reason)
            description = environment.describe(precision, splits.fingerprint)
            _describe(run, model.vit, splits, description)
            if report:
                log.info("pretrained: %s", report)
                run.write_text("pretrained.txt", report + "\n")
            with lazy_images.report_decode_failures(splits):
                return _train(config, run, splits, model)
    finally:
        (run.path / progress.PROGRESS).unlink(missing_ok=True)
        run.close()


def write_data_report(run: Run, splits: dataset.Splits, vit: Any) -> None:
    """Say what is suspicious about the data, and list a folder's files of that kind in the run."""
    if splits.findings:
        run.write_text(quality_report.REPORT, quality_report.table(splits.findings))
    for line in quality_report.summary(splits.findings):
        log.warning("warning: %s; all in %s", line, run.path / quality_report.REPORT)
    for problem in quality_report.label_problems(splits):
        log.warning("warning: %s", problem)
    log.info("pixels: %s", quality_report.pixel_statistics(splits.train, vit))
