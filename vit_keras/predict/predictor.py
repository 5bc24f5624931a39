"""Predict classes of images with a trained run.

    predictor = vit_keras.Predictor("saved_models/digits")
    predictor.predict(["a.png", "b.png"])[0].label

Threads decode files while the model computes, by one of `engines`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import validators
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.export.onnx_session import Outputs
from vit_keras.predict import decisions, engines, inputs
from vit_keras.predict.decisions import Decision, Rule
from vit_keras.predict.embedder import Embedder
from vit_keras.predict.inputs import Item
from vit_keras.predict.reader import BatchReader, Unreadable, check_all_read, check_reading
from vit_keras.runs.saved_run import SavedRun, open_run


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


class Predictor:
    """A run's best model, for images of any size and kind.

    Attributes:
        run: the `SavedRun`.
        engine: what computes, an `engines.Engine`; `engine.name` is "Keras" or "ONNX Runtime".
        class_names: name of each logit, in order.
        input_shape: (X, Y, C) of the model.
        calibrated: whether the run's temperature divides the logits.
        pixel_options: how pixels become RGB, as the run was trained.
    """

    def __init__(
        self,
        run: str | Path | SavedRun,
        batch_size: int = 32,
        workers: int | None = None,
        engine: str = engines.AUTO,
        calibrated: bool = True,
        threads: int | None = None,
    ) -> None:
        """Open a run and load its model.

        Args:
            run: the folder of a training run, or the result of `open_run`.
            batch_size: images per batch; smaller only if a call has fewer images.
            workers: decoding threads; the number of CPU cores by default.
            engine: `auto`, `keras`, `onnx` or `onnx_int8`; see `engines.open_engine`.
            calibrated: False for the softmax of the logits, without the run's temperature.
            threads: those that ONNX Runtime computes with; the number of CPU cores by default.

        Raises:
            SettingError: it is not a run, its model is missing or damaged, the engine cannot be
                used, or the run has no temperature, as with task=multilabel.
        """
        check_reading(batch_size, workers)
        self.run = run if isinstance(run, SavedRun) else open_run(run)
        decisions.check_calibrated(self.run, calibrated)
        self.calibrated = calibrated
        self.class_names = self.run.class_names
        self.pixel_options = PixelOptions.of(self.run.config.data)
        self.engine = engines.open_engine(self.run, engine, batch_size, threads)
        self.input_shape = self.engine.input_shape
        mode = self.run.config.data.resize_mode
        self._reader = BatchReader(self.input_shape, mode, self.pixel_options, batch_size, workers)

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
        way_out = "call results(), which yields the reason for each of them"
        check_all_read(bad, len(results), way_out)
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
        rule = self.rule(coverage, ood_quantile, flip)
        return self._results(inputs.iter_items(images, self.pixel_options), top_k, flip, rule)

    def rule(
        self, coverage: float | None, ood_quantile: float | None = None, flip: bool = False
    ) -> Rule | None:
        """The rule by which predictions abstain, see `predict`; None without a coverage.

        Raises:
            SettingError: the run, or its engine, cannot abstain at this coverage.
        """
        decisions.check_ood_score(self.engine.has_ood_score, coverage)
        return decisions.rule(self.run, coverage, ood_quantile, flip, self.calibrated)

    def _results(
        self, items: Iterator[Item], top_k: int, flip: bool, rule: Rule | None
    ) -> Iterator[Prediction | Unreadable]:
        for batch in self._reader.batches(items):
            readable = [pixels for _, pixels in batch if not isinstance(pixels, Unreadable)]
            found = iter(self.classify(readable, top_k, flip, rule))
            for item, pixels in batch:
                if isinstance(pixels, Unreadable):
                    yield pixels
                else:
                    yield Prediction(item.source, *next(found))

    def embed(self, images: Any) -> np.ndarray:
        """Embed each image: -> (n, D) float32, what the classification head reads.

        By Keras, whichever engine predicts. `embedder.batches` embeds more images than fit in
        memory, and goes on after one that cannot be read.

        Args:
            images: as for `predict`.

        Raises:
            SettingError: an image cannot be read.
        """
        return self.embedder.embed(images)

    @property
    def decision(self) -> str:
        """What a reader of its predictions should know of how they are decided, in a sentence."""
        return self.run.decision if self.calibrated else self.run.calibration.sentence_without

    @cached_property
    def embedder(self) -> Embedder:
        """The run's model without its head, loaded on first use."""
        return Embedder(self.run, self._reader.batch_size, self._reader.workers)

    def pixels(self, item: Item) -> np.ndarray:
        """A single image -> (X, Y, C) uint8, the input of the model, as in training.

        Raises:
            OSError: the file cannot be read.
            UnreadableError: the file is not an image, or is damaged.
        """
        return self._reader.pixels(item)

    def classify(
        self,
        images: Sequence[np.ndarray],
        top_k: int = 3,
        flip: bool = False,
        rule: Rule | None = None,
    ) -> list[tuple[tuple[Candidate, ...], Decision | None, tuple[Candidate, ...] | None]]:
        """n results of `pixels`, (X, Y, C) -> of each `Prediction.top`, `decision` and `labels`.

        In this thread; several may call it at a time.
        """
        if not images:
            return []
        probabilities, scores = self.outputs(np.stack(images), flip)
        return self.ranked(probabilities, top_k, rule, scores)

    def ranked(
        self,
        probabilities: np.ndarray,
        top_k: int = 3,
        rule: Rule | None = None,
        scores: np.ndarray | None = None,
    ) -> list[tuple[tuple[Candidate, ...], Decision | None, tuple[Candidate, ...] | None]]:
        """Outputs (n, classes) and (n,) -> of each `Prediction.top`, `decision` and `labels`."""
        decided: Sequence[Decision | None] = [None] * len(probabilities)
        if rule is not None:
            decided = rule.decide(probabilities, scores, self.class_names)
        return [
            (self._top(row, top_k), decision, self._labels(row))
            for row, decision in zip(probabilities, decided, strict=True)
        ]

    def outputs(self, batch: np.ndarray, flip: bool = False) -> Outputs:
        """Results of `pixels` (n, X, Y, C) -> probabilities (n, classes), and scores (n,) or None.

        With `flip`, probabilities are the mean of those of the images and of their mirror images.
        """
        found = self._outputs(batch)
        if not flip:
            return found
        mirrored = self._outputs(np.ascontiguousarray(batch[:, :, ::-1]))
        mean = (found.probabilities + mirrored.probabilities) / 2
        return found._replace(probabilities=mean)

    def _outputs(self, batch: np.ndarray) -> Outputs:
        found = self.engine.outputs(batch)
        if self.calibrated:
            return found
        # An ONNX file has the temperature T in it: softmax(z) ~ softmax(z / T)^T.
        powers = found.probabilities.astype("float64") ** self.run.temperature
        return found._replace(probabilities=powers / powers.sum(axis=-1, keepdims=True))

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
