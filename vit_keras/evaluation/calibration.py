"""Calibration: expected calibration error, reliability diagrams and temperature scaling.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Letters: n images, K classes. Nothing
here imports Keras.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from vit_keras.runs.temperature import MIN_IMAGES
from vit_keras.text import counted

BINS = 15  # as in the paper
# Of trained networks it is between 0.5 and 3, as a rule. Beyond this range the fit follows a few
# images, or the model is broken.
TEMPERATURE_BOUNDS = (0.2, 5.0)
FOLDS = 5
MAX_CROSS_VALIDATED = 5000  # images, as many as the paper fits on; more would take long


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
    gain: float | None = None  # by how much it lowers the loss of images that it was not fitted on
    gain_error: float | None = None  # standard error of the gain


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
    return float(_losses(logits, labels, temperature).mean())


def _losses(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(n, K) and (n,) -> (n,): the negative log-likelihood of each image."""
    scores = log_softmax(logits.astype("float64") / temperature, axis=-1)
    return -scores[np.arange(len(labels)), labels]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """(n, K) and (n,) -> the temperature that minimises the NLL; section 4.2 of the paper.

    It stays 1 unless it lowers the NLL of images that it was not fitted on by more than the
    standard error of that gain (the one-standard-error rule of Breiman et al. 1984).
    """
    loss = negative_log_likelihood(logits, labels)
    if reason := _why_it_cannot_be_fitted(logits, labels):
        return Temperature(1.0, loss, loss, f"left at 1, as {reason}")
    gain, error = cross_validated_gain(logits, labels)
    if gain <= error:
        note = (
            f"left at 1, as another does not reliably improve the {len(labels):,} validation "
            f"images ({FOLDS}-fold cross-validation: {gain:.4f} ± {error:.4f} nats)"
        )
        return Temperature(1.0, loss, loss, note, gain, error)
    value = _best_temperature(logits, labels)
    return Temperature(value, loss, negative_log_likelihood(logits, labels, value), "", gain, error)


def _why_it_cannot_be_fitted(logits: np.ndarray, labels: np.ndarray) -> str:
    label_logits = logits[np.arange(len(labels)), labels]
    # The NLL is convex in 1 / T. It has no minimum if every image is classified correctly (it
    # decreases towards T = 0), or if the logits of the labels are below average (towards infinity).
    if (label_logits == logits.max(axis=-1)).all():
        return "every validation image is right"
    if (label_logits - logits.mean(axis=-1)).mean() <= 0:
        return "the model is worse than a guess"
    if len(labels) < MIN_IMAGES:
        few = "validation image[s] [is|are] too few"
        return f"{counted(len(labels), few)} to fit it, which takes {MIN_IMAGES}"
    return ""


def cross_validated_gain(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(n, K) and (n,) -> the gain in NLL by temperatures of the other folds, and its error."""
    chosen = np.random.default_rng(0).permutation(len(labels))[:MAX_CROSS_VALIDATED]
    logits, labels, fold = logits[chosen], labels[chosen], np.arange(len(chosen)) % FOLDS
    gains = np.empty(len(chosen))
    for number in range(FOLDS):
        held_out = fold == number
        value = _best_temperature(logits[~held_out], labels[~held_out])
        before = _losses(logits[held_out], labels[held_out])
        gains[held_out] = before - _losses(logits[held_out], labels[held_out], value)
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def _best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the lowest NLL within `TEMPERATURE_BOUNDS`."""
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=np.log(TEMPERATURE_BOUNDS),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def describe(scores: dict[str, Any]) -> str:
    """A line about the part `calibration` of a report."""
    error = f"expected calibration error {scores['ece']:.4f}"
    if scores["temperature"] == 1:
        return f"{error}; the temperature was {scores['temperature_from']}"
    return (
        f"{error}, {scores['ece_calibrated']:.4f} with temperature {scores['temperature']:.3f} "
        f"({scores['temperature_from']})"
    )
