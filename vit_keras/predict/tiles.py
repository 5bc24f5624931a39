"""Predict an image that is far larger than a model's input by overlapping tiles.

    found = predict_by_tiles(predictor, "field.tif", tile_size=512)
    found.prediction.label, found.probabilities.shape       # of the image; (rows, columns, classes)

The image is decoded once, upright, and its tiles are cut, resized and predicted batch by batch.

    R, S    rows and columns of tiles
    K       classes
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit_keras import validators
from vit_keras.data.image_formats import MIN_SIDE
from vit_keras.errors import SettingError
from vit_keras.predict import inputs
from vit_keras.predict.predictor import Candidate, Prediction, Predictor
from vit_keras.runs.saved_run import SavedRun
from vit_keras.validators import Bounds

MAX_TILES = 2**16  # of an image
OVERLAP, MAX_OVERLAP = 0.25, 0.9
MAPS = "tiles.csv"  # a folder that has this file holds maps of tiles
COMBINE = MEAN, MAX = ("mean", "max")
THUMBNAIL = 1000  # pixels of the longer side, at most


@dataclass(frozen=True)
class TiledPrediction:
    """The predictions of an image's tiles, and of the image by them.

    Attributes:
        prediction: of the image: the mean over its tiles of each class's probability, or the
            largest, which need not add up to 1.
        tops: first row of each row of tiles in the image, (R,).
        lefts: first column of each column of tiles, (S,).
        tile: (height, width) of a tile in pixels of the image.
        probabilities: (R, S, K) float32.
        thumbnail: the image, uint8, of at most `THUMBNAIL` pixels a side.
        image_size: (height, width) of the image.
    """

    prediction: Prediction
    tops: np.ndarray
    lefts: np.ndarray
    tile: tuple[int, int]
    probabilities: np.ndarray
    thumbnail: np.ndarray
    image_size: tuple[int, int]


def predict_by_tiles(
    predictor: Predictor,
    image: Any,
    tile_size: int | None = None,
    overlap: float = OVERLAP,
    combine: str = MEAN,
    top_k: int = 3,
    flip: bool = False,
) -> TiledPrediction:
    """Predict one image by a grid of tiles that covers it.

    Args:
        predictor: of a run.
        image: one image of any kind that `Predictor.predict` takes.
        tile_size: height of a tile in pixels of the image, its width being in the proportion of
            the model's input; None is the height of the input, so that tiles are not resized.
        overlap: fraction of a tile that the next one covers too, at least.
        combine: `mean` of the probabilities of the tiles, or `max` to find what is in a few.
        top_k: maximum number of classes of the prediction.
        flip: horizontal-flip test-time augmentation of each tile.

    Raises:
        SettingError: a setting is invalid, it is not one image, or it is smaller than a tile or
            has more than 65,536 of them.
        OSError, UnreadableError: the file cannot be read.
    """
    check_tiles(tile_size, overlap, combine)
    check_run(predictor.run)
    items = list(inputs.iter_items(image, predictor.pixel_options))
    if len(items) != 1:
        raise SettingError(
            f"{len(items)} images are given, and tiles are cut of one; pass it alone"
        )
    (item,) = items
    pixels = inputs.whole_pixels(item, predictor.pixel_options)
    tile = tile_shape(tile_size, predictor.input_shape)
    tops, lefts = _grid(pixels.shape, tile, overlap)
    classes = len(predictor.class_names)
    results = predictor.results(_cut(pixels, tops, lefts, tile), classes, flip)
    probabilities = np.zeros((len(tops) * len(lefts), classes), "float32")
    for row, result in zip(probabilities, results, strict=True):
        assert isinstance(result, Prediction)  # an array is always readable
        for candidate in result.top:
            row[candidate.index] = candidate.confidence
    combined = probabilities.mean(axis=0) if combine == MEAN else probabilities.max(axis=0)
    best = np.argsort(-combined, kind="stable")[:top_k]
    top = [Candidate(predictor.class_names[i], int(i), float(combined[i])) for i in best]
    return TiledPrediction(
        prediction=Prediction(item.source, tuple(top)),
        tops=tops,
        lefts=lefts,
        tile=tile,
        probabilities=probabilities.reshape(len(tops), len(lefts), classes),
        thumbnail=_thumbnail(pixels),
        image_size=pixels.shape[:2],
    )


def check_tiles(tile_size: int | None, overlap: float = OVERLAP, combine: str = MEAN) -> None:
    """Refuse settings that are wrong with any image.

    Raises:
        SettingError: naming the setting.
    """
    if tile_size is not None:
        validators.check_int("tile_size", tile_size, least=MIN_SIDE)
    bounds = Bounds(at_least=0, at_most=MAX_OVERLAP)
    validators.check_number("overlap", overlap, str(bounds))
    validators.check_bounds("overlap", overlap, bounds)
    validators.check_choice("combine", combine, COMBINE)


def check_run(run: SavedRun) -> None:
    """Refuse tiles for a run that gives several labels, or reads images in full depth.

    Raises:
        SettingError: the run has task=multilabel, or a `data.value_range`.
    """
    if run.is_multilabel:
        raise SettingError(
            f"tiles give an image one class, and run={run.path} is of task=multilabel; leave out "
            "tile_size"
        )
    value_range = run.config.data.value_range
    if value_range is not None:
        raise SettingError(
            f"tiles are cut of images of 8 bits, and the run has data.value_range={value_range}; "
            "cut the images, or predict them whole"
        )


def tile_shape(tile_size: int | None, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of a tile, in the proportion of the model's input (X, Y, C)."""
    rows, columns = input_shape[:2]
    height = rows if tile_size is None else tile_size
    return height, max(MIN_SIDE, round(height * columns / rows))


def starts(length: int, tile: int, overlap: float) -> np.ndarray:
    """Where tiles begin that cover `length` pixels: evenly spaced, the last one at the end."""
    count = 1 + int(np.ceil((length - tile) / max(1, tile * (1 - overlap)) - 1e-9))
    return np.linspace(0, length - tile, count).round().astype(int)


def _grid(
    shape: tuple[int, ...], tile: tuple[int, int], overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """First rows and first columns of the tiles."""
    image = f"an image {shape[0]} pixels high and {shape[1]} wide"
    if shape[0] < tile[0] or shape[1] < tile[1]:
        fitting = min(shape[0], shape[1] * tile[0] // tile[1])
        raise SettingError(
            f"{image} is smaller than a tile of {tile[0]} by {tile[1]}; use a tile size of "
            f"{fitting} or less, or predict it without tiles"
        )
    tops, lefts = (starts(shape[axis], tile[axis], overlap) for axis in (0, 1))
    if len(tops) * len(lefts) > MAX_TILES:
        raise SettingError(
            f"{image} has {len(tops) * len(lefts):,} tiles of {tile[0]} by {tile[1]}, more than "
            f"{MAX_TILES:,}; use a larger tile size, or less overlap"
        )
    return tops, lefts


def _cut(
    pixels: np.ndarray, tops: np.ndarray, lefts: np.ndarray, tile: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The tiles, row by row: views, of which the predictor holds a few batches at a time."""
    for top in tops:
        for left in lefts:
            yield pixels[top : top + tile[0], left : left + tile[1]]


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    step = -(-max(pixels.shape[:2]) // THUMBNAIL)
    return np.ascontiguousarray(pixels[::step, ::step])
