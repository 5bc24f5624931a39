"""Metrics of a split: accuracy with its confidence interval, loss, and metrics of each class.

n images, K classes. The values are scikit-learn's and SciPy's. A metric that is undefined is None:
top-5 accuracy of five classes, precision of a class that was never predicted. Nothing here imports
Keras.

scikit-learn is imported where it is used: pages that show a report do not wait for it.
"""

import math
from typing import Any

import numpy as np

from vit_keras.evaluation import calibration
from vit_keras.evaluation.calibration import Bin
from vit_keras.runs.accuracy import class_scores, wilson_interval

TOP = 5
MAX_PAIRS = 10  # most confused pairs of classes


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """(n, K) and (n,) -> the top-1 accuracy."""
    from sklearn import metrics

    return float(metrics.accuracy_score(labels, logits.argmax(axis=-1)))


def overall_metrics(
    logits: np.ndarray, labels: np.ndarray, class_names: list[str]
) -> dict[str, Any]:
    """(n, K) and (n,) -> the metrics of the split as a whole."""
    from sklearn import metrics

    images, classes = logits.shape
    predicted = logits.argmax(axis=-1)
    hits = int(metrics.accuracy_score(labels, predicted, normalize=False))
    scores: dict[str, Any] = {
        "images": images,
        "accuracy": hits / images,
        "accuracy_interval": wilson_interval(hits, images),
        "top5_accuracy": None,
        "top5_interval": None,
        "loss": calibration.negative_log_likelihood(logits, labels),
        "macro_f1": _none_if_nan(
            metrics.f1_score(
                labels, predicted, labels=range(classes), average="macro", zero_division=np.nan
            )
        ),
        **class_scores(
            np.bincount(labels[predicted == labels], minlength=classes).tolist(),
            np.bincount(labels, minlength=classes).tolist(),
            class_names,
        ),
    }
    if classes > TOP:
        hits = round(
            metrics.top_k_accuracy_score(
                labels, logits, k=TOP, labels=range(classes), normalize=False
            )
        )
        scores["top5_accuracy"] = hits / images
        scores["top5_interval"] = wilson_interval(hits, images)
    return scores


def per_class_metrics(
    labels: np.ndarray, predicted: np.ndarray, class_names: list[str]
) -> list[dict[str, Any]]:
    """(n,) and (n,) -> number of images, precision, recall and F1 of each class.

    Recall has its 95% interval, as `recall_low` and `recall_high`; None for a class without images.
    """
    from sklearn import metrics

    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(len(class_names)), zero_division=np.nan
    )
    return [
        {
            "class": name,
            "images": int(images),
            "precision": _none_if_nan(precision),
            "recall": _none_if_nan(recall),
            "f1": _none_if_nan(f1),
            **_recall_interval(recall, int(images)),
        }
        for name, precision, recall, f1, images in zip(class_names, *columns, strict=True)
    ]


def _recall_interval(recall: float, images: int) -> dict[str, float | None]:
    if not images:
        return {"recall_low": None, "recall_high": None}
    low, high = wilson_interval(round(recall * images), images)
    return {"recall_low": low, "recall_high": high}


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(n,) and (n,) -> (K, K): number of images by class (row) and predicted class (column)."""
    from sklearn import metrics

    return metrics.confusion_matrix(labels, predicted, labels=range(classes))


def confused_pairs(matrix: np.ndarray, class_names: list[str]) -> list[dict[str, Any]]:
    """A confusion matrix (K, K) -> the most frequent errors, as pairs of classes."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    largest = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRS]
    rows, columns = np.unravel_index(largest, matrix.shape)
    return [
        {
            "class": class_names[row],
            "predicted": class_names[column],
            "images": int(wrong[row, column]),
            "share": float(wrong[row, column] / matrix[row].sum()),
        }
        for row, column in zip(rows, columns, strict=True)
        if wrong[row, column]
    ]


def calibration_metrics(
    logits: np.ndarray, labels: np.ndarray, temperature: float
) -> tuple[dict[str, Any], dict[str, list[Bin]]]:
    """(n, K) and (n,) -> calibration errors and loss, and the bins "before" and "after" scaling."""
    is_correct = logits.argmax(axis=-1) == labels
    bins = {
        name: calibration.reliability_bins(calibration.confidences(logits, value), is_correct)
        for name, value in {"before": 1.0, "after": temperature}.items()
    }
    scores = {
        "bins": calibration.BINS,
        "temperature": temperature,
        "ece": calibration.expected_calibration_error(bins["before"]),
        "ece_calibrated": calibration.expected_calibration_error(bins["after"]),
        "loss_calibrated": calibration.negative_log_likelihood(logits, labels, temperature),
    }
    return scores, bins


def most_confident_errors(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """(n, K) and (n,) -> indices of the misclassified images, by descending confidence."""
    wrong = np.flatnonzero(logits.argmax(axis=-1) != labels)
    confidence = calibration.confidences(logits[wrong], temperature)
    return wrong[np.argsort(-confidence, kind="stable")]


def _none_if_nan(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
