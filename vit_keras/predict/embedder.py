"""Embed images: their features by a run's model or by pretrained weights, without a head.

    embedder = Embedder("saved_models/digits")
    embedder.embed(["a.png", "b.png"]).shape  # (2, D)

Images are read as for a prediction, in threads while the model computes.

n images, D width of the features, (X, Y, C) shape of the model's input.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras.data.pixel_options import PixelOptions
from vit_keras.predict import inputs
from vit_keras.predict.backbone import open_backbone
from vit_keras.predict.engines import PaddedModel
from vit_keras.predict.reader import (
    BatchReader,
    Read,
    Unreadable,
    check_all_read,
    check_reading,
)
from vit_keras.runs.saved_run import SavedRun


class EmbeddedBatch(NamedTuple):
    """Some images in a row, with their embeddings.

    Attributes:
        sources: path of each file, or position of the image: `image`, `images[3]`.
        vectors: (n, D) float32; NaN of an image that cannot be read.
        pixels: of each image (X, Y, C), the model's input, or why it cannot be read.
    """

    sources: list[str]
    vectors: np.ndarray
    pixels: list[np.ndarray | Unreadable]

    @property
    def unreadable(self) -> list[Unreadable]:
        return [one for one in self.pixels if isinstance(one, Unreadable)]


class Embedder:
    """A model without its head, for images of any size and kind.

    Attributes:
        backbone: the model, with the fingerprint of its weights.
        width: D.
        pixel_options: how pixels become RGB, as the model was trained.
    """

    def __init__(
        self,
        source: str | Path | SavedRun,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> None:
        """Open a run or load pretrained weights.

        Args:
            source: the folder of a training run, the result of `open_run`, or a handle as of
                `load_pretrained`.
            batch_size: images per batch; smaller only if a call has fewer images.
            workers: decoding threads; the number of CPU cores by default.

        Raises:
            SettingError: as `open_backbone`.
        """
        check_reading(batch_size, workers)
        self.backbone = open_backbone(source)
        self.width = self.backbone.width
        data, shape = self.backbone.data, self.backbone.input_shape
        self.pixel_options = PixelOptions.of(data)
        self._reader = BatchReader(shape, data.resize_mode, self.pixel_options, batch_size, workers)
        self._compute = PaddedModel(self._model(), batch_size)

    def _model(self) -> Any:
        import keras

        # Pixels come to the device as they are, and become floats there.
        dtype = self.pixel_options.dtype.name
        pixels = keras.Input(self.backbone.input_shape, dtype=dtype, name="pixels")
        return keras.Model(pixels, self.backbone.extractor(pixels), name="embedder")

    def embed(self, images: Any) -> np.ndarray:
        """Embed each image, in order: -> (n, D) float32.

        Args:
            images: a path, the bytes of a file, a Pillow image, an array with values from 0 to 255,
                or a batch or iterable of these; see `inputs.iter_items`.

        Raises:
            SettingError: an image cannot be read; `batches` goes on with the others.
        """
        vectors, unreadable = [np.empty((0, self.width), "float32")], list[Unreadable]()
        for batch in self.batches(images):
            vectors.append(batch.vectors)
            unreadable += batch.unreadable
        found = np.concatenate(vectors)
        way_out = "iterate over batches(), which has the reason for each of them"
        check_all_read(unreadable, len(found), way_out)
        return found

    def batches(self, images: Any) -> Iterator[EmbeddedBatch]:
        """Like `embed`, batch by batch, with the images that cannot be read among the others.

        Raises:
            SettingError: an element is not an image, or its values are not 0 to 255.
        """
        for batch in self._reader.batches(inputs.iter_items(images, self.pixel_options)):
            yield self._embed(batch)

    def vectors(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels as the model takes them, (n, X, Y, C), n up to the batch size -> (n, D)."""
        return self._compute(pixels)

    def _embed(self, batch: list[Read]) -> EmbeddedBatch:
        pixels = [one for _, one in batch]
        readable = [one for one in pixels if not isinstance(one, Unreadable)]
        vectors = np.full((len(batch), self.width), np.nan, "float32")
        if readable:
            is_read = [not isinstance(one, Unreadable) for one in pixels]
            vectors[is_read] = self.vectors(np.stack(readable))
        return EmbeddedBatch([item.source for item, _ in batch], vectors, pixels)
