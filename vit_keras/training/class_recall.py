"""Hits and images of each class, counted while Keras evaluates a model."""

import keras
from keras import ops


class ClassRecall(keras.metrics.Metric):
    """Counts by class; its own value is the balanced accuracy, the mean recall.

    Attributes:
        hits: (K,) correctly classified images of each class.
        images: (K,) all images of each class.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(name="balanced_accuracy", dtype="float32")
        self.hits = self.add_variable((classes,), "zeros", name="hits")
        self.images = self.add_variable((classes,), "zeros", name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """One-hot targets and logits, both (B, K)."""
        targets = ops.cast(y_true, "float32")
        if sample_weight is not None:
            # Of an image that is there, or of one that fills up a batch.
            is_counted = ops.reshape(sample_weight, (-1, 1)) > 0
            targets = targets * ops.cast(is_counted, "float32")
        is_hit = ops.equal(ops.argmax(y_pred, axis=-1), ops.argmax(y_true, axis=-1))
        self.images.assign_add(ops.sum(targets, axis=0))
        self.hits.assign_add(ops.sum(targets * ops.cast(is_hit, "float32")[:, None], axis=0))

    def result(self):
        present = ops.cast(self.images > 0, "float32")
        recalls = self.hits / ops.maximum(self.images, 1.0)
        return ops.sum(recalls) / ops.maximum(ops.sum(present), 1.0)

    def counts(self) -> tuple[list[int], list[int]]:
        """Hits and images of each class."""
        hits, images = (ops.convert_to_numpy(value) for value in (self.hits, self.images))
        return hits.round().astype(int).tolist(), images.round().astype(int).tolist()
