"""k-fold cross-validation: a run for each fold, and their ensemble as a run of its own.

    <run>/folds/1 ... <run>/folds/k     ordinary runs, with the setting `data.fold`
    <run>/best.keras                    their ensemble, as one model of averaged probabilities
    <run>/out_of_fold.csv               each training image, predicted by the fold that left it out
    <run>/metrics.json                  of the ensemble, and the mean of the folds

n images, K classes.
"""

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.config.compose import get_setting, set_setting
from vit_keras.config.folds import fold_config
from vit_keras.config.schema import Config
from vit_keras.data.dataset import SourceData
from vit_keras.data.folds import assign_folds
from vit_keras.data.image_hashes import image_hashes
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.readers import in_memory
from vit_keras.data.splits import load_splits, read_source
from vit_keras.data.training_range import measured_range, split_in_range
from vit_keras.data.value_range import PERCENTILE
from vit_keras.export.serving_model import in_float32
from vit_keras.logs import console, log
from vit_keras.model.ensemble import build_ensemble
from vit_keras.model.preprocessing import OnBatches
from vit_keras.runs import accuracy, out_of_fold, run_dir, run_end
from vit_keras.runs.run_dir import FOLDS, Run, log_file
from vit_keras.runs.saved_run import MODEL, SavedRun, open_run
from vit_keras.runs.temperature import TEMPERATURE
from vit_keras.text import counted
from vit_keras.training import export_at_end, freezing, preflight, resume
from vit_keras.training.combined_run import check_alike, describe_run, logits_of, scores
from vit_keras.training.train import train_model, with_found_values
from vit_keras.training.trainer import Result


def train_folds(config: Config, data: Any = None) -> Result:
    """Train the `train.folds` runs that `config` describes, and make one model of them.

    With `config.run.resume` set, folds that have finished are kept, and the others go on.

    Args:
        config: of the run; all folds have its settings.
        data: as of `train_model`.

    Raises:
        SettingError: as `train_model`; or a class has fewer images, or groups, than folds.
    """
    preflight.check_settings(config)
    with console():
        arrays = None if data is None else in_memory.to_in_memory(data, config.data)
        config = in_memory.with_array_source(config, arrays)
        preflight.check(config, arrays)
        run_dir.check_free(config.run)
        resume.check_resumable(config)
        # Too few images of a class are known before a fold is trained.
        source, _ = read_folds(config, arrays)
        config, arrays = _with_one_range(config, arrays, source)
    resumed = config.run.resume
    run = Run(Path(resumed).resolve()) if resumed else run_dir.create(config)
    try:
        with log_file(run), run_end.recorded(run, lambda: (run_end.FINISHED, "")):
            for number in range(1, int(config.train.folds or 0) + 1):
                _train_fold(run, config, number, arrays)
            with console():
                return _combine(run, config, arrays)
    finally:
        run.close()


def read_folds(config: Config, data: SourceData | None) -> tuple[SourceData, np.ndarray]:
    """The data, of which `train` is divided into folds, and the fold of each image (n,)."""
    seed, count = config.train.seed, int(config.train.folds or 0)
    source = read_source(config.data, seed, data)
    return source, assign_folds(source, count, seed, config.data.group_duplicates)


def _with_one_range(
    config: Config, data: SourceData | None, source: SourceData
) -> tuple[Config, SourceData | None]:
    """The configuration and the arrays with the range of values that all folds have.

    The ensemble has one input, so `percentile` is measured once, on the images of all folds.
    """
    if source.value_range == PERCENTILE:
        value_range = measured_range(source.train, PERCENTILE)
        log.info("it is the same for all folds, measured on the images of all of them")
        source = source._replace(value_range=value_range)
        data = None if data is None else data._replace(value_range=value_range)
    return with_found_values(config, source), data


def _train_fold(run: Run, config: Config, number: int, data: SourceData | None) -> None:
    folder = run.path / FOLDS / str(number)
    with console():
        log.info("\nfold %d of %s: %s", number, config.train.folds, folder)
    if not (folder / run_dir.CONFIG).exists():
        first = run.path / FOLDS / "1"
        alike = config if number == 1 else resume.decided_as(config, first)
        train_model(fold_config(alike, number, str(folder)), data)
        return
    kept, end = run_dir.config_of_run(str(folder)), run_end.read_end(folder)
    if end and end.reason in run_end.COMPLETE and kept.train.epochs == config.train.epochs:
        with console():
            log.info("it has finished")
        return
    for setting in resume.RESUMABLE:
        if setting != "train.export":
            set_setting(kept, setting, get_setting(config, setting))
    kept.run.resume, kept.distribute = str(folder), config.distribute
    train_model(kept, data)


def _combine(run: Run, config: Config, data: SourceData | None) -> Result:
    """Write the ensemble and what the folds say together."""
    saved = [open_run(folder) for folder in run_dir.fold_dirs(run.path)]
    check_alike(saved)
    members = {f"fold_{number}": in_float32(one.model) for number, one in enumerate(saved, 1)}
    source, folds = read_folds(config, data)
    if source.value_range is not None:
        in_range = split_in_range(source.train, source.value_range, "train")
        source = source._replace(train=in_range)
    batch_size = int(saved[0].config.train.batch_size)
    logits = np.zeros((len(folds), len(source.class_names)), "float32")
    for number, member in enumerate(members.values(), 1):
        index = np.flatnonzero(folds == number)
        logits[index] = logits_of(OnBatches(member), source.train.take(index), batch_size)
    _write_out_of_fold(run, source, folds, logits)
    ensemble = build_ensemble(members)
    with run.atomic_write(MODEL) as path:
        ensemble.save(path)
    # The same test split as that of the folds, by which an evaluation knows the data.
    splits = load_splits(config.data, config.train.seed, data)
    describe_run(run, saved[0], splits, image_hashes(source.train.images))
    note = "not fitted, as other folds were trained on each image to validate on"
    run.write_json(TEMPERATURE, {"temperature": 1.0, "note": note})
    test = scores(
        logits_of(OnBatches(ensemble), splits.test, batch_size), splits.test.labels, source
    )
    hits = int((logits.argmax(axis=-1) == source.train.labels).sum())
    metrics = {**_metrics(ensemble, saved, test), **_out_of_fold(hits, len(folds))}
    run.write_json("metrics.json", metrics)
    _report(run, metrics)
    export_at_end.export_best_model(config, run, splits.test)
    log.info("run: %s", run.path)
    return Result(run.path, metrics)


def _out_of_fold(hits: int, images: int) -> dict[str, Any]:
    return {
        "out_of_fold_accuracy": hits / images,
        "out_of_fold_accuracy_interval": accuracy.wilson_interval(hits, images),
        "validation_images": images,
    }


def _metrics(ensemble: keras.Model, saved: list[SavedRun], test: dict[str, Any]) -> dict[str, Any]:
    """The content of `metrics.json` but for the out-of-fold accuracy; means are of the folds."""
    by_fold: dict[str, list[float]] = {
        name: [float(one.metrics[name]) for one in saved]
        for name in ("best_val_accuracy", "test_accuracy", "train_seconds", "total_seconds")
    }
    validation = by_fold["best_val_accuracy"]
    return {
        **test,
        "best_val_accuracy": float(np.mean(validation)),
        "best_val_accuracy_interval": mean_interval(validation),
        "folds": len(saved),
        "fold_val_accuracies": validation,
        "fold_test_accuracies": by_fold["test_accuracy"],
        "mean_fold_test_accuracy": float(np.mean(by_fold["test_accuracy"])),
        "mean_fold_test_accuracy_interval": mean_interval(by_fold["test_accuracy"]),
        "best_fold": int(np.argmax(validation)) + 1,
        "params": freezing.count_params(ensemble),
        "train_seconds": round(sum(by_fold["train_seconds"]), 1),
        "total_seconds": round(sum(by_fold["total_seconds"]), 1),
    }


def mean_interval(values: list[float]) -> list[float]:
    """The 95% confidence interval of a mean by Student's t, of values taken as independent.

    Those of folds share most of their training images, which it does not see: Bengio and
    Grandvalet 2004, "No unbiased estimator of the variance of k-fold cross-validation".
    """
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return [float(np.mean(values) - half), float(np.mean(values) + half)]


def _write_out_of_fold(run: Run, source: SourceData, folds: np.ndarray, logits: np.ndarray) -> None:
    """A row for each training image: its file or index, and the probability of each class."""
    names, (images, labels) = source.class_names, source.train
    files = [file.path for file in images.files] if isinstance(images, LazyImages) else None
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=-1, keepdims=True)
    with (
        run.atomic_write(out_of_fold.FILE) as path,
        open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        header = ["image", "class", "fold", "predicted", "confidence"]
        writer.writerow([*header, *(f"{out_of_fold.PROBABILITY}{name}" for name in names)])
        for index, row in enumerate(probabilities):
            image = files[index] if files else index
            found = [names[row.argmax()], f"{row.max():.6f}", *(f"{value:.6f}" for value in row)]
            writer.writerow([image, names[labels[index]], folds[index], *found])


def _report(run: Run, metrics: dict[str, Any]) -> None:
    best = metrics["best_fold"]
    log.info(
        "\n%s\nout of fold: accuracy %.4f of %s, in %s\ntest accuracy %.4f of the ensemble (%s), "
        "%.4f of fold %d, the best on validation\nmodel: %s",
        accuracy.folds_text(metrics),
        metrics["out_of_fold_accuracy"],
        *(counted(metrics["validation_images"], "image[s]"), run.path / out_of_fold.FILE),
        metrics["test_accuracy"],
        accuracy.interval_text(metrics["test_accuracy_interval"], metrics["test_images"]),
        *(metrics["fold_test_accuracies"][best - 1], best, run.path / MODEL),
    )
