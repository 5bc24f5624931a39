"""A run's model as a service uses it: the bytes of files -> predictions, in any thread."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.data import decode
from vit_keras.data.image_formats import HEAD, SCIENTIFIC, UnreadableError, format_of
from vit_keras.data.probe import stored_size
from vit_keras.errors import SettingError
from vit_keras.export.current import FINGERPRINT
from vit_keras.export.formats import FORMATS
from vit_keras.export.preflight import EXPORT, export_folder
from vit_keras.predict import decisions
from vit_keras.predict.engines import ONNX
from vit_keras.predict.inputs import Item
from vit_keras.predict.predictor import Prediction, Predictor
from vit_keras.predict.reader import Unreadable
from vit_keras.serving.answers import Card
from vit_keras.serving.bodies import Upload

BATCH = 32  # images that are computed in one call
# CPU seconds of an image, below which one thread computes it: to hand its parts to other threads
# takes a quarter of a small model's time, and the other cores have other requests.
SMALL_MODEL = 0.01
log = logging.getLogger("vit_keras.serving")


class ServedModel:
    """A run, its ONNX file and how it decides.

    Attributes:
        predictor: of the run.
        format: `onnx` or `onnx_int8`.
        version: of a registered model.
    """

    def __init__(
        self,
        run: str | Path,
        format: str = ONNX,
        coverage: float | None = None,
        max_megapixels: float | None = None,
        version: str | None = None,
    ) -> None:
        """Open a run, which is exported first if it has no usable file, and predict one image.

        Raises:
            SettingError: it is no run, cannot be exported or predicted, or cannot abstain at this
                coverage.
        """
        decisions.check_ood_score(FORMATS[format].has_ood_score, coverage)  # before an export
        self.predictor, self.format = Predictor(run, BATCH, engine=format), format
        self.coverage, self._rule = coverage, self.predictor.rule(coverage)
        self.version = version
        self._max_pixels = None if max_megapixels is None else max_megapixels * 1e6
        self.check()
        started = time.process_time()  # of all threads, and whatever else the machine does
        self.check()
        if time.process_time() - started < SMALL_MODEL:
            self.predictor = Predictor(self.predictor.run, BATCH, engine=format, threads=1)

    def check(self) -> None:
        """Predict an image of zeros: what cannot be computed is not served.

        Raises:
            SettingError: the probabilities are not finite, or are not of the run's classes.
        """
        shape, dtype = self.predictor.input_shape, self.predictor.pixel_options.dtype
        found = self.predictor.engine.outputs(np.zeros((1, *shape), dtype)).probabilities
        if found.shape != (1, len(self.predictor.class_names)) or not np.isfinite(found).all():
            raise SettingError(
                f"run={self.predictor.run.path}: its {self.format} file does not give the "
                "probabilities of its classes; export again"
            )

    def classify(self, uploads: Sequence[Upload], top_k: int) -> list[Prediction | Unreadable]:
        """Decode and predict; an image that cannot be read does not stop the others."""
        results: list[Prediction | Unreadable] = []
        for start in range(0, len(uploads), BATCH):
            results += self._classify(uploads[start : start + BATCH], top_k)
        return results

    def _classify(self, uploads: Sequence[Upload], top_k: int) -> list[Prediction | Unreadable]:
        pixels = [self._pixels(one) for one in uploads]
        readable = [one for one in pixels if not isinstance(one, Unreadable)]
        found = iter(self.predictor.classify(readable, top_k, rule=self._rule))
        return [
            one if isinstance(one, Unreadable) else Prediction(upload.name, *next(found))
            for upload, one in zip(uploads, pixels, strict=True)
        ]

    def _pixels(self, upload: Upload) -> np.ndarray | Unreadable:
        try:
            self._check_pixels(upload.content)
            return self.predictor.pixels(Item(upload.name, upload.content))
        except (OSError, UnreadableError) as error:
            return Unreadable(upload.name, decode.error_reason(error))
        except SettingError as error:  # a model of five channels takes no file
            return Unreadable(upload.name, str(error))
        except Exception:  # of a decoder, for bytes that nobody thought of: not of this service
            log.exception("an image cannot be decoded, for a reason that is not known")
            return Unreadable(upload.name, "damaged")

    def _check_pixels(self, content: bytes) -> None:
        """Refuse a large image by its header, before memory is taken for its pixels."""
        if self._max_pixels is None or format_of(content[:HEAD]) in SCIENTIFIC:
            return
        height, width = stored_size(content)
        if height * width > self._max_pixels:
            raise UnreadableError(
                f"too large for this service: {width}x{height} pixels, "
                f"{self._max_pixels / 1e6:g} million at most"
            )

    @property
    def card(self) -> Card:
        """What is served, without the paths of this machine."""
        predictor = self.predictor
        file = export_folder(predictor.run, self.format) / EXPORT
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        metrics = predictor.run.metrics
        return Card(
            name=predictor.run.name,
            version=self.version,
            classes=predictor.class_names,
            input_shape=list(predictor.input_shape),
            format=self.format,
            decision=predictor.decision,
            coverage=self.coverage,
            metrics={name: value for name, value in metrics.items() if name.startswith("test_")},
            model_fingerprint=report.get(FINGERPRINT),
        )
