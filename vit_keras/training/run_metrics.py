"""The content of a run's `metrics.json`, and its test scores in a line."""

from typing import Any

import keras
import numpy as np

from vit_keras import peak_memory
from vit_keras.data.dataset import Splits
from vit_keras.runs import accuracy, run_end
from vit_keras.text import counted
from vit_keras.training import freezing
from vit_keras.training.callbacks import stopping
from vit_keras.training.callbacks.history import HistoryLogger
from vit_keras.training.class_scores import ClassScores
from vit_keras.training.plan import TrainingPlan


def run_metrics(
    scores: dict[str, float],
    by_class: ClassScores | None,
    history: HistoryLogger,
    plan: TrainingPlan,
    splits: Splits,
    vit: keras.Model,
) -> dict[str, Any]:
    """The content of `metrics.json`.

    Args:
        scores: on the test split, by Keras' names.
        by_class: on the test split; None where images have several labels.
        history: of the finished run.
        plan: of the run.
        splits: of the data.
        vit: the model that is saved.
    """
    return {**_metrics(scores, history, plan, vit), **_trust(scores, by_class, splits)}


def _metrics(
    scores: dict[str, float], history: HistoryLogger, plan: TrainingPlan, vit: keras.Model
) -> dict[str, Any]:
    """Test scores, the best epoch, size, speed and memory."""
    rows, best, monitor = history.rows, history.best_epoch, history.monitor
    reason, _ = stopping.end_of(plan, history)
    # The first epoch includes compilation; it counts only where it is the only one.
    speeds = [row["images_per_second"] for row in rows[1:] or rows]
    peaks = peak_memory.in_mb()
    return {
        "test_accuracy": scores["accuracy"],
        "test_loss": scores["loss"],
        "best_val_accuracy": rows[best - 1]["val_accuracy"],
        f"best_{monitor}": rows[best - 1][monitor],
        "best_epoch": best,
        "epochs": len(rows),
        "ended_by": "last epoch" if reason == run_end.FINISHED else reason,
        "params": freezing.count_params(vit),
        "images_per_second": float(np.median(speeds)),
        "train_seconds": round(sum(row["seconds"] for row in rows), 1),
        "total_seconds": round(history.total_seconds, 1),
        "peak_memory_mb": peaks["host"],
        "peak_gpu_memory_mb": peaks.get("gpu"),
    }


def _trust(
    scores: dict[str, float], by_class: ClassScores | None, splits: Splits
) -> dict[str, Any]:
    """How far the accuracies can be trusted, by the test images of each class and the hits.

    Where images have several labels: the mean average precision, beside which accuracies say
    little.
    """
    if by_class is None:
        return {
            "validation_images": len(splits.validation.labels),
            "test_images": len(splits.test.labels),
            "test_map": scores["map"],
        }
    hits, images, predicted = by_class.counts()
    of_classes = accuracy.class_scores(hits, images, splits.class_names)
    return {
        "validation_images": len(splits.validation.labels),
        "test_images": sum(images),
        "test_accuracy_interval": accuracy.wilson_interval(sum(hits), sum(images)),
        **{f"test_{name}": value for name, value in of_classes.items()},
        "test_macro_f1": accuracy.macro_f1(hits, images, predicted),
    }


def scores_text(metrics: dict[str, Any]) -> str:
    """The test scores of `metrics.json` in a line."""
    if "test_map" in metrics:
        return (
            f"test mAP {metrics['test_map']:.4f} on {counted(metrics['test_images'], 'image[s]')}, "
            f"{metrics['test_accuracy']:.4f} of all labels right at a threshold of 1/2 (loss "
            f"{metrics['test_loss']:.4f})"
        )
    interval = accuracy.interval_text(metrics["test_accuracy_interval"], metrics["test_images"])
    by_class = accuracy.class_text(metrics, "test_")
    return (
        f"test accuracy {metrics['test_accuracy']:.4f} ({interval}; loss "
        f"{metrics['test_loss']:.4f}){by_class}"
    )
