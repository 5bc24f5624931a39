"""How far an accuracy can be trusted: its interval, unequal classes, and too few images.

Imports no Keras and no SciPy: runs are listed by it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vit_keras.text import counted, one_line

FEW_IMAGES = 30  # with fewer, the 95% interval of an accuracy is 25 points wide and more
# Classes are unequal if the largest has more than this many times the images of the smallest.
UNEQUAL = 2
Form = Callable[[float], str]  # how a share is written
FRACTION: Form = "{:.4f}".format
Z = 1.959963984540054  # of a 95% interval: the 97.5th percentile of the normal distribution


def wilson_interval(hits: int, images: int) -> list[float]:
    """The 95% confidence interval of a proportion: Wilson's score interval (1927).

    It stays within 0 and 1, and is valid for few images and for accuracies near 1. Written as
    method 3 of Newcombe 1998, "Two-sided confidence intervals for the single proportion".
    """
    if not images:
        return [0.0, 1.0]
    middle = (2 * hits + Z**2) / (2 * (images + Z**2))
    half = Z * math.sqrt(Z**2 + 4 * hits * (1 - hits / images)) / (2 * (images + Z**2))
    return [max(0.0, middle - half), min(1.0, middle + half)]


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> list[float]:
    """The 95% confidence interval of the difference of two proportions, (hits, images) each.

    Method 10 of Newcombe 1998, "Interval estimation for the difference between independent
    proportions". Of accuracies on the same images it is rather too wide.
    """
    p, q = first[0] / first[1], second[0] / second[1]
    (p_low, p_high), (q_low, q_high) = wilson_interval(*first), wilson_interval(*second)
    return [
        p - q - math.hypot(p - p_low, q_high - q),
        p - q + math.hypot(p_high - p, q - q_low),
    ]


def interval_text(interval: Sequence[float], images: int) -> str:
    """The interval and the number of images, with a word if they are too few."""
    text = f"95% interval {interval[0]:.4f} to {interval[1]:.4f} on {counted(images, 'image[s]')}"
    return f"{text}, too few to tell" if images < FEW_IMAGES else text


def class_scores(
    hits: Sequence[int], images: Sequence[int], class_names: Sequence[str]
) -> dict[str, Any]:
    """What accuracy hides where classes are unequal: scores of the classes that have images.

    Args:
        hits: correctly classified images of each class.
        images: all images of each class; at least one of them is not 0.
        class_names: of the classes.

    Returns:
        balanced accuracy (the mean recall), the class of the lowest recall, and how many times the
        images of the smallest class the largest has.
    """
    present = [label for label, count in enumerate(images) if count]
    recalls = {label: hits[label] / images[label] for label in present}
    worst = min(present, key=lambda label: (recalls[label], -images[label]))
    counts = [int(images[label]) for label in present]
    return {
        "balanced_accuracy": float(sum(recalls.values()) / len(present)),
        "class_imbalance": round(max(counts) / min(counts), 2),
        "worst_class": class_names[worst],
        "worst_class_images": int(images[worst]),
        "worst_class_recall": float(recalls[worst]),
    }


def macro_f1(hits: Sequence[int], images: Sequence[int], predicted: Sequence[int]) -> float:
    """The mean F1 score of the classes that have images or are predicted, by counts of each."""
    scores = [2 * h / (i + p) for h, i, p in zip(hits, images, predicted, strict=True) if i + p > 0]
    return sum(scores) / len(scores)


def class_text(scores: Mapping[str, Any], prefix: str = "", form: Form = FRACTION) -> str:
    """`, balanced accuracy ..., worst class ...` where classes are unequal; else nothing.

    Args:
        scores: with the keys of `class_scores`, or without in an earlier version's.
        prefix: of those keys.
        form: of the scores.
    """
    if scores.get(f"{prefix}class_imbalance", 1) <= UNEQUAL:
        return ""
    f1 = scores.get(f"{prefix}macro_f1")
    images, recall = (scores[f"{prefix}worst_class_{name}"] for name in ("images", "recall"))
    return (
        f", balanced accuracy {form(scores[f'{prefix}balanced_accuracy'])}"
        f"{'' if f1 is None else f', macro F1 {form(f1)}'}, worst class "
        f"{one_line(scores[f'{prefix}worst_class'])} {form(recall)} ({round(recall * images)} of "
        f"{images})"
    )


def folds_text(metrics: Mapping[str, Any], form: Form = FRACTION) -> str:
    """The mean accuracies of the folds of an ensemble with their intervals, by its metrics."""

    def mean(name: str) -> str:
        half = metrics[f"{name}_interval"][1] - metrics[name]
        return f"{form(metrics[name])} ± {form(half)}"

    return (
        f"{metrics['folds']} folds: validation accuracy {mean('best_val_accuracy')}, test accuracy "
        f"{mean('mean_fold_test_accuracy')} (mean and 95% interval, Student's t)"
    )


def small_splits(counts: Mapping[str, int]) -> list[str]:
    """Warnings of splits that have too few images for what they are there for."""
    purposes = {
        "validation": "choose the best epoch by; raise data.validation_fraction, or add images",
        "test": "tell how good the model is; add images",
    }
    return [
        f"the {name} split has {counted(counts[name], 'image[s]')}, too few to {purpose}"
        for name, purpose in purposes.items()
        if counts[name] < FEW_IMAGES
    ]
