"""Tasks of the worker on the model of a run: open it, predict, and draw explanations.

A run that has an ONNX file is predicted by it from the first second on; meanwhile a thread imports
Keras, which the maps of an explanation need.
"""

import base64
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import backend
from vit_keras.data.decode import UnreadableError, error_reason
from vit_keras.errors import SettingError
from vit_keras.explain import plots
from vit_keras.io import zip_files
from vit_keras.predict.engines import OnnxEngine
from vit_keras.predict.inputs import Item
from vit_keras.predict.predictor import Predictor, Unreadable
from vit_keras.predict.tile_maps import draw_map
from vit_keras.predict.tiles import check_run, predict_by_tiles
from vit_keras.runs import saved_run
from vit_keras.runs.saved_run import MODEL
from vit_keras.studio.worker.png import encode_png

BATCH = 8  # images of one request
COVERAGE = 0.95  # at which a prediction is given or abstained from


class ModelTasks:
    """Tasks on a model; the last one that was opened is kept."""

    def __init__(self) -> None:
        self._key: tuple = ()
        self._predictor: Predictor | None = None

    def open(self, run: str) -> None:
        """Open the model of a run and compute, or compile, its prediction of one image."""
        predictor = self._open(run)
        black = np.zeros((1, *predictor.input_shape), predictor.pixel_options.dtype)
        predictor.engine.outputs(black)
        if isinstance(predictor.engine, OnnxEngine):
            threading.Thread(target=backend.import_keras, daemon=True).start()

    def predict(self, run: str, images: list[str], calibrated: bool = True) -> list[dict[str, Any]]:
        """Confidence of every class for each image file in base64, or why it cannot be read.

        With what is decided at the usual coverage, if the run has been evaluated. Of several
        labels, also the indices of those above their thresholds.
        """
        predictor = self._open(run, calibrated)
        contents = [base64.b64decode(image) for image in images]
        has_rule = calibrated and predictor.run.abstention is not None
        coverage = COVERAGE if has_rule else None
        results = predictor.results(contents, top_k=len(predictor.class_names), coverage=coverage)
        return [
            {"unreadable": result.reason}
            if isinstance(result, Unreadable)
            else {
                "top": [[c.label, c.index, c.confidence] for c in result.top],
                "decision": asdict(result.decision) if result.decision else None,
                "labels": None if result.labels is None else [c.index for c in result.labels],
                "engine": predictor.engine.name,
            }
            for result in results
        ]

    def tiles(
        self, run: str, image: str, tile_size: int | None, overlap: float, combine: str
    ) -> dict[str, Any]:
        """Predict one image file in base64 by tiles; their map, or why it cannot be predicted."""
        predictor = self._open(run)
        check_run(predictor.run)
        classes = predictor.class_names
        try:
            content = base64.b64decode(image)
            found = predict_by_tiles(
                predictor, content, tile_size, overlap, combine, top_k=len(classes)
            )
        except (OSError, UnreadableError, SettingError) as error:
            return {"unreadable": error_reason(error)}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "map.png"
            draw_map(file, found, classes)
            drawn = base64.b64encode(file.read_bytes()).decode("ascii")
        return {
            "top": [[c.label, c.index, c.confidence] for c in found.prediction.top],
            "grid": list(found.probabilities.shape[:2]),
            "tile": list(found.tile),
            "map": drawn,
        }

    def overlay(self, run: str, image: str, target: int | None) -> dict[str, str]:
        """The model input as an image, and the same under an attention or relevance map.

        Args:
            run: folder of the run.
            image: an image file in base64.
            target: index of the class whose relevance map is drawn; None draws attention rollout.
        """
        predictor = self._open(run)
        item = Item("image", base64.b64decode(image))
        pixels = predictor.pixels(item)
        shown = {"input": encode_png(plots.enlarged(pixels))}
        backend.import_keras()
        from vit_keras.explain import attention_maps, relevance_maps

        try:
            model = predictor.run.model
            maps = (
                attention_maps.rollout(model, pixels[None])
                if target is None
                else relevance_maps.relevance(model, pixels[None], target)
            )
            return {**shown, "overlay": encode_png(plots.overlay(pixels, maps[0]))}
        except SettingError as error:  # only our own ViT has these maps
            return {**shown, "no_overlay": str(error)}

    def _open(self, run: str, calibrated: bool = True) -> Predictor:
        key = (run, saved_run.file_versions(Path(run)))
        if self._predictor is None or key != self._key:
            self._predictor = None  # frees the memory of the old model first
            if Path(run).is_dir() and (fault := zip_files.model_fault(Path(run) / MODEL)):
                raise SettingError(f"{run} cannot predict: {fault}; choose another run")
            self._predictor, self._key = Predictor(run, batch_size=BATCH), key
        self._predictor.calibrated = calibrated
        return self._predictor
