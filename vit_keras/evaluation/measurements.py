"""The measurements of an evaluation: the contents of `evaluation.json`.

n images, K classes.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras import backend
from vit_keras.data.dataset import Split
from vit_keras.evaluation import abstention_pass, metrics, multilabel, robustness, tta
from vit_keras.evaluation.fitting import Fitted, fit_temperature, fit_thresholds, sha256
from vit_keras.evaluation.logits import Classifier, Outputs
from vit_keras.evaluation.other_images import OtherImages
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.runs.saved_run import MODEL
from vit_keras.training import environment, freezing


def measure(
    task: EvaluationTask,
    sizes: Sequence[int],
    images: int,
    patch_size: int,
    flip: bool,
    other: OtherImages | None,
) -> tuple[dict[str, Any], Outputs, Fitted]:
    """The report, the logits (n, K) with the features, and what was fitted."""
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
        temperature, source, contents = fit_temperature(task, validation)
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
    return report, outputs, Fitted(contents, rule)


def measure_labels(task: EvaluationTask) -> tuple[dict[str, Any], Outputs, Fitted]:
    """As `measure`, of a run with several labels."""
    saved, test = task.saved, task.splits.test
    validation = task.splits.validation if task.is_training_data else None
    total = len(test.labels) + (len(validation.labels) if validation else 0)
    with tqdm(total=total, unit=" images", delay=2, disable=None) as bar:
        classifier = Classifier(
            saved.model, task.config.train.batch_size, task.config.data.prefetch, bar
        )
        outputs = classifier.outputs(test, task.split)
        logits = outputs.logits
        speed = classifier.images_per_second
        found, fitted = saved.thresholds, None
        assert found is not None  # as the run has several labels
        thresholds, source = np.array(found.values), found.source
        if validation is not None:
            thresholds, fitted = fit_thresholds(task, classifier)
            source = f"fitted on {len(validation.labels):,} images of the validation split"
    report = {
        "task": saved.config.task,
        **_metadata(task),
        **multilabel.overall_metrics(logits, test.labels, thresholds),
        "images_per_second": speed,
        "thresholds": dict(zip(saved.class_names, thresholds.tolist(), strict=True)),
        "thresholds_from": source,
    }
    return report, outputs, Fitted(thresholds=fitted)


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
            "sha256": sha256(saved.model_file),
            "params": freezing.count_params(saved.model),
            "image_size": list(saved.model.input_shape[1:3]),
        },
        "device": ", ".join(backend.devices()),
        "versions": environment.versions(),
    }
