"""What a teacher says of the training images beyond their labels, and a warning where it is little.

A model that was trained on the same images knows most of them by heart, and with label smoothing
its probabilities are then those of the smoothed labels (Müller, Kornblith & Hinton 2019,
https://arxiv.org/abs/1906.02629): to learn from it is to learn the labels again.

Letters: B images, K classes.
"""

from typing import Any

import numpy as np
from keras import ops
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr, softmax

from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig, Config
from vit_keras.config.stages import Stage
from vit_keras.data.dataset import Splits
from vit_keras.training.teacher import Teacher
from vit_keras.training.teacher_checks import SETTING, teacher_labels

IMAGES = 128
LITTLE = 0.03  # cifar10_hour on its own training images: 0.015, in RandAugment's versions 0.17
REMEDY = (
    "use a teacher that was trained on other images, or change these more, such as by "
    "augment.policy, augment.mixup or augment.cutmix"
)


def beyond_labels(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    """The share of what softened probabilities say that no smoothing of the labels says, 0 to 1.

    min KL(q || (1 - ε) y + ε / K) over ε, divided by KL(q || 1 / K), both in the mean over images,
    of the probabilities q of the teacher at a temperature and the labels y.

    Args:
        logits: of the teacher, (B, K).
        targets: y, (B, K) of sum 1, mixed or not.
        temperature: of the probabilities.
    """
    q, classes = softmax(np.asarray(logits, "float64") / temperature, axis=-1), logits.shape[-1]

    def divergence(rate: float) -> float:  # convex
        return rel_entr(q, (1 - rate) * targets + rate / classes).sum(axis=-1).mean()

    nearest = minimize_scalar(divergence, bounds=(1e-6, 1), options={"xatol": 1e-5}).fun
    return float(nearest / max(divergence(1), 1e-12))


def describe_knowledge(
    config: Config, teacher: Teacher, splits: Splits, stage: Stage, is_distilled: bool
) -> tuple[str, bool]:
    """A line on what the teacher adds to the labels, and whether that is little.

    Of up to 128 training images, augmented as in `stage`.

    Args:
        config: of the run.
        teacher: its teacher.
        splits: its images.
        stage: its first.
        is_distilled: whether the model has a distillation token.
    """
    images, targets = _augmented(config, splits, stage)
    logits = ops.convert_to_numpy(teacher(images))
    if teacher_labels(config.train, is_distilled) == "hard":
        share = float((logits.argmax(axis=-1) != targets.argmax(axis=-1)).mean())
        line = f"{share:.1%} of its hard labels are other than the images' own"
    else:
        share = beyond_labels(logits, targets, config.train.teacher_temperature)
        line = f"{share:.1%} of what its probabilities say is not in smoothed labels"
    is_little = share < LITTLE
    line += f" ({len(logits)} training images, augmented)"
    return (f"{SETTING}={config.train.teacher}: {line}; {REMEDY}" if is_little else line), is_little


def _augmented(config: Config, splits: Splits, stage: Stage) -> tuple[Any, np.ndarray]:
    """Images (B, x, y, C) of 0 to 255, and their targets (B, K)."""
    count = len(splits.train.labels)
    chosen = np.random.default_rng(0).permutation(count)[:IMAGES]
    part = splits.train.take(np.sort(chosen))
    targets = ops.one_hot(part.labels, len(splits.class_names), dtype="float32")
    augmentation = config.augment if stage.augment else AugmentConfig()
    images = ops.cast(part.images[:], "float32")
    images, targets = augment(images, targets, augmentation, 0, images.shape[1:3])
    return images, ops.convert_to_numpy(targets)
