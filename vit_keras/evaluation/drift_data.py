"""The two samples of a drift test: validation images of a run, and images of now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.evaluation.drift import Drift, Sample, compare
from vit_keras.predict.predictor import Predictor
from vit_keras.predict.reader import Unreadable
from vit_keras.text import counted

IMAGES = 1000  # of each sample, evenly spaced
LEAST = 20  # images below which no test says anything


def find_drift(
    run: str | Path, files: Sequence[str], images: int = IMAGES, alpha: float = 0.01, seed: int = 0
) -> tuple[Drift, list[Unreadable]]:
    """Test whether image files differ from the validation images of a run.

    The validation images were not trained on, and the model was chosen by them alone.

    Args:
        run: the folder of a training run.
        files: paths of images.
        images: the largest number of each sample.
        alpha: the probability of a false alarm.
        seed: of permutations, halves and samples.

    Raises:
        SettingError: the run's data cannot be loaded, or there are too few images.
    """
    predictor = Predictor(run)
    predictor.run.check_data_path()
    config = predictor.run.config
    validation = load_splits(config.data, config.train.seed).validation.images
    chosen = _evenly_spaced(len(validation), images)
    reference, _ = _sample(predictor, validation[chosen], "the validation images of the run")
    few = [files[index] for index in _evenly_spaced(len(files), images)]
    sample, unreadable = _sample(predictor, few, "images=...")
    return compare(reference, sample, alpha, seed), unreadable


def _evenly_spaced(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _sample(predictor: Predictor, images: Any, name: str) -> tuple[Sample, list[Unreadable]]:
    embeddings, probabilities, unreadable = [], [], list[Unreadable]()
    figures: list[dict[str, float]] = []
    for batch in predictor.embedder.batches(images):
        unreadable += batch.unreadable
        readable = [one for one in batch.pixels if not isinstance(one, Unreadable)]
        if not readable:
            continue
        embeddings.append(batch.vectors[~np.isnan(batch.vectors).any(axis=-1)])
        probabilities.append(predictor.engine.outputs(np.stack(readable)).probabilities)
        figures += map(input_figures, readable)
    if len(figures) < LEAST:
        raise SettingError(
            f"{name}: {counted(len(figures), 'image[s]')}, too few for a test; use {LEAST} or more"
        )
    inputs = {key: np.array([one[key] for one in figures]) for key in figures[0]}
    return Sample(np.concatenate(embeddings), np.concatenate(probabilities), inputs), unreadable


def input_figures(pixels: np.ndarray) -> dict[str, float]:
    """(X, Y, C) of 0 to 255 -> the brightness, contrast and sharpness of an image.

    Sharpness is the standard deviation of the Laplacian: of a blurred image it is low.
    """
    grey = pixels.astype("float64").mean(axis=-1)
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = sides - 4 * grey[1:-1, 1:-1]
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(laplacian.std()),
    }
