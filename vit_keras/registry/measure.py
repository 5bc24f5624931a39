"""What registered models do on the same test images. Imports no Keras.

n images, K classes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import recall_score

from vit_keras.config.compose import PIXELS, get_setting, set_setting
from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import Split
from vit_keras.data.image_hashes import image_hashes
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.evaluation import calibration
from vit_keras.predict import inputs
from vit_keras.predict.engines import ONNX
from vit_keras.predict.predictor import Predictor
from vit_keras.registry.package import package_bytes
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.runs.training_images import read_training_images

BATCH = 64  # images in one call
ROUNDS, CALLS, WARM_UP = 20, 20, 5  # of one image each, whose latency is measured


@dataclass(frozen=True)
class Measured:
    """A version on the test images.

    Attributes:
        is_correct: (n,) bool.
        accuracy: share of them.
        worst_class: the lowest recall of a class.
        worst_name: its name.
        calibration_error: expected calibration error of the confidences as they are served.
        latencies: (rounds,) milliseconds that 95% of calls with one image take at most.
        megabytes: of the file that is served.
        trained_on: number of the test images that it was trained on.
    """

    is_correct: np.ndarray
    accuracy: float
    worst_class: float
    worst_name: str
    calibration_error: float
    latencies: np.ndarray
    megabytes: float
    trained_on: int

    @property
    def latency_p95(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.latencies))


def measure(packages: Sequence[Path], format: str = ONNX) -> list[Measured]:
    """Measure packages on the test images of the first, each by its own input.

    Args:
        packages: folders; the first one's data are used.
        format: of the export that is served.

    Raises:
        SettingError: the data cannot be loaded, the classes differ, or a run has several labels.
    """
    saved = [open_run(folder) for folder in packages]
    _check_comparable(saved)
    tests = [_test_split(one, saved[0]) for one in saved]
    predictors = [Predictor(one, BATCH, engine=format) for one in saved]
    probabilities = [
        _probabilities(predictor, test) for predictor, test in zip(predictors, tests, strict=True)
    ]
    latencies = latencies_p95(predictors)
    return [
        _measured(one, test, found, latency, format)
        for one, test, found, latency in zip(saved, tests, probabilities, latencies, strict=True)
    ]


def _check_comparable(saved: Sequence[SavedRun]) -> None:
    for one in saved:
        if one.is_multilabel:
            raise SettingError(
                f"{one.path} has task=multilabel, which the gate does not compare yet; set the "
                "alias by hand"
            )
        if one.class_names != saved[0].class_names:
            raise SettingError(
                f"the classes differ: {', '.join(saved[0].class_names[:5])}, ... and "
                f"{', '.join(one.class_names[:5])}, ...; register the model under another name"
            )


def _test_split(saved: SavedRun, of: SavedRun) -> Split:
    """The test images of `of`, decoded as `saved` was trained."""
    of.check_data_path()
    data: DataConfig = replace(of.config.data)
    settings = replace(of.config, data=data)
    for setting in PIXELS:
        set_setting(settings, setting, get_setting(saved.config, setting))
    return load_splits(data, of.config.train.seed).test


def _probabilities(predictor: Predictor, test: Split) -> np.ndarray:
    """(n, K) float32."""
    parts = []
    for start in range(0, len(test.labels), BATCH):
        images = test.images[start : start + BATCH]
        items = inputs.iter_items(images, predictor.pixel_options)
        pixels = [predictor.pixels(item) for item in items]
        parts.append(predictor.engine.outputs(np.stack(pixels)).probabilities)
    return np.concatenate(parts)


def latencies_p95(
    predictors: Sequence[Predictor], calls: int = CALLS, rounds: int = ROUNDS
) -> list[np.ndarray]:
    """Of each predictor (rounds,): the 95th percentile of its calls with one image, in ms.

    The predictors are called in turn: what else the computer does slows all of them.
    """
    images = [np.zeros((1, *one.input_shape), one.pixel_options.dtype) for one in predictors]
    seconds = np.zeros((rounds, calls, len(predictors)))
    for predictor, image in zip(predictors, images, strict=True):
        for _ in range(WARM_UP):
            predictor.engine.outputs(image)
    for index in np.ndindex(seconds.shape):
        predictor, image = predictors[index[-1]], images[index[-1]]
        started = time.perf_counter()
        predictor.engine.outputs(image)
        seconds[index] = time.perf_counter() - started
    return list(1000 * np.percentile(seconds, 95, axis=1).T)


def _measured(
    saved: SavedRun, test: Split, probabilities: np.ndarray, latency: np.ndarray, format: str
) -> Measured:
    labels, predicted = test.labels, probabilities.argmax(axis=-1)
    is_correct = predicted == labels
    present = np.unique(labels)
    recalls = recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    bins = calibration.reliability_bins(probabilities.max(axis=-1), is_correct)
    known, trained_on = read_training_images(saved.path), 0
    if known is not None:
        hashes = image_hashes(test.images)
        if hashes.kind == known.kind:
            trained_on = int(np.isin(hashes.values, known.values).sum())
    return Measured(
        is_correct=is_correct,
        accuracy=float(is_correct.mean()),
        worst_class=float(recalls.min()),
        worst_name=saved.class_names[int(present[recalls.argmin()])],
        calibration_error=calibration.expected_calibration_error(bins),
        latencies=latency,
        megabytes=package_bytes(saved.path, format) / 1e6,
        trained_on=trained_on,
    )
