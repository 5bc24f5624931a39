"""Calibration: expected calibration error, reliability diagrams and temperature scaling.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Letters: n images, K classes. Nothing
here imports Keras.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15  # as in the paper
TEMPERATURE_BOUNDS = (1e-2, 1e2)


class Bin(NamedTuple):
    """The images with a confidence in (low, high]; means are None for an empty bin."""

    low: float
    high: float
    images: int
    confidence: float | None  # mean
    accuracy: float | None


class Temperature(NamedTuple):
    """A fitted temperature, and the loss of the images it was fitted on, before and after."""

    value: float
    loss: float
    calibrated_loss: float
    note: str  # why it stayed 1; empty if it was fitted


def confidences(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(n, K) -> (n,): the probability of the predicted class."""
    return softmax(logits.astype("float64") / temperature, axis=-1).max(axis=-1)


def reliability_bins(confidence: np.ndarray, is_correct: np.ndarray, bins: int = BINS) -> list[Bin]:
    """(n,) and (n,) -> the bins of a reliability diagram, of equal width."""
    indices = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(indices, minlength=bins)
    confidence_sums = np.bincount(indices, weights=confidence, minlength=bins)
    correct_counts = np.bincount(indices, weights=is_correct, minlength=bins)
    return [
        Bin(
            low=m / bins,
            high=(m + 1) / bins,
            images=int(counts[m]),
            confidence=float(confidence_sums[m] / counts[m]) if counts[m] else None,
            accuracy=float(correct_counts[m] / counts[m]) if counts[m] else None,
        )
        for m in range(bins)
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """ECE = Σ |B| / n · |accuracy(B) - confidence(B)|, eq. 3."""
    total = sum(part.images for part in bins)
    gaps = (
        part.images * abs(part.accuracy - part.confidence)
        for part in bins
        if part.accuracy is not None and part.confidence is not None
    )
    return float(sum(gaps) / total)


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """(n, K) and (n,) -> the mean negative log-likelihood (NLL), in nats."""
    scores = log_softmax(logits.astype("float64") / temperature, axis=-1)
    return float(-scores[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """(n, K) and (n,) -> the temperature that minimises the NLL; section 4.2 of the paper."""
    loss = negative_log_likelihood(logits, labels)
    label_logits = logits[np.arange(len(labels)), labels]
    # The NLL is convex in 1 / T. It has no minimum if every image is classified correctly (it
    # decreases towards T = 0), or if the logits of the labels are below average (towards infinity).
    if (label_logits == logits.max(axis=-1)).all():
        return Temperature(1.0, loss, loss, "left at 1, as every validation image is right")
    if (label_logits - logits.mean(axis=-1)).mean() <= 0:
        return Temperature(1.0, loss, loss, "left at 1, as the model is worse than a guess")
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=np.log(TEMPERATURE_BOUNDS),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return Temperature(float(np.exp(found.x)), loss, float(found.fun), "")
