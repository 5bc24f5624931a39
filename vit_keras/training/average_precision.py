"""Metrics of several labels while Keras trains and validates: mean average precision, accuracy."""

import keras
import numpy as np
from keras import ops

# Logits are counted in bins whose width grows with them, from 0.0001 at 0 to 0.04 at the limit: the
# logits of a model that has hardly learned anything differ little.
BINS = 4096
LIMIT = 12.0
SCALE = 50.0


class MeanAveragePrecision(keras.metrics.Metric):
    """The mean over labels of the average precision, Σ (Rₙ - Rₙ₋₁) Pₙ, as scikit-learn has it.

    Scores are counted in bins, so that a batch adds to counts of a fixed size; scores in one bin
    are ties. Labels that no image has are left out.

    Args:
        classes: K.
    """

    def __init__(self, classes: int, name: str = "map") -> None:
        super().__init__(name=name, dtype="float32")
        self.classes = classes
        self.positives = self.add_variable((classes * BINS,), "zeros", name="positives")
        self.negatives = self.add_variable((classes * BINS,), "zeros", name="negatives")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Targets, of which those above 1/2 count as there, and logits, both (B, K)."""
        scores = ops.clip(ops.cast(y_pred, "float32"), -LIMIT, LIMIT)
        scores = ops.arcsinh(SCALE * scores) / np.arcsinh(SCALE * LIMIT).item()  # -1 to 1
        bins = ops.cast((1 - scores) * (BINS - 1) / 2, "int32")  # the highest first
        bins = ops.reshape(bins + ops.arange(self.classes, dtype="int32") * BINS, (-1,))
        is_there = ops.cast(ops.cast(y_true, "float32") > 0.5, "float32")
        counted = ops.ones_like(is_there)
        if sample_weight is not None:  # 0 of an image that fills up a batch
            counted = counted * ops.cast(ops.reshape(sample_weight, (-1, 1)) > 0, "float32")
        for counts, values in ((self.positives, is_there), (self.negatives, 1 - is_there)):
            values = ops.reshape(values * counted, (-1,))
            counts.assign_add(ops.segment_sum(values, bins, self.classes * BINS))

    def result(self):
        positives, negatives = (
            ops.reshape(counts, (self.classes, BINS)) for counts in (self.positives, self.negatives)
        )
        hits = ops.cumsum(positives, axis=1)
        precision = hits / ops.maximum(hits + ops.cumsum(negatives, axis=1), 1.0)
        total = hits[:, -1]
        average = ops.sum(precision * positives, axis=1) / ops.maximum(total, 1.0)
        present = ops.cast(total > 0, "float32")
        return ops.sum(average * present) / ops.maximum(ops.sum(present), 1.0)


def label_accuracy(y_true, y_pred):
    """(B, K) targets and logits -> (B,): the share of labels that a threshold of 1/2 gets right."""
    is_right = ops.equal(ops.cast(y_true, "float32") > 0.5, ops.cast(y_pred, "float32") > 0)
    return ops.mean(ops.cast(is_right, "float32"), axis=-1)
