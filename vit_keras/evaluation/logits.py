"""Splits through a model: images of any size -> logits (n, K), with one progress bar for all."""

import time

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from vit_keras.data import input_pipeline
from vit_keras.data.dataset import Split
from vit_keras.errors import SettingError
from vit_keras.model.preprocessing import OnBatches


class Classifier:
    """A model that splits are run through, batch by batch, resized on the device as in training.

    Attributes:
        images_per_second: of the split before, reading included; None of less than two whole
            batches, as the first is compiled.
    """

    def __init__(self, vit: keras.Model, batch_size: int, prefetch: int, bar: tqdm) -> None:
        self.model = OnBatches(vit, name="logits")
        self.batch_size, self.prefetch, self.bar = batch_size, prefetch, bar
        self.images_per_second: float | None = None

    def logits(self, split: Split, what: str) -> np.ndarray:
        """Images (n, x, y, C) -> (n, K) float32; `what` is said beside the bar.

        Raises:
            SettingError: they are no finite numbers.
        """
        self.bar.set_description(what, refresh=False)  # not before its delay
        pace = _Pace(len(split.labels), self.batch_size, self.bar)
        stream = input_pipeline.evaluation_batches(split, self.batch_size, self.prefetch)
        values = np.asarray(self.model.predict(stream, verbose=0, callbacks=[pace]), "float32")
        self.images_per_second = pace.images_per_second()
        if not np.isfinite(values).all():
            wrong = int((~np.isfinite(values)).any(axis=-1).sum())
            raise SettingError(
                f"the model gives no finite numbers for {wrong} of {len(values)} images ({what}): "
                "its weights are damaged, or its training diverged; train again"
            )
        return values


class _Pace(keras.callbacks.Callback):
    """Moves a bar on, and times whole batches: the first is compiled, a smaller last one again."""

    def __init__(self, images: int, batch_size: int, bar: tqdm) -> None:
        super().__init__()
        self.images, self.batch_size, self.bar = images, batch_size, bar
        self.done = 0
        self.ends: list[float] = []  # when each whole batch was done

    def on_predict_batch_end(self, batch, logs=None):
        ops.convert_to_numpy(logs["outputs"])  # a GPU gives them before they are computed
        new = min(self.batch_size, self.images - self.done)
        if new == self.batch_size:
            self.ends.append(time.perf_counter())
        self.done += new
        self.bar.update(new)

    def images_per_second(self) -> float | None:
        if len(self.ends) < 2:
            return None
        return self.batch_size * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])
