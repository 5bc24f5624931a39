"""What a teacher says beyond the labels: its formula, and the warning where that is little."""

import numpy as np
import pytest

from helpers.paths import ROOT
from vit_keras import load_config
from vit_keras.config.stages import plan
from vit_keras.data.splits import load_splits
from vit_keras.training.teacher import load_teacher
from vit_keras.training.teacher_knowledge import beyond_labels, describe_knowledge

DIGITS = ROOT / "saved_models" / "digits"
T, K = 2.0, 4
LABELS = np.eye(K)[np.array([0, 1, 2, 3, 1])]


def smoothed(rate):
    return (1 - rate) * LABELS + rate / K


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_teacher_that_says_smoothed_labels_says_nothing_beyond_them(rate):
    """At any temperature, at which they are labels that are smoothed more."""
    logits = np.log(smoothed(rate))
    for temperature in (1.0, 2.0, 4.0):
        assert beyond_labels(logits, LABELS, temperature) < 1e-3


def test_a_teacher_that_says_the_opposite_says_what_labels_cannot():
    """It is as far from uniform labels, the nearest that there are, as from uniform ones."""
    logits = np.log(np.roll(smoothed(0.1), 1, axis=-1))
    assert beyond_labels(logits, LABELS, 1.0) == pytest.approx(1, rel=1e-4)


def test_the_share_is_that_of_its_formula():
    """One image of label 0, with q = (0.7, 0.2, 0.1, 0): the nearest smoothed label has ε K⁻¹ =
    0.1 for each other class, so KL(q || it) = 0.2 ln 2 - 0, and KL(q || 1/K) = ln 4 - H(q)."""
    q = np.array([[0.7, 0.2, 0.1, 1e-12]])
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1))
    expected = 0.2 * np.log(2) / (np.log(4) - entropy)
    assert beyond_labels(np.log(q), LABELS[:1], 1.0) == pytest.approx(expected, rel=1e-3)
    # Softened probabilities count: at T = 2 the logits are halved.
    assert beyond_labels(2 * np.log(q), LABELS[:1], 2.0) == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def splits():
    return load_splits(load_config("recipe=digits").data, 0, None)


def said(splits, teacher, *words, is_distilled=False):
    config = load_config("recipe=digits", f"train.teacher={DIGITS}", *words)
    return describe_knowledge(config, teacher, splits, plan(config)[0], is_distilled)


def share_in(line):
    return float(line.partition("%")[0].rpartition(" ")[2])


def test_a_teacher_that_has_learned_the_images_by_heart_is_warned_of(splits):
    """With the smoothed labels that it was trained on, or hard ones."""
    train = splits.train
    known = {
        image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)
    }

    def by_heart(images):
        images = np.asarray(images).astype("uint8")
        labels = np.eye(10)[[known[image.tobytes()] for image in images]]
        return np.log(0.9 * labels + 0.01)

    for words in ((), ("train.teacher_labels=hard",)):
        line, is_little = said(splits, by_heart, "augment=none", *words)
        assert is_little
        assert share_in(line) == 0
        assert line.startswith(f"train.teacher={DIGITS}: 0.0% of ")
        assert "(128 training images, augmented); use a teacher that was trained on other" in line


def test_a_teacher_says_more_of_images_that_are_mixed(splits):
    config = load_config("recipe=digits", f"train.teacher={DIGITS}")
    teacher = load_teacher(config, splits, "float32")
    plain, _ = said(splits, teacher, "augment=none")
    mixed, is_little = said(splits, teacher, "augment=none", "augment.mixup=0.8")
    assert share_in(mixed) > 2 * share_in(plain)
    assert not is_little
    assert "of what its probabilities say is not in smoothed labels (128 training" in mixed
    hard, _ = said(splits, teacher, "augment=none", is_distilled=True)
    assert "% of its hard labels are other than the images' own (128 training images" in hard
