"""What an evaluation fits on the validation split, and keeps with the run.

K classes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.evaluation import calibration, multilabel
from vit_keras.evaluation.logits import Classifier, Outputs
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.runs.abstention import ABSTENTION, Abstention, write_abstention
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.temperature import TEMPERATURE
from vit_keras.runs.thresholds import THRESHOLDS


@dataclass(frozen=True)
class Fitted:
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


def fit_thresholds(
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
        "model_sha256": sha256(task.saved.model_file),
    }


def fit_temperature(
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


def sha256(file: Path) -> str:
    """Of a model file, by which it is known what was fitted with it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
