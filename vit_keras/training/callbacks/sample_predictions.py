"""Callback: predictions of a few validation images after each epoch, in `samples/` of the run."""

import json
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from vit_keras.data.dataset import Split
from vit_keras.model.preprocessing import to_model_input
from vit_keras.runs.run_dir import SAMPLES, Run

SIDE = 96  # pixels to which smaller images are enlarged


class SamplePredictions(keras.callbacks.Callback):
    """Writes the predicted class and its probability for some images of a split.

    Args:
        vit: (B, X, Y, C) pixels to (B, classes) logits. The callback comes after the one that swaps
            in averaged weights, so that the predictions are those of the saved model.
        split: `count` of its images are used, evenly spaced.
    """

    def __init__(
        self, run: Run, vit: keras.Model, split: Split, class_names: list[str], count: int
    ) -> None:
        super().__init__()
        self.run, self.vit, self.class_names = run, vit, class_names
        total = len(split.labels)
        indices = np.linspace(0, total - 1, min(count, total)).astype(int)
        self.images = split.images[indices]
        self.labels = [class_names[label] for label in split.labels[indices]]

    def on_epoch_end(self, epoch, logs=None):
        images = to_model_input(ops.cast(self.images, "float32"), self.vit.input_shape[1:])
        probabilities = ops.convert_to_numpy(ops.softmax(self.vit(images, training=False)))
        best = probabilities.argmax(axis=-1)
        row = {
            "epoch": epoch + 1,
            "predicted": [self.class_names[index] for index in best],
            "confidence": [round(float(p.max()), 4) for p in probabilities],
        }
        # A resumed run repeats the epochs after its checkpoint, and replaces their rows.
        before = [earlier for earlier in self._read_rows() if earlier["epoch"] <= epoch]
        if not before:
            self._write_images()
        self.run.write_json(SAMPLES, {"labels": self.labels, "epochs": [*before, row]})

    def _read_rows(self) -> list[dict[str, Any]]:
        try:
            return json.loads((self.run.path / SAMPLES).read_text(encoding="utf-8"))["epochs"]
        except (OSError, ValueError, KeyError):
            return []

    def _write_images(self) -> None:
        """`samples/00.png`, ...: the images of the data set, small ones enlarged."""
        for number, pixels in enumerate(self.images):
            pixels = pixels.round().astype("uint8")
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] < 3 else pixels[..., :3])
            factor = max(1, SIDE // max(picture.size))
            enlarged = picture.resize(
                [side * factor for side in picture.size], Image.Resampling.NEAREST
            )
            with self.run.atomic_write(f"samples/{number:02}.png") as path:
                enlarged.save(path)
