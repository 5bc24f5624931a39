"""Temperatures fitted on few validation images of the released CIFAR-10 run do no harm."""

import numpy as np
import pytest

from helpers.paths import SAVED_MODELS
from vit_keras import open_run
from vit_keras.data.splits import load_splits
from vit_keras.evaluation import calibration

DRAWS = 20
MOST = 0.01  # by which the expected calibration error may be worse than without a temperature


@pytest.fixture(scope="module")
def outputs(tfds_dir):
    """Logits and labels of 2,000 validation and 5,000 test images."""
    pytest.importorskip("tensorflow_datasets")
    run = open_run(SAVED_MODELS / "cifar10_small")
    splits = load_splits(run.config.data, run.config.train.seed)
    parts = splits.validation.take(np.arange(2000)), splits.test.take(np.arange(5000))
    return [
        (run.model.predict(part.images, verbose=0, batch_size=256), part.labels) for part in parts
    ]


@pytest.mark.slow
@pytest.mark.parametrize("images", [pytest.param(6, marks=pytest.mark.exhaustive), 30, 100, 1000])
def test_a_temperature_never_makes_calibration_much_worse(images, outputs):
    (logits, labels), (test_logits, test_labels) = outputs
    before = error(test_logits, test_labels, 1.0)
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).choice(len(labels), images, replace=False)
        found = calibration.fit_temperature(logits[drawn], labels[drawn])
        assert error(test_logits, test_labels, found.value) <= before + MOST, (seed, found)


def error(logits, labels, temperature):
    is_right = logits.argmax(axis=-1) == labels
    confidence = calibration.confidences(logits, temperature)
    return calibration.expected_calibration_error(
        calibration.reliability_bins(confidence, is_right)
    )
