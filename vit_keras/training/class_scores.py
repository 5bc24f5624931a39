"""Hits, images and predictions of each class, counted while Keras evaluates a model."""

from collections.abc import Callable

import keras
from keras import ops


class ClassScores(keras.metrics.Metric):
    """Counts by class, of K; what a subclass makes of them is its value.

    Attributes:
        hits: (K,) correctly classified images of each class.
        images: (K,) all images of each class.
        predicted: (K,) all images that each class is predicted for.
    """

    def __init__(self, classes: int, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.hits = self.add_variable((classes,), "zeros", name="hits")
        self.images = self.add_variable((classes,), "zeros", name="images")
        self.predicted = self.add_variable((classes,), "zeros", name="predicted")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """One-hot targets and logits, both (B, K)."""
        targets = ops.cast(y_true, "float32")
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), targets.shape[-1], dtype="float32")
        if sample_weight is not None:
            # Of an image that is there, or of one that fills up a batch.
            is_counted = ops.cast(ops.reshape(sample_weight, (-1, 1)) > 0, "float32")
            targets, predicted = targets * is_counted, predicted * is_counted
        is_hit = ops.equal(ops.argmax(y_pred, axis=-1), ops.argmax(y_true, axis=-1))
        self.images.assign_add(ops.sum(targets, axis=0))
        self.predicted.assign_add(ops.sum(predicted, axis=0))
        self.hits.assign_add(ops.sum(targets * ops.cast(is_hit, "float32")[:, None], axis=0))

    def counts(self) -> tuple[list[int], list[int], list[int]]:
        """Hits, images and predictions of each class."""
        hits, images, predicted = (
            ops.convert_to_numpy(value).round().astype(int).tolist()
            for value in (self.hits, self.images, self.predicted)
        )
        return hits, images, predicted


class BalancedAccuracy(ClassScores):
    """The mean recall of the classes that have images."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, "balanced_accuracy")

    def result(self):
        return _mean(self.hits, self.images)


class MacroF1(ClassScores):
    """The mean F1 score of the classes that have images or are predicted."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, "macro_f1")

    def result(self):
        return _mean(2 * self.hits, self.images + self.predicted)


def _mean(numerators, denominators):
    """The mean of the ratios, both (K,), whose denominator is not 0."""
    denominators = ops.convert_to_tensor(denominators)  # JAX has no `where` of a variable
    present = ops.cast(denominators > 0, "float32")
    ratios = numerators / ops.where(denominators > 0, denominators, 1.0)
    return ops.sum(ratios) / ops.maximum(ops.sum(present), 1.0)


# Value of `train.monitor` -> the metric that it needs beside loss and accuracy.
MONITORED: dict[str, Callable[[int], ClassScores]] = {
    "val_balanced_accuracy": BalancedAccuracy,
    "val_macro_f1": MacroF1,
}
