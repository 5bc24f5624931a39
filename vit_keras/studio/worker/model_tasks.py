"""What the studio's worker does with a run's model: open it, predict, and show what it looks at."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.explain import attention_maps, plots, relevance_maps
from vit_keras.io import zip_files
from vit_keras.predict import inputs
from vit_keras.predict.inputs import Item
from vit_keras.predict.predictor import Predictor, Unreadable
from vit_keras.runs import saved_run
from vit_keras.runs.saved_run import MODEL
from vit_keras.studio.worker.png import encode_png

BATCH = 8  # images that a page asks for at a time: its progress moves


class ModelTasks:
    """One model at a time: that of the run which was asked for last."""

    def __init__(self) -> None:
        self._key: tuple = ()
        self._predictor: Predictor | None = None

    def open(self, run: str) -> None:
        """Have the run's model ready, and compiled for a single image."""
        predictor = self._opened(run)
        rows, columns, channels = predictor.input_shape
        predictor.predict(np.zeros((1, rows, columns, channels), np.uint8))

    def predict(self, run: str, images: list[str]) -> list[dict[str, Any]]:
        """For each image file, in base64: every class with its confidence, or why it has none."""
        predictor = self._opened(run)
        contents = [base64.b64decode(image) for image in images]
        results = predictor.results(contents, top_k=len(predictor.class_names))
        return [
            {"unreadable": one.reason}
            if isinstance(one, Unreadable)
            else {"top": [[c.label, c.index, c.confidence] for c in one.top]}
            for one in results
        ]

    def overlay(self, run: str, image: str, target: int | None) -> dict[str, str]:
        """The image as the model sees it, and under a map of what the model looks at.

        Args:
            run: the folder.
            image: a file, in base64.
            target: the class that the map speaks for; None is a map of the attention, of no class.
        """
        predictor = self._opened(run)
        item = Item("image", base64.b64decode(image))
        pixels = inputs.to_pixels(
            item, predictor.input_shape, predictor.run.config.data.resize_mode
        )
        shown = {"seen": encode_png(plots.enlarged(pixels))}
        try:
            model = predictor.run.model
            maps = (
                attention_maps.rollout(model, pixels[None])
                if target is None
                else relevance_maps.relevance(model, pixels[None], target)
            )
            return {**shown, "overlay": encode_png(plots.overlay(pixels, maps[0]))}
        except SettingError as error:  # a model that is no ViT of ours has no such maps
            return {**shown, "without": str(error)}

    def _opened(self, run: str) -> Predictor:
        key = (run, saved_run.stamps(Path(run)))
        if self._predictor is None or key != self._key:
            self._predictor = None  # two models at once might be too many
            if Path(run).is_dir() and (fault := zip_files.model_fault(Path(run) / MODEL)):
                raise SettingError(f"{run} cannot predict: {fault}; choose another run")
            self._predictor, self._key = Predictor(run, batch_size=BATCH), key
        return self._predictor
