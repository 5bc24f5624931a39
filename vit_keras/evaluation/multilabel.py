"""Metrics and thresholds of several labels. The values are scikit-learn's; no Keras is imported.

n images, K classes. Labels are (n, K) of 0 and 1. A metric that is undefined is None: the average
precision of a label that no image has.

scikit-learn is imported where it is used: pages that show a report do not wait for it.
"""

from typing import Any

import numpy as np
from scipy.special import expit

from vit_keras.runs.accuracy import FRACTION, Form
from vit_keras.runs.thresholds import UNFITTED
from vit_keras.text import counted

MIN_POSITIVES = 10  # images with a label, to fit its threshold; with fewer, one of them decides it


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(n, K) -> (n, K): the probability of each label, by itself."""
    return expit(logits.astype("float64"))


def fit_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) and (n, K) -> the thresholds (K,) of the highest F1, and which of them were fitted.

    Lipton et al. 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure". A threshold is
    half way between two probabilities. It stays 1/2 for a label that fewer than `MIN_POSITIVES`
    images have, or that all of them have.
    """
    values = np.full(labels.shape[1], UNFITTED)
    positives = labels.sum(axis=0)
    is_fitted = (positives >= MIN_POSITIVES) & (positives < len(labels))
    for k in np.flatnonzero(is_fitted):
        values[k] = _best_threshold(probabilities[:, k], labels[:, k])
    return values, is_fitted


def _best_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    from sklearn import metrics

    precision, recall, found = metrics.precision_recall_curve(labels, probabilities)
    total = precision + recall
    f1 = 2 * precision * recall / np.where(total > 0, total, 1)
    best = found[f1[:-1].argmax()]
    below = probabilities[probabilities < best]
    # Other images with such a probability are as likely below it as above.
    return float((best + below.max()) / 2) if len(below) else float(best)


def mean_average_precision(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """(n, K) and (n, K) -> the mean of the average precision over the labels that images have."""
    from sklearn import metrics

    present = labels.any(axis=0)
    if not present.any():
        return None
    found = metrics.average_precision_score(labels[:, present], probabilities[:, present])
    return float(found)


def overall_metrics(
    logits: np.ndarray, labels: np.ndarray, thresholds: np.ndarray
) -> dict[str, Any]:
    """(n, K), (n, K) and (K,) -> the metrics of the split as a whole."""
    from sklearn import metrics

    scores = probabilities(logits)
    predicted = scores >= thresholds
    present = np.flatnonzero(labels.any(axis=0) | predicted.any(axis=0))
    return {
        "images": len(labels),
        "map": mean_average_precision(scores, labels),
        "micro_f1": _f1(labels, predicted, present, "micro"),
        "macro_f1": _f1(labels, predicted, present, "macro"),
        "hamming_loss": float(metrics.hamming_loss(labels, predicted)),
        "exact_match": float((labels == predicted).all(axis=1).mean()),
        "loss": float(_losses(logits, labels).mean()),
        "labels_per_image": float(labels.sum(axis=1).mean()),
        "predicted_per_image": float(predicted.sum(axis=1).mean()),
    }


def _f1(
    labels: np.ndarray, predicted: np.ndarray, present: np.ndarray, average: str
) -> float | None:
    from sklearn import metrics

    if not len(present):
        return None
    return float(metrics.f1_score(labels[:, present], predicted[:, present], average=average))


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, K) and (n, K) -> (n, K): the binary cross-entropy of each label, in nats."""
    return np.logaddexp(0, logits.astype("float64")) - labels * logits


def per_label_metrics(
    logits: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, class_names: list[str]
) -> list[dict[str, Any]]:
    """Of each label: the images that have it, average precision, and scores at its threshold."""
    scores = probabilities(logits)
    rows = []
    for k, name in enumerate(class_names):
        is_there, predicted = labels[:, k] > 0, scores[:, k] >= thresholds[k]
        hits, images, found = (is_there & predicted).sum(), is_there.sum(), predicted.sum()
        rows.append(
            {
                "class": name,
                "images": int(images),
                "predicted": int(found),
                "threshold": float(thresholds[k]),
                "average_precision": mean_average_precision(scores[:, [k]], labels[:, [k]]),
                "precision": _ratio(hits, found),
                "recall": _ratio(hits, images),
                "f1": _ratio(2 * hits, images + found),
            }
        )
    return rows


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def most_confident_errors(
    logits: np.ndarray, labels: np.ndarray, thresholds: np.ndarray
) -> list[tuple[int, int]]:
    """(image, label) of each label that is wrongly there or missing, by descending loss."""
    wrong = np.argwhere((probabilities(logits) >= thresholds) != (labels > 0))
    order = np.argsort(-_losses(logits, labels)[tuple(wrong.T)], kind="stable")
    return [(int(image), int(label)) for image, label in wrong[order]]


def describe(report: dict[str, Any], form: Form = FRACTION) -> str:
    """A line about a report, its scores in that form."""
    shown = {
        "mAP": "map",
        "micro F1": "micro_f1",
        "macro F1": "macro_f1",
        "Hamming loss": "hamming_loss",
    }
    scores = ", ".join(
        f"{name} {'-' if report[key] is None else form(report[key])}" for name, key in shown.items()
    )
    return (
        f"{scores}, all labels right of {report['exact_match']:.1%} of "
        f"{counted(report['images'], 'image[s]')} of {report['data']['name']}, loss "
        f"{report['loss']:.4f}"
    )
