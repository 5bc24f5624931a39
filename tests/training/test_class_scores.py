"""Balanced accuracy and macro F1 of the validation images are scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from vit_keras.runs import accuracy
from vit_keras.training.class_scores import BalancedAccuracy, MacroF1

CLASSES = 5
rng = np.random.default_rng(0)
LABELS = rng.choice([0, 0, 0, 1, 3], 50)  # none of 2 and 4
LOGITS = rng.normal(0, 1, (50, CLASSES)) + 2 * np.eye(CLASSES)[LABELS]
LOGITS[:, 4] -= 9  # never predicted either


@pytest.mark.parametrize("is_padded", [False, True])
def test_scores_in_batches_are_those_of_all_images(is_padded):
    balanced, macro_f1 = scores = BalancedAccuracy(CLASSES), MacroF1(CLASSES)
    for part in (slice(0, 30), slice(30, 50)):
        targets, logits, weights = np.eye(CLASSES)[LABELS[part]], LOGITS[part], None
        if is_padded:  # images of weight 0, as several devices add them
            targets, logits = (np.concatenate([part, part[:3]]) for part in (targets, logits))
            weights = np.arange(len(targets)) < len(targets) - 3
            weights = weights.astype("float32")
        for score in scores:
            score.update_state(targets, logits, weights)
    predicted = LOGITS.argmax(axis=-1)
    recalls = metrics.recall_score(LABELS, predicted, labels=[0, 1, 3], average="macro")
    f1 = metrics.f1_score(
        LABELS, predicted, labels=range(CLASSES), average="macro", zero_division=np.nan
    )
    assert float(balanced.result()) == pytest.approx(recalls)
    assert float(macro_f1.result()) == pytest.approx(f1)
    assert accuracy.macro_f1(*macro_f1.counts()) == pytest.approx(f1)
