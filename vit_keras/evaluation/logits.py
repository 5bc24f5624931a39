"""Inference on splits: images of any size -> logits and features, with one progress bar for all.

n images, K classes, D width of the features, which are what the classification head reads.
"""

import time
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from vit_keras.data import input_pipeline
from vit_keras.data.dataset import Split
from vit_keras.errors import SettingError
from vit_keras.model.preprocessing import OnBatches
from vit_keras.model.vit import with_head_input
from vit_keras.text import counted


class Outputs(NamedTuple):
    """Of n images: the logits (n, K), and the features (n, D), both float32."""

    logits: np.ndarray
    features: np.ndarray


class Classifier:
    """A model applied to whole splits in batches, resized on the device as in training.

    Attributes:
        images_per_second: throughput on the latest split, reading included; None for fewer than
            two full batches, because the first one is compiled.
    """

    def __init__(self, vit: keras.Model, batch_size: int, prefetch: int, bar: tqdm) -> None:
        self.model = OnBatches(with_head_input(vit), name="logits")
        self.batch_size, self.prefetch, self.bar = batch_size, prefetch, bar
        self.images_per_second: float | None = None

    def logits(self, split: Split, description: str) -> np.ndarray:
        """The logits of `outputs`."""
        return self.outputs(split, description).logits

    def outputs(self, split: Split, description: str) -> Outputs:
        """Images (n, x, y, C) -> logits and features; the bar shows `description`.

        Raises:
            SettingError: some logits are not finite.
        """
        self.bar.set_description(description, refresh=False)  # a refresh would ignore its delay
        progress = _Progress(len(split.labels), self.batch_size, self.bar)
        batches = input_pipeline.evaluation_batches(split, self.batch_size, self.prefetch)
        found = self.model.predict(batches, verbose=0, callbacks=[progress])
        # Batches that several devices share may be padded.
        outputs = Outputs(*(np.asarray(one, "float32")[: len(split.labels)] for one in found))
        self.images_per_second = progress.images_per_second()
        if wrong := int((~np.isfinite(outputs.logits)).any(axis=-1).sum()):
            of_all = counted(len(split.labels), "image[s]")
            raise SettingError(
                f"the logits of {wrong} of {of_all} ({description}) are not finite: the weights "
                "are damaged, or training diverged; train again"
            )
        return outputs


class _Progress(keras.callbacks.Callback):
    """Advances a progress bar and measures the time of full batches.

    Only full batches are timed: the first batch is compiled, and a smaller last one again.
    """

    def __init__(self, images: int, batch_size: int, bar: tqdm) -> None:
        super().__init__()
        self.images, self.batch_size, self.bar = images, batch_size, bar
        self.done = 0
        self.end_times: list[float] = []  # of full batches

    def on_predict_batch_end(self, batch, logs=None):
        ops.convert_to_numpy(logs["outputs"][0])  # a GPU returns outputs before they are computed
        new = min(self.batch_size, self.images - self.done)
        if new == self.batch_size:
            self.end_times.append(time.perf_counter())
        self.done += new
        self.bar.update(new)

    def images_per_second(self) -> float | None:
        if len(self.end_times) < 2:
            return None
        seconds = self.end_times[-1] - self.end_times[0]
        return self.batch_size * (len(self.end_times) - 1) / seconds
