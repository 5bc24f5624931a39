"""Test-time augmentation by a horizontal flip: predictions of an image and its mirror image.

Calibrated probabilities are averaged, not logits, as `vit-keras predict --flip` does. Nothing here
imports Keras.

n images, K classes.
"""

from typing import Any

import numpy as np
from scipy.special import softmax

from vit_keras.evaluation import metrics
from vit_keras.runs.accuracy import FRACTION, Form, wilson_interval


class MirroredImages:
    """(n, X, Y, C), mirrored left to right when they are sliced."""

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.dtype = images, images.shape, images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.images[part][:, :, ::-1]


def flip_metrics(
    logits: np.ndarray, mirrored: np.ndarray, labels: np.ndarray, temperature: float
) -> dict[str, Any]:
    """Logits (n, K) of images and of their mirror images -> metrics of the averaged predictions."""
    views = [softmax(one.astype("float64") / temperature, axis=-1) for one in (logits, mirrored)]
    probabilities, count = (views[0] + views[1]) / 2, len(labels)
    hits = round(metrics.accuracy(probabilities, labels) * count)
    of_labels = np.maximum(probabilities[np.arange(count), labels], np.finfo("float64").tiny)
    return {
        "averaged": "probabilities",
        "accuracy": hits / count,
        "accuracy_interval": wilson_interval(hits, count),
        "loss": float(-np.log(of_labels).mean()),
    }


def describe(report: dict[str, Any], form: Form = FRACTION) -> str:
    """A line about the part `test_time_flip` of a report, its accuracy in that form.

    Empty if the report has none.
    """
    scores = report.get("test_time_flip")  # not in the reports of earlier versions
    if scores is None:
        return ""
    low, high = scores["accuracy_interval"]
    points = 100 * (scores["accuracy"] - report["accuracy"])
    return (
        f"with test-time flip (probabilities of each image and its mirror image averaged): "
        f"accuracy {form(scores['accuracy'])} (95% interval {form(low)} to {form(high)}), "
        f"{points:+.2f} points, loss {scores['loss']:.4f}"
    )
