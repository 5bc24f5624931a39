"""Calibrate and measure abstention: conformal sets of classes, and a distance on features.

What is fitted here is kept and applied by `vit_keras.runs.abstention`. Nothing here imports Keras.

n images, K classes, D width of the features.

scikit-learn is imported where it is used: pages that show a report do not wait for it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from vit_keras.runs.abstention import (
    COVERAGES,
    OOD_QUANTILE,
    Abstention,
    images_needed,
    unit_length,
)
from vit_keras.runs.accuracy import FRACTION, Form
from vit_keras.text import counted

if TYPE_CHECKING:
    from vit_keras.evaluation.logits import Outputs

# Share of the training images of a class that are nearer than the one whose distance is the score:
# 20 of 2,000 images of ten classes.
NEIGHBOURS = 0.1
ACCEPTED = 0.95  # share of the run's own images that FPR95 is measured at


def fit(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation: "Outputs",
    labels: np.ndarray,
    temperature: float,
) -> Abstention:
    """Features (n, D) and labels (n,) of training images, and validation -> what to abstain by.

    Args:
        train_features: of the images that are kept.
        train_labels: their classes.
        validation: outputs for the images that the thresholds are of.
        labels: their classes.
        temperature: that divides the logits.
    """
    bank = unit_length(train_features).astype("float32")
    rank = max(1, round(NEIGHBOURS * len(bank) / len(np.unique(train_labels))))
    errors = np.sort(nonconformity(validation.logits, labels, temperature))
    unscored = Abstention(temperature, errors, np.empty(0), bank, rank)
    scores = np.sort(unscored.distances(validation.features))
    return replace(unscored, ood_scores=scores)


def nonconformity(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """(n, K) and (n,) -> (n,): 1 - the calibrated probability of the true class."""
    return 1 - probabilities(logits, temperature)[np.arange(len(labels)), labels]


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """(n, K) -> (n, K), calibrated, float64."""
    return softmax(logits.astype("float64") / temperature, axis=-1)


def report_part(
    found: Abstention | None, note: str, test: "Outputs", labels: np.ndarray
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "note": note,
        "validation_images": found.images if found else None,
        "ood_quantile": OOD_QUANTILE,
        "outliers": None,
        "coverages": [],
        "other_data": None,
    }
    if found is None:
        return report
    likely, scores = probabilities(test.logits, found.temperature), found.distances(test.features)
    is_right, count = likely.argmax(axis=-1) == labels, len(labels)
    for coverage in (one for one in COVERAGES if images_needed(one) <= found.images):
        decided = found.decide(likely, scores, coverage)
        answered = ~decided.abstain
        report["outliers"] = float(decided.outliers.mean())
        report["coverages"].append(
            {
                "coverage": coverage,
                "observed": float(decided.sets[np.arange(count), labels].mean()),
                "set_size": float(decided.sets.sum(axis=-1).mean()),
                "abstained": float(decided.abstain.mean()),
                "answered": int(answered.sum()),
                "accuracy": float(is_right[answered].mean()) if answered.any() else None,
            }
        )
    return report


def other_metrics(found: Abstention, test: "Outputs", other: "Outputs") -> dict[str, Any]:
    """How well the OOD score tells other images from the test images, and what is decided."""
    own, others = found.distances(test.features), found.distances(other.features)
    decided = found.decide(probabilities(other.logits, found.temperature), others, COVERAGES[1])
    return {
        "images": len(others),
        "auroc": auroc(own, others),
        "fpr95": fpr_at_95(own, others),
        "coverage": COVERAGES[1],
        "outliers": float(decided.outliers.mean()),
        "abstained": float(decided.abstain.mean()),
    }


def auroc(own: np.ndarray, others: np.ndarray) -> float:
    """Scores (n,) and (m,) -> the probability that another image has a higher score than an own."""
    from sklearn import metrics

    is_other = np.repeat([False, True], [len(own), len(others)])
    return float(metrics.roc_auc_score(is_other, np.concatenate([own, others])))


def fpr_at_95(own: np.ndarray, others: np.ndarray) -> float:
    """Scores (n,) and (m,) -> FPR95: the share of others that is accepted with 95% of the own."""
    from sklearn import metrics

    is_own = np.repeat([True, False], [len(own), len(others)])
    accepted_others, accepted, _ = metrics.roc_curve(
        is_own, -np.concatenate([own, others]), drop_intermediate=False
    )
    return float(accepted_others[np.argmax(accepted >= ACCEPTED)])


def describe(scores: dict[str, Any] | None, form: Form = FRACTION) -> list[str]:
    """Lines about the part `abstention` of a report, the accuracies in that form.

    None for reports of earlier versions.
    """
    if scores is None:
        return []
    if scores["note"]:
        return [f"abstention is not calibrated, as {scores['note']}"]
    lines = [
        f"at coverage {row['coverage']:g}: {form(row['observed'])} observed, "
        f"{row['set_size']:.2f} classes on average, {row['abstained']:.1%} abstained"
        + ("" if row["accuracy"] is None else f", accuracy of the rest {form(row['accuracy'])}")
        for row in scores["coverages"]
    ]
    if other := scores["other_data"]:
        lines.append(
            f"against {counted(other['images'], 'image[s]')} of {other['source']}: AUROC "
            f"{other['auroc']:.4f}, FPR95 {other['fpr95']:.4f}, {other['abstained']:.1%} abstained "
            f"at coverage {other['coverage']:g}"
        )
    return lines
