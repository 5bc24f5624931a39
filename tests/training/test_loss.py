"""The losses are those of the formulas, computed by NumPy."""

import numpy as np
import pytest
from scipy.special import log_softmax

from vit_keras.config.schema import LossConfig
from vit_keras.training.loss import build_loss

rng = np.random.default_rng(0)
LOGITS = rng.normal(0, 3, (6, 4)).astype("float32")
TARGETS = rng.dirichlet([1, 1, 1, 1], 6).astype("float32")  # soft, as MixUp makes them


@pytest.mark.parametrize(("name", "gamma"), [("cross_entropy", 0), ("focal", 0), ("focal", 1.5)])
def test_a_loss_is_that_of_its_formula(name, gamma):
    log_p = log_softmax(LOGITS, axis=-1)
    expected = -(TARGETS * (1 - np.exp(log_p)) ** gamma * log_p).sum(axis=-1).mean()
    loss = build_loss(LossConfig(name=name, gamma=gamma))
    assert float(loss(TARGETS, LOGITS)) == pytest.approx(expected, rel=1e-5)
