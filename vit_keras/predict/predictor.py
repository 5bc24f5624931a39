"""Predict: a run and images of any kind in, classes with their confidence out.

    predictor = vit_keras.Predictor("saved_models/digits")
    predictor.predict(["a.png", "b.png"])[0].label

Files are decoded by threads while the model computes. A batch always has the shape of the first
one, so that the model is compiled once. Nothing here imports Keras before a run is opened.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import validators
from vit_keras.data import decode
from vit_keras.errors import SettingError
from vit_keras.io import parallel
from vit_keras.predict import inputs
from vit_keras.predict.inputs import Item
from vit_keras.runs.saved_run import SavedRun, open_run

AHEAD = 3  # batches that are read, or being read, while the model is at one
NAMED = 3  # unreadable images in one message


@dataclass(frozen=True)
class Candidate:
    """A class that an image may be of.

    Attributes:
        label: its name.
        index: its number, since names need not differ.
        confidence: its probability, with the run's temperature.
    """

    label: str
    index: int
    confidence: float


@dataclass(frozen=True)
class Prediction:
    """What the model makes of one image.

    Attributes:
        source: the file's path as it was given, else the image's place: `image`, `images[3]`.
        top: the likeliest classes, the best first.
    """

    source: str
    top: tuple[Candidate, ...]

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def confidence(self) -> float:
        return self.top[0].confidence


@dataclass(frozen=True)
class Unreadable:
    """What stands in the place of a prediction for a file that is no image, and why."""

    source: str
    reason: str


class Predictor:
    """A run's best model, for images of any size and kind.

    Attributes:
        run: the `SavedRun`.
        class_names: one for each class, in order.
        input_shape: (X, Y, C) of the model.
    """

    def __init__(
        self, run: str | Path | SavedRun, batch_size: int = 32, workers: int | None = None
    ) -> None:
        """Open a run by what its directory says of itself.

        Args:
            run: the folder of a training run, or what `open_run` gave.
            batch_size: images that the model sees at a time; fewer only where a call has fewer.
            workers: threads that decode; as many as there are cores by default.

        Raises:
            SettingError: it is no run, or one without a whole model.
        """
        validators.check_int("batch_size", batch_size)
        if workers is not None:
            validators.check_int("workers", workers)
        self.run = run if isinstance(run, SavedRun) else open_run(run)
        self.class_names = self.run.class_names
        self.batch_size, self.workers = batch_size, workers or parallel.available_cores()
        from vit_keras.predict.serving_model import serving_model  # imports Keras

        self._model = serving_model(self.run)
        self.input_shape: tuple[int, int, int] = self._model.input_shape[1:]

    def predict(self, images: Any, top_k: int = 3, flip: bool = False) -> list[Prediction]:
        """A prediction for each image, in order.

        Args:
            images: a path, the bytes of a file, a Pillow image or an array of 0 to 255, or a batch
                or iterable of them; see `image_items.items`.
            top_k: how many classes, at most, each prediction has.
            flip: average the probabilities of each image and of its mirror image.

        Raises:
            SettingError: an image cannot be read; `results` goes on behind such.
        """
        results = list(self.results(images, top_k, flip))
        bad = [result for result in results if isinstance(result, Unreadable)]
        if bad:
            named = "; ".join(f"{one.source}: {one.reason}" for one in bad[:NAMED])
            raise SettingError(
                f"{len(bad)} of {len(results)} images cannot be read ({named}); leave them out, or "
                "call results(), which has the reason in the place of each"
            )
        return [result for result in results if isinstance(result, Prediction)]

    def results(
        self, images: Any, top_k: int = 3, flip: bool = False
    ) -> Iterator[Prediction | Unreadable]:
        """`predict`, as far as it is: what cannot be read is an `Unreadable` in its place.

        Raises:
            SettingError: something is no image and no file, or is an array of other numbers.
        """
        validators.check_int("top_k", top_k)
        validators.check_bool("flip", flip)
        return self._results(inputs.iter_items(images), top_k, flip)

    def _results(
        self, items: Iterator[Item], top_k: int, flip: bool
    ) -> Iterator[Prediction | Unreadable]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="predict")
        size = 0
        try:
            for chunk in self._read_ahead(pool, items):
                read = [future.result() for future in chunk]
                size = size or min(self.batch_size, _power_of_two(len(read)))
                good = [pixels for pixels in read if not isinstance(pixels, Unreadable)]
                tops = iter(self._tops(good, size, top_k, flip))
                for item, pixels in zip(chunk.values(), read, strict=True):
                    if isinstance(pixels, Unreadable):
                        yield pixels
                    else:
                        yield Prediction(item.source, next(tops))
        finally:
            pool.shutdown(cancel_futures=True)  # what is abandoned is not read to its end

    def _read_ahead(
        self, pool: ThreadPoolExecutor, items: Iterator[Item]
    ) -> Iterator[dict[Future, Item]]:
        """A batch of items at a time, those after it already handed to the threads."""
        waiting: deque[dict[Future, Item]] = deque()
        while chunk := list(itertools.islice(items, self.batch_size)):
            waiting.append({pool.submit(self._read, item): item for item in chunk})
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting

    def _read(self, item: Item) -> np.ndarray | Unreadable:
        """(X, Y, C) uint8."""
        try:
            return inputs.to_pixels(item, self.input_shape, self.run.config.data.resize_mode)
        except (OSError, decode.UnreadableError) as error:
            return Unreadable(item.source, decode.error_reason(error))

    def _tops(
        self, images: list[np.ndarray], size: int, top_k: int, flip: bool
    ) -> list[tuple[Candidate, ...]]:
        """(n, X, Y, C) -> the `top_k` best of each, n at most `size`."""
        if not images:
            return []
        batch = np.zeros((size, *self.input_shape), np.uint8)
        batch[: len(images)] = images
        probabilities = np.asarray(self._model.predict_on_batch(batch))
        if flip:
            mirrored = np.ascontiguousarray(batch[:, :, ::-1])
            probabilities = (probabilities + self._model.predict_on_batch(mirrored)) / 2
        return [self._best(row, top_k) for row in probabilities[: len(images)]]

    def _best(self, probabilities: np.ndarray, top_k: int) -> tuple[Candidate, ...]:
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        return tuple(
            Candidate(self.class_names[index], int(index), float(probabilities[index]))
            for index in order
        )


def _power_of_two(count: int) -> int:
    """The next one: calls with a few images share a few shapes, and waste less than half."""
    return 1 << (count - 1).bit_length()
