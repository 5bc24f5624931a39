"""Predict classes of images with a trained run.

    predictor = vit_keras.Predictor("saved_models/digits")
    predictor.predict(["a.png", "b.png"])[0].label

Threads decode files while the model computes, by one of `engines`.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import validators
from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError
from vit_keras.io import parallel
from vit_keras.predict import decisions, engines, inputs
from vit_keras.predict.decisions import Decision, Rule
from vit_keras.predict.inputs import Item
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.text import counted

PREFETCHED_BATCHES = 3  # read in advance while the model computes
MAX_REPORTED = 3  # unreadable images that one message names


@dataclass(frozen=True)
class Candidate:
    """A class with its probability.

    Attributes:
        label: class name.
        index: index of its logit; two classes may have the same name.
        confidence: probability, calibrated by the run's temperature.
    """

    label: str
    index: int
    confidence: float


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image.

    Attributes:
        source: path of the file, or position of the image: `image`, `images[3]`.
        top: the most probable classes, in descending order.
        decision: whether to abstain; None unless a coverage was asked for.
        labels: of a run with task=multilabel, all labels above their thresholds, in descending
            order; None of a run with one label.
    """

    source: str
    top: tuple[Candidate, ...]
    decision: Decision | None = None
    labels: tuple[Candidate, ...] | None = None

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def confidence(self) -> float:
        return self.top[0].confidence


@dataclass(frozen=True)
class Unreadable:
    """The result for a file that cannot be read as an image, with the reason."""

    source: str
    reason: str


class Predictor:
    """A run's best model, for images of any size and kind.

    Attributes:
        run: the `SavedRun`.
        engine: what computes, an `engines.Engine`; `engine.name` is "Keras" or "ONNX Runtime".
        class_names: name of each logit, in order.
        input_shape: (X, Y, C) of the model.
        pixel_options: how pixels become RGB, as the run was trained.
    """

    def __init__(
        self,
        run: str | Path | SavedRun,
        batch_size: int = 32,
        workers: int | None = None,
        engine: str = engines.AUTO,
    ) -> None:
        """Open a run and load its model.

        Args:
            run: the folder of a training run, or the result of `open_run`.
            batch_size: images per batch; smaller only if a call has fewer images.
            workers: decoding threads; the number of CPU cores by default.
            engine: `auto`, `keras` or `onnx`; see `engines.open_engine`.

        Raises:
            SettingError: it is not a run, its model is missing or damaged, or the engine cannot be
                used.
        """
        validators.check_int("batch_size", batch_size)
        if workers is not None:
            validators.check_int("workers", workers)
        self.run = run if isinstance(run, SavedRun) else open_run(run)
        self.class_names = self.run.class_names
        self.batch_size, self.workers = batch_size, workers or parallel.available_cores()
        self.pixel_options = PixelOptions.of(self.run.config.data)
        self.engine = engines.open_engine(self.run, engine, batch_size)
        self.input_shape = self.engine.input_shape

    def predict(
        self,
        images: Any,
        top_k: int = 3,
        flip: bool = False,
        coverage: float | None = None,
        ood_quantile: float | None = None,
    ) -> list[Prediction]:
        """Predict each image, in order.

        With `coverage`, each prediction has a `decision`: it abstains if the conformal set of
        classes does not hold exactly one, or if the OOD score is above the `ood_quantile` of those
        of the validation images. `evaluate_run` calibrates both.

        Args:
            images: a path, the bytes of a file, a Pillow image, an array with values from 0 to 255,
                or a batch or iterable of these; see `inputs.iter_items`.
            top_k: maximum number of classes per prediction.
            flip: horizontal-flip test-time augmentation: average the probabilities of each image
                and of its mirror image.
            coverage: probability that the set of classes holds the true one, such as 0.95.
            ood_quantile: share of images like the validation images that are not too unlike them;
                0.99 by default.

        Raises:
            SettingError: an image cannot be read (`results` skips such images instead), or the run
                cannot abstain at this coverage.
        """
        results = list(self.results(images, top_k, flip, coverage, ood_quantile))
        bad = [result for result in results if isinstance(result, Unreadable)]
        if bad:
            reasons = "; ".join(f"{one.source}: {one.reason}" for one in bad[:MAX_REPORTED])
            raise SettingError(
                f"{len(bad)} of {counted(len(results), 'image[s]')} cannot be read ({reasons}); "
                "leave them out, or call results(), which yields the reason for each of them"
            )
        return [result for result in results if isinstance(result, Prediction)]

    def results(
        self,
        images: Any,
        top_k: int = 3,
        flip: bool = False,
        coverage: float | None = None,
        ood_quantile: float | None = None,
    ) -> Iterator[Prediction | Unreadable]:
        """Like `predict`, as an iterator that yields `Unreadable` for an image it cannot read.

        Raises:
            SettingError: an element is not an image, its values are not 0 to 255, or the run
                cannot abstain at this coverage.
        """
        validators.check_int("top_k", top_k)
        validators.check_bool("flip", flip)
        rule = decisions.rule(self.run, coverage, ood_quantile, flip)
        return self._results(inputs.iter_items(images, self.pixel_options), top_k, flip, rule)

    def _results(
        self, items: Iterator[Item], top_k: int, flip: bool, rule: Rule | None
    ) -> Iterator[Prediction | Unreadable]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="predict")
        try:
            for chunk in self._prefetch(pool, items):
                decoded = [future.result() for future in chunk]
                readable = [pixels for pixels in decoded if not isinstance(pixels, Unreadable)]
                found = iter(self._classify(readable, top_k, flip, rule))
                for item, pixels in zip(chunk.values(), decoded, strict=True):
                    if isinstance(pixels, Unreadable):
                        yield pixels
                    else:
                        yield Prediction(item.source, *next(found))
        finally:
            pool.shutdown(cancel_futures=True)  # the caller may stop before the end

    def _prefetch(
        self, pool: ThreadPoolExecutor, items: Iterator[Item]
    ) -> Iterator[dict[Future, Item]]:
        """Yield a batch of items at a time, after submitting the next ones to the threads."""
        submitted: deque[dict[Future, Item]] = deque()
        while chunk := list(itertools.islice(items, self.batch_size)):
            submitted.append({pool.submit(self._read, item): item for item in chunk})
            if len(submitted) > PREFETCHED_BATCHES:
                yield submitted.popleft()
        yield from submitted

    def pixels(self, item: Item) -> np.ndarray:
        """A single image -> (X, Y, C) uint8, the input of the model, as in training.

        Raises:
            OSError: the file cannot be read.
            UnreadableError: the file is not an image, or is damaged.
        """
        mode = self.run.config.data.resize_mode
        return inputs.to_pixels(item, self.input_shape, mode, self.pixel_options)

    def _read(self, item: Item) -> np.ndarray | Unreadable:
        """An item -> (X, Y, C) uint8."""
        try:
            return self.pixels(item)
        except (OSError, decode.UnreadableError) as error:
            return Unreadable(item.source, decode.error_reason(error))

    def _classify(
        self, images: list[np.ndarray], top_k: int, flip: bool, rule: Rule | None
    ) -> list[tuple[tuple[Candidate, ...], Decision | None, tuple[Candidate, ...] | None]]:
        """n images (X, Y, C) -> of each `Prediction.top`, `decision` and `labels`."""
        if not images:
            return []
        batch = np.stack(images)
        probabilities, scores = self.engine.outputs(batch)
        if flip:
            mirrored = np.ascontiguousarray(batch[:, :, ::-1])
            probabilities = (probabilities + self.engine.outputs(mirrored).probabilities) / 2
        decided: Sequence[Decision | None] = [None] * len(images)
        if rule is not None:
            decided = rule.decide(probabilities, scores, self.class_names)
        return [
            (self._top(row, top_k), decision, self._labels(row))
            for row, decision in zip(probabilities, decided, strict=True)
        ]

    def _top(self, probabilities: np.ndarray, top_k: int) -> tuple[Candidate, ...]:
        return self._candidates(probabilities, np.argsort(-probabilities, kind="stable")[:top_k])

    def _labels(self, probabilities: np.ndarray) -> tuple[Candidate, ...] | None:
        if self.run.thresholds is None:
            return None
        order = np.argsort(-probabilities, kind="stable")
        is_there = probabilities >= np.array(self.run.thresholds.values)
        return self._candidates(probabilities, order[is_there[order]])

    def _candidates(self, probabilities: np.ndarray, order: np.ndarray) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(self.class_names[index], int(index), float(probabilities[index]))
            for index in order
        )
