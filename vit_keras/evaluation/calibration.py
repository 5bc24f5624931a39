"""Whether a confidence is worth its number: calibration errors, and the temperature against them.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Letters: n images, K classes. Nothing
here imports Keras.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15  # as in the paper
BOUNDS = (1e-2, 1e2)  # that a temperature is looked for in


class Bin(NamedTuple):
    """The images whose confidence is above `low` and at most `high`; None where there are none."""

    low: float
    high: float
    images: int
    confidence: float | None  # their mean
    accuracy: float | None


class Temperature(NamedTuple):
    """What logits are divided by, and what that does to the loss of those it was fitted on."""

    value: float
    loss: float
    calibrated_loss: float
    note: str  # why it was left at 1; empty if it was fitted


def confidences(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(n, K) -> (n,): the probability of the class that is predicted."""
    return softmax(logits.astype("float64") / temperature, axis=-1).max(axis=-1)


def reliability(confidence: np.ndarray, is_right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """(n,) and (n,) -> the bins of a reliability diagram, each as wide as any other."""
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (
        np.bincount(places, weights=values, minlength=bins) for values in (confidence, is_right)
    )
    rows = zip(counts, *sums, strict=True)
    return [
        Bin(m / bins, (m + 1) / bins, int(count), *(_share(total, count) for total in totals))
        for m, (count, *totals) in enumerate(rows)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error (ECE): Σ |B| / n · |accuracy(B) - confidence(B)|, eq. 3."""
    total = sum(part.images for part in bins)
    gaps = (
        part.images * abs(part.accuracy - part.confidence)
        for part in bins
        if part.accuracy is not None and part.confidence is not None
    )
    return float(sum(gaps) / total)


def loss(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """(n, K) and (n,) -> the mean negative log likelihood (NLL), in nats."""
    scores = log_softmax(logits.astype("float64") / temperature, axis=-1)
    return float(-scores[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """(n, K) and (n,) -> the temperature of least NLL; section 4.2 of the paper.

    NLL is convex in 1 / temperature, so it has one minimum, or none: where every image is right, it
    falls for ever towards 0; where the right logits are below the average of all, towards infinity.
    """
    rows, before = np.arange(len(labels)), loss(logits, labels)
    right = logits[rows, labels]
    if (right == logits.max(axis=-1)).all():
        return Temperature(1.0, before, before, "left at 1, as every validation image is right")
    if (right - logits.mean(axis=-1)).mean() <= 0:
        return Temperature(1.0, before, before, "left at 1, as the model is worse than a guess")
    found = minimize_scalar(
        lambda log_t: loss(logits, labels, float(np.exp(log_t))),
        bounds=np.log(BOUNDS),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return Temperature(float(np.exp(found.x)), before, float(found.fun), "")


def _share(total: float, count: int) -> float | None:
    return float(total / count) if count else None
