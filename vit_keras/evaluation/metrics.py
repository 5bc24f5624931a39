"""How well logits tell classes apart: accuracy with its interval, loss, and scores by class.

n images, K classes. The scores are scikit-learn's and scipy's. What has no meaning is None: a top-5
accuracy of five classes, the precision of a class that was never predicted. Nothing here imports
Keras.
"""

import math
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn import metrics

from vit_keras.evaluation import calibration
from vit_keras.evaluation.calibration import Bin

TOP = 5
PAIRS = 10  # of classes that are most often taken for each other


def wilson(hits: int, images: int) -> list[float]:
    """The interval that a share lies in with 95%, of so many tries: Wilson's (1927) score interval.

    It stays within 0 and 1, and holds for few images and for accuracies near 1.
    """
    interval = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """(n, K) and (n,) -> the share of images whose largest logit is their class's."""
    return float(metrics.accuracy_score(labels, logits.argmax(axis=-1)))


def overall(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """(n, K) and (n,) -> the figures of the whole split."""
    images, classes = logits.shape
    predicted = logits.argmax(axis=-1)
    hits = int(metrics.accuracy_score(labels, predicted, normalize=False))
    scores: dict[str, Any] = {
        "images": images,
        "accuracy": hits / images,
        "accuracy_interval": wilson(hits, images),
        "top5_accuracy": None,
        "top5_interval": None,
        "loss": calibration.loss(logits, labels),
        "macro_f1": _number(
            metrics.f1_score(
                labels, predicted, labels=range(classes), average="macro", zero_division=np.nan
            )
        ),
    }
    if classes > TOP:
        hits = round(
            metrics.top_k_accuracy_score(
                labels, logits, k=TOP, labels=range(classes), normalize=False
            )
        )
        scores |= {"top5_accuracy": hits / images, "top5_interval": wilson(hits, images)}
    return scores


def per_class(
    labels: np.ndarray, predicted: np.ndarray, class_names: list[str]
) -> list[dict[str, Any]]:
    """(n,) and (n,) -> for each class its images, precision, recall and F1."""
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(len(class_names)), zero_division=np.nan
    )
    return [
        {
            "class": name,
            "images": int(images),
            "precision": _number(precision),
            "recall": _number(recall),
            "f1": _number(f1),
        }
        for name, precision, recall, f1, images in zip(class_names, *columns, strict=True)
    ]


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(n,) and (n,) -> (K, K): images of the row's class that were taken for the column's."""
    return metrics.confusion_matrix(labels, predicted, labels=range(classes))


def confused_pairs(matrix: np.ndarray, class_names: list[str]) -> list[dict[str, Any]]:
    """(K, K) -> the classes that were most often taken for another, those of most images first."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    places = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    rows, columns = np.unravel_index(places, matrix.shape)
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


def calibrated(
    logits: np.ndarray, labels: np.ndarray, temperature: float
) -> tuple[dict[str, Any], dict[str, list[Bin]]]:
    """(n, K) and (n,) -> calibration errors and losses, and the bins of both diagrams."""
    is_right = logits.argmax(axis=-1) == labels
    bins = {
        name: calibration.reliability(calibration.confidences(logits, value), is_right)
        for name, value in {"before": 1.0, "after": temperature}.items()
    }
    scores = {
        "bins": calibration.BINS,
        "temperature": temperature,
        "ece": calibration.calibration_error(bins["before"]),
        "ece_calibrated": calibration.calibration_error(bins["after"]),
        "loss_calibrated": calibration.loss(logits, labels, temperature),
    }
    return scores, bins


def most_confident_errors(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """(n, K) and (n,) -> the numbers of the images that were mistaken, the surest first."""
    wrong = np.flatnonzero(logits.argmax(axis=-1) != labels)
    confidence = calibration.confidences(logits[wrong], temperature)
    return wrong[np.argsort(-confidence, kind="stable")]


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
