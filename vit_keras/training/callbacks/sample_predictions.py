"""What the model says of a few validation images, epoch by epoch: `samples/` in the run."""

import json
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from vit_keras.data.dataset import Split
from vit_keras.model.preprocessing import to_model_input
from vit_keras.runs.run_dir import Run

SAMPLES = "samples/predictions.json"
SIDE = 96  # pixels that a smaller image is enlarged to, so that it can be seen


class SamplePredictions(keras.callbacks.Callback):
    """The class and its probability for some images of a split, after each epoch.

    Args:
        vit: (B, X, Y, C) pixels -> (B, classes) logits; with the weights that are saved.
        split: n images, of which `count` are taken, spread evenly.
    """

    def __init__(
        self, run: Run, vit: keras.Model, split: Split, class_names: list[str], count: int
    ) -> None:
        super().__init__()
        self.run, self.vit, self.class_names = run, vit, class_names
        chosen = np.linspace(0, len(split.labels) - 1, min(count, len(split.labels)))
        self.images, labels = split.images[chosen.astype(int)], split.labels[chosen.astype(int)]
        self.labels = [class_names[label] for label in labels]

    def on_epoch_end(self, epoch, logs=None):
        images = to_model_input(ops.cast(self.images, "float32"), self.vit.input_shape[1:])
        probabilities = ops.convert_to_numpy(ops.softmax(self.vit(images, training=False)))
        best = probabilities.argmax(axis=-1)
        said = {
            "epoch": epoch + 1,
            "predicted": [self.class_names[index] for index in best],
            "confidence": [round(float(row.max()), 4) for row in probabilities],
        }
        # A resumed run says anew what its last epochs said that the checkpoint lacked.
        before = [row for row in self._kept() if row["epoch"] <= epoch]
        if not before:
            self._write_images()
        self.run.write_json(SAMPLES, {"labels": self.labels, "epochs": [*before, said]})

    def _kept(self) -> list[dict[str, Any]]:
        try:
            return json.loads((self.run.path / SAMPLES).read_text(encoding="utf-8"))["epochs"]
        except (OSError, ValueError, KeyError):
            return []

    def _write_images(self) -> None:
        """`samples/00.png`, ...: as the data set has them, small ones in larger pixels."""
        for number, pixels in enumerate(self.images):
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            factor = max(1, SIDE // max(picture.size))
            enlarged = picture.resize(
                [side * factor for side in picture.size], Image.Resampling.NEAREST
            )
            with self.run.atomic_write(f"samples/{number:02}.png") as path:
                enlarged.save(path)
