"""Evaluate a run: accuracy, calibration, robustness and the most confident errors.

    vit_keras.evaluate_run("saved_models/digits").report["accuracy"]

n images, K classes.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras import backend, validators
from vit_keras.config.schema import MULTILABEL
from vit_keras.data import lazy_images
from vit_keras.data.dataset import SourceData, Split
from vit_keras.data.readers import in_memory
from vit_keras.errors import SettingError
from vit_keras.evaluation import (
    abstention,
    abstention_pass,
    artifacts,
    calibration,
    metrics,
    multilabel,
    robustness,
    tta,
)
from vit_keras.evaluation.logits import Classifier, Outputs
from vit_keras.evaluation.other_images import OtherImages, find_other_images
from vit_keras.evaluation.preflight import (
    TEST,
    check_data,
    check_sizes,
    check_split,
    check_task,
    evaluation_config,
    open_evaluable_run,
    uses_training_source,
)
from vit_keras.evaluation.task import EvaluationTask, evaluation_task
from vit_keras.export import current
from vit_keras.model.vit import describe
from vit_keras.predict.engines import ONNX, outdated_onnx
from vit_keras.runs.abstention import ABSTENTION, Abstention, write_abstention
from vit_keras.runs.accuracy import FEW_IMAGES, class_text
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import MODEL, SavedRun, open_run
from vit_keras.runs.temperature import TEMPERATURE
from vit_keras.runs.thresholds import THRESHOLDS
from vit_keras.text import counted
from vit_keras.training import environment, freezing

log = logging.getLogger("vit_keras")

POSITIONS = {  # position embedding -> what it becomes at another image size
    "learned": "learned position embeddings resized",
    "sincos2d": "sine-cosine position embeddings computed for the new grid",
    "rope2d": "rotary position embeddings extended to the new grid",
    "rope_mixed": "rotary position embeddings extended to the new grid",
    "none": "no position embedding",
}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        path: its folder.
        report: the contents of `evaluation.json`.
    """

    path: Path
    report: dict[str, Any]


@dataclass(frozen=True)
class _Fitted:
    """What is kept with the run: of each, None if it is not fitted now."""

    temperature: dict[str, Any] | None = None  # contents of temperature.json
    abstention: Abstention | None = None
    thresholds: dict[str, Any] | None = None  # contents of thresholds.json, of several labels

    def write(self, run: Run) -> None:
        if self.abstention is not None:  # first: without its temperature it is not used
            with run.atomic_write(ABSTENTION) as path:
                write_abstention(path, self.abstention)
        if self.temperature is not None:
            run.write_json(TEMPERATURE, self.temperature)
        if self.thresholds is not None:
            run.write_json(THRESHOLDS, self.thresholds)


def evaluate_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    sizes: Sequence[int] = (),
    images: int = 1000,
    output: str | Path | None = None,
    data: Any = None,
    split: str = TEST,
    flip: bool = False,
    ood: str | None = None,
) -> Evaluation:
    """Evaluate a run's model on a test split, and write `report.html` and the files it is made of.

    The temperature (Guo et al. 2017) is fitted on the run's own validation split and saved in the
    run; it stays 1 where no gain can be shown. So is what predictions abstain by, see
    `Predictor.predict`. On other data those that are saved are used.

    Args:
        run: the folder of a training run.
        overrides: changes to its data, such as `["data=folder", "data.path=photos"]`.
        sizes: heights of further image sizes to evaluate the same weights at; the widths are in
            the proportion of the model's own.
        images: number of test images for the robustness to corruptions.
        output: the folder to write; None is `<run>/evaluation`, and `<run>/evaluation-...` for data
            that the run was not trained on.
        data: in-memory data instead of a data set, as for `train_model`; classes without names
            are the run's in order.
        split: "test", or "all" for every image of data that the run was not trained on.
        flip: beside the plain accuracy, also measure that of horizontal-flip test-time
            augmentation, which `Predictor.predict(flip=True)` has.
        ood: images of none of the classes, a folder or the name of a data set: how well the OOD
            score tells them from the evaluated images (AUROC and FPR95).

    Raises:
        SettingError: a setting is invalid, or the data do not match; nothing is written.
    """
    validators.check_bool("flip", flip)
    saved = open_evaluable_run(run, sizes, output)
    check_task(saved, sizes, flip, ood, has_data=data is not None)
    in_memory_data = None if data is None else _in_memory(data, saved)
    config = in_memory.with_array_source(evaluation_config(saved, overrides), in_memory_data)
    check_split(saved, split, in_memory_data is None and uses_training_source(saved, config))
    if in_memory_data is None:
        check_data(saved, config)
    other = find_other_images(saved, ood)
    with contextlib.closing(Run(saved.path)) as locked:  # so that no training changes it meanwhile
        patch_size, positions = _check_model(saved, sizes)
        task = evaluation_task(saved, config, in_memory_data, overrides, split)
        folder = task.output_folder(output)
        with lazy_images.report_decode_failures(task.splits):
            if saved.is_multilabel:
                report, logits, fitted = _measure_labels(task)
            else:
                report, logits, fitted = _measure(task, sizes, images, patch_size, flip, other)
        report["positions"] = positions
        with artifacts.write_artifacts(folder, report, logits, task):
            fitted.write(locked)  # before the folder is renamed: all or nothing
    _renew_onnx(saved.path)
    _log_summary(folder, report)
    return Evaluation(folder, report)


def _renew_onnx(run: Path) -> None:
    """Make an ONNX file of the run again, as it has the temperature of before."""
    saved = open_run(run)
    if reason := outdated_onnx(saved):
        current.make_again(saved, ONNX, reason)


def _in_memory(data: Any, saved: SavedRun) -> SourceData:
    """Data of a Python program, as the run would have read them."""
    return _with_names(in_memory.to_in_memory(data, saved.config.data), saved)


def _with_names(data: SourceData, saved: SavedRun) -> SourceData:
    """Replace class names that are mere numbers, as of arrays, by the run's in order."""
    is_numbered = data.class_names == [str(index) for index in range(len(saved.class_names))]
    return data._replace(class_names=saved.class_names) if is_numbered else data


def _check_model(saved: SavedRun, sizes: Sequence[int]) -> tuple[int, str]:
    """The patch size, and what the position embeddings become at the other sizes."""
    if not sizes:
        return 0, ""
    try:
        arch = describe(saved.model)
    except SettingError as error:
        raise SettingError(
            f"sizes={sizes[0]} cannot be evaluated ({error}); leave it out"
        ) from None
    check_sizes(sizes, arch["patch_size"], saved.model.input_shape[1:3])
    return arch["patch_size"], POSITIONS[arch["position"]]


def _measure(
    task: EvaluationTask,
    sizes: Sequence[int],
    images: int,
    patch_size: int,
    flip: bool,
    other: OtherImages | None,
) -> tuple[dict[str, Any], np.ndarray, _Fitted]:
    """The report, the logits (n, K), and what was fitted."""
    saved, train = task.saved, task.config.train
    test, labels = task.splits.test, task.splits.test.labels
    sample = robustness.draw_sample(test, images, train.seed)
    other_sizes = len({*sizes} - {saved.model.input_shape[1]})
    total = (1 + flip + other_sizes) * len(labels) + robustness.PASSES * len(sample.labels)
    total += len(task.splits.validation.labels) if task.is_training_data else 0
    with tqdm(total=total, unit=" images", delay=2, disable=None) as bar:
        classifier = Classifier(saved.model, train.batch_size, task.config.data.prefetch, bar)
        outputs = classifier.outputs(test, task.split)
        logits = outputs.logits
        speed = classifier.images_per_second  # of this split: the next one replaces it
        validation = None
        if task.is_training_data:
            validation = classifier.outputs(task.splits.validation, "validation")
        temperature, source, contents = _temperature(task, validation)
        abstaining, rule = abstention_pass.measure(
            task, classifier, outputs, validation, temperature, other
        )
        report = {
            **_metadata(task),
            **metrics.overall_metrics(logits, labels, saved.class_names),
            "images_per_second": speed,
            "calibration": {
                **metrics.calibration_metrics(logits, labels, temperature)[0],
                "temperature_from": source,
            },
            "abstention": abstaining,
            "test_time_flip": _flip_metrics(test, classifier, logits, temperature)
            if flip
            else None,
            "robustness": robustness.evaluate_corrupted(sample, classifier, train.seed),
            "sizes": robustness.evaluate_at_sizes(task, sizes, logits, patch_size, bar)
            if sizes
            else [],
        }
    return report, logits, _Fitted(contents, rule)


def _measure_labels(task: EvaluationTask) -> tuple[dict[str, Any], np.ndarray, _Fitted]:
    """As `_measure`, of a run with several labels."""
    saved, test = task.saved, task.splits.test
    validation = task.splits.validation if task.is_training_data else None
    total = len(test.labels) + (len(validation.labels) if validation else 0)
    with tqdm(total=total, unit=" images", delay=2, disable=None) as bar:
        classifier = Classifier(
            saved.model, task.config.train.batch_size, task.config.data.prefetch, bar
        )
        logits = classifier.logits(test, task.split)
        speed = classifier.images_per_second
        found, fitted = saved.thresholds, None
        assert found is not None  # as the run has several labels
        thresholds, source = np.array(found.values), found.source
        if validation is not None:
            thresholds, fitted = _fitted_thresholds(task, classifier)
            source = f"fitted on {len(validation.labels):,} images of the validation split"
    report = {
        "task": saved.config.task,
        **_metadata(task),
        **multilabel.overall_metrics(logits, test.labels, thresholds),
        "images_per_second": speed,
        "thresholds": dict(zip(saved.class_names, thresholds.tolist(), strict=True)),
        "thresholds_from": source,
    }
    return report, logits, _Fitted(thresholds=fitted)


def _fitted_thresholds(
    task: EvaluationTask, classifier: Classifier
) -> tuple[np.ndarray, dict[str, Any]]:
    """The thresholds (K,), and the contents of `thresholds.json`."""
    names, validation = task.saved.class_names, task.splits.validation
    probabilities = multilabel.probabilities(classifier.logits(validation, "validation"))
    values, is_fitted = multilabel.fit_thresholds(probabilities, validation.labels)
    return values, {
        "thresholds": dict(zip(names, values.tolist(), strict=True)),
        "not_fitted": [name for name, fitted in zip(names, is_fitted, strict=True) if not fitted],
        "method": "highest F1 of each label",
        "fitted_on": _fitted_on(task),
    }


def _fitted_on(task: EvaluationTask) -> dict[str, Any]:
    """What the temperature, or the thresholds, are fitted on."""
    return {
        "data": task.config.data.name,
        "data_fingerprint": task.fingerprint,
        "split": "validation",
        "images": len(task.splits.validation.labels),
        "model": MODEL,
        "model_sha256": _sha256(task.saved.model_file),
    }


def _temperature(
    task: EvaluationTask, validation: Outputs | None
) -> tuple[float, str, dict[str, Any] | None]:
    """The temperature, a description of its origin, and `temperature.json` if it is fitted now."""
    # Of an ensemble of folds, each image to validate on was trained on by most members.
    if validation is None or task.saved.config.train.folds is not None:
        return task.saved.temperature, task.saved.calibration.source, None
    labels = task.splits.validation.labels
    found = calibration.fit_temperature(validation.logits, labels)
    source = f"fitted on the {len(labels):,} images of the validation split"
    contents = {
        "temperature": found.value,
        "note": found.note,
        "method": "minimum negative log-likelihood (Guo et al. 2017)",
        "loss": found.loss,
        "loss_calibrated": found.calibrated_loss,
        "cross_validated_gain": found.gain,
        "cross_validated_gain_error": found.gain_error,
        "fitted_on": _fitted_on(task),
    }
    return found.value, found.note or source, contents


def _flip_metrics(
    split: Split, classifier: Classifier, logits: np.ndarray, temperature: float
) -> dict[str, Any]:
    images: Any = tta.MirroredImages(split.images)
    mirrored = classifier.logits(Split(images, split.labels), "mirrored")
    return tta.flip_metrics(logits, mirrored, split.labels, temperature)


def _metadata(task: EvaluationTask) -> dict[str, Any]:
    """The run, the data, the model, the device and the time."""
    saved, data = task.saved, task.config.data
    return {
        "run": saved.path.name,
        "evaluated_at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "classes": len(saved.class_names),
        "class_names": saved.class_names,
        "data": {
            "name": data.name,
            "path": data.path,
            "split": task.split,
            "fingerprint": task.fingerprint,
            "is_the_runs_own": task.is_training_data,
            "note": task.note,
            "images_trained_on": task.trained_on,
        },
        "model": {
            "file": MODEL,
            "sha256": _sha256(saved.model_file),
            "params": freezing.count_params(saved.model),
            "image_size": list(saved.model.input_shape[1:3]),
        },
        "device": ", ".join(backend.devices()),
        "versions": environment.versions(),
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _log_summary(folder: Path, report: dict[str, Any]) -> None:
    for line in _summary(report):
        log.info("%s", line)
    if report["data"]["note"]:
        log.warning("WARNING: %s", report["data"]["note"])
    log.info("report: %s\nevaluation: %s", folder / artifacts.REPORT, folder)


def _summary(report: dict[str, Any]) -> Iterator[str]:
    if report.get("task") == MULTILABEL:
        yield multilabel.describe(report)
        yield f"thresholds: {report['thresholds_from']}"
        return
    low, high = report["accuracy_interval"]
    top5, speed = report["top5_accuracy"], report["images_per_second"]
    test = "test " if report["data"]["split"] == TEST else ""
    few = ": too few images to tell" if report["images"] < FEW_IMAGES else ""
    yield (
        f"accuracy {report['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}, Wilson{few})"
        f"{class_text(report)}"
        f"{'' if top5 is None else f', top-5 {top5:.4f}'}, loss {report['loss']:.4f}, "
        f"on {counted(report['images'], f'{test}image[s]')} of {report['data']['name']}"
    )
    if flipped := tta.describe(report):
        yield flipped
    yield calibration.describe(report["calibration"])
    yield from abstention.describe(report["abstention"])
    scores = report["robustness"]
    means = ", ".join(f"{name} {mean:.4f}" for name, mean in scores["means"].items())
    yield (
        f"accuracy on corrupted images: {means} (means of three severities, on "
        f"{counted(scores['images'], 'image[s]')}; {scores['clean']:.4f} without corruption)"
    )
    for row in report["sizes"]:
        side, width = row["image_size"], row["image_width"]
        shown = side if side == width else f"{side}x{width}"
        yield f"at {shown} pixels: accuracy {row['accuracy']:.4f}"
    if speed is not None:
        yield f"speed: {speed:.0f} images/s"
