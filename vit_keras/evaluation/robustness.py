"""A run's model where it was not trained for: on corrupted images, and on images of other sizes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras.data.dataset import Split
from vit_keras.data.splits import stratified_sample
from vit_keras.evaluation import corruptions, metrics
from vit_keras.evaluation.calibration import loss
from vit_keras.evaluation.logits import Classifier
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.model import architecture
from vit_keras.pretrained.load import load_pretrained


def draw_sample(split: Split, count: int, seed: int) -> Split:
    """So many images, each class in its share; all, if there are not more."""
    if count >= len(split.labels):
        return split
    return split.take(stratified_sample(split.labels, count, np.random.default_rng([seed, 2])))


def evaluate_corrupted(split: Split, classify: Classifier, seed: int) -> dict[str, Any]:
    """Accuracy on the images as they are, and by each corruption in each strength."""
    images, labels = split
    rows = []
    for kind, of_kind in corruptions.KINDS.items():
        amounts = corruptions.amounts(kind, images.shape)
        for strength, amount in zip(corruptions.STRENGTHS, amounts, strict=True):
            worse: Any = corruptions.Corrupted(images, kind, amount, seed)
            logits = classify.logits(Split(worse, labels), f"{kind} {strength}")
            rows.append(
                {
                    "corruption": kind,
                    "means": of_kind.means,
                    "strength": strength,
                    "amount": amount,
                    "accuracy": metrics.accuracy(logits, labels),
                }
            )
    clean = metrics.accuracy(classify.logits(split, "as it is"), labels)
    means = {
        kind: float(np.mean([row["accuracy"] for row in rows if row["corruption"] == kind]))
        for kind in corruptions.KINDS
    }
    return {"images": len(labels), "clean": clean, "means": means, "corruptions": rows}


def passes() -> int:
    """How often `corrupted` runs through its images."""
    return 1 + len(corruptions.KINDS) * len(corruptions.STRENGTHS)


def evaluate_at_sizes(
    chosen: EvaluationTask, sizes: Sequence[int], own: np.ndarray, patch_size: int, bar: tqdm
) -> list[dict[str, Any]]:
    """The test split at each size by the same weights; `own` are the logits (n, K) at the run's."""
    vit, config = chosen.saved.model, chosen.config
    height, width = vit.input_shape[1:3]
    logits = {height: own} if height == width else {}
    for side in sizes:
        if side not in logits:
            model = load_pretrained(str(chosen.saved.path), image_size=side)
            # Larger images take more memory, of which training had as much as its batch needed.
            share = min(1.0, height * width / side**2)
            batch = max(1, int(share * config.train.batch_size))
            classify = Classifier(model, batch, config.data.prefetch, bar)
            logits[side] = classify.logits(chosen.test_at(side), f"{side} pixels")
    return [
        _row(side, logits[side], chosen.splits.test.labels, patch_size) for side in sorted(logits)
    ]


def _row(side: int, logits: np.ndarray, labels: np.ndarray, patch_size: int) -> dict[str, Any]:
    hits = int((logits.argmax(axis=-1) == labels).sum())
    rows, columns = architecture.grid((side, side), patch_size)
    return {
        "image_size": side,
        "patches": rows * columns,
        "accuracy": hits / len(labels),
        "accuracy_interval": metrics.wilson(hits, len(labels)),
        "loss": loss(logits, labels),
    }
