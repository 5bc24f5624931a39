"""The losses are those of the formulas, computed by NumPy."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from vit_keras.config.schema import LossConfig
from vit_keras.training.loss import build_loss

rng = np.random.default_rng(0)
LOGITS = rng.normal(0, 3, (6, 4)).astype("float32")
TARGETS = rng.dirichlet([1, 1, 1, 1], 6).astype("float32")  # soft, as MixUp makes them


def test_the_losses_of_several_labels_are_those_of_their_formulas():
    targets, p = rng.random((6, 4)).round(1).astype("float32"), expit(LOGITS.astype("float64"))
    bce = -(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    right, low = targets * p + (1 - targets) * (1 - p), np.maximum(p - 0.05, 0)
    expected = {
        ("cross_entropy", 2): bce,
        ("focal", 1.5): (1 - right) ** 1.5 * bce,
        ("asymmetric", 4): -(targets * np.log(p) + (1 - targets) * low**4 * np.log(1 - low)),
    }
    for (name, gamma), losses in expected.items():
        loss = build_loss(LossConfig(name=name, gamma=gamma), is_multilabel=True)
        assert float(loss(targets, LOGITS)) == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize(("name", "gamma"), [("cross_entropy", 0), ("focal", 0), ("focal", 1.5)])
def test_a_loss_is_that_of_its_formula(name, gamma):
    log_p = log_softmax(LOGITS, axis=-1)
    expected = -(TARGETS * (1 - np.exp(log_p)) ** gamma * log_p).sum(axis=-1).mean()
    loss = build_loss(LossConfig(name=name, gamma=gamma))
    assert float(loss(TARGETS, LOGITS)) == pytest.approx(expected, rel=1e-5)
