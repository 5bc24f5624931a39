"""Robustness of a run's model: accuracy on corrupted images, and on images of other sizes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras.data.dataset import Split
from vit_keras.data.stratify import stratified_sample
from vit_keras.evaluation import corruptions, metrics
from vit_keras.evaluation.calibration import negative_log_likelihood
from vit_keras.evaluation.logits import Classifier
from vit_keras.evaluation.preflight import size_of_height
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.model import architecture
from vit_keras.pretrained.load import load_pretrained

PASSES = 1 + len(corruptions.CORRUPTIONS) * len(corruptions.SEVERITIES)  # of `evaluate_corrupted`


def draw_sample(split: Split, count: int, seed: int) -> Split:
    """A stratified random sample of `count` images; the split itself if it has no more."""
    if count >= len(split.labels):
        return split
    return split.take(stratified_sample(split.labels, count, np.random.default_rng([seed, 2])))


def evaluate_corrupted(split: Split, classifier: Classifier, seed: int) -> dict[str, Any]:
    """Accuracy on the unchanged images, and for each corruption and severity."""
    images, labels = split
    rows = []
    for name, corruption in corruptions.CORRUPTIONS.items():
        amounts = corruptions.amounts(name, images.shape)
        for severity, amount in zip(corruptions.SEVERITIES, amounts, strict=True):
            corrupted: Any = corruptions.CorruptedImages(images, name, amount, seed)
            logits = classifier.logits(Split(corrupted, labels), f"{name} {severity}")
            rows.append(
                {
                    "corruption": name,
                    "means": corruption.unit,
                    "strength": severity,
                    "amount": amount,
                    "accuracy": metrics.accuracy(logits, labels),
                }
            )
    clean = metrics.accuracy(classifier.logits(split, "clean"), labels)
    means = {
        name: float(np.mean([row["accuracy"] for row in rows if row["corruption"] == name]))
        for name in corruptions.CORRUPTIONS
    }
    return {"images": len(labels), "clean": clean, "means": means, "corruptions": rows}


def evaluate_at_sizes(
    task: EvaluationTask,
    heights: Sequence[int],
    test_logits: np.ndarray,
    patch_size: int,
    bar: tqdm,
) -> list[dict[str, Any]]:
    """Metrics of the test split at each size with the same weights, by ascending size.

    Args:
        task: the run and its data.
        heights: of the images, in pixels; their proportion is that of the model's own.
        test_logits: (n, K) at the model's own size, which is included.
        patch_size: of the model.
        bar: progress in images.
    """
    vit, config = task.saved.model, task.config
    own = vit.input_shape[1:3]
    logits = {own: test_logits}
    for size in {size_of_height(height, own) for height in heights} - {own}:
        model = load_pretrained(str(task.saved.path), image_size=size)
        # Memory grows with the image: training used as much as its batch size needed.
        share = min(1.0, math.prod(own) / math.prod(size))
        batch_size = max(1, int(share * config.train.batch_size))
        classifier = Classifier(model, batch_size, config.data.prefetch, bar)
        logits[size] = classifier.logits(task.test_split_at(size), f"{size[0]} pixels")
    labels = task.splits.test.labels
    return [_row(size, logits[size], labels, patch_size) for size in sorted(logits)]


def _row(
    size: tuple[int, int], logits: np.ndarray, labels: np.ndarray, patch_size: int
) -> dict[str, Any]:
    hits = int((logits.argmax(axis=-1) == labels).sum())
    return {
        "image_size": size[0],  # the side of the square images of most models
        "image_width": size[1],
        "patches": math.prod(architecture.grid(size, patch_size)),
        "accuracy": hits / len(labels),
        "accuracy_interval": metrics.wilson_interval(hits, len(labels)),
        "loss": negative_log_likelihood(logits, labels),
    }
