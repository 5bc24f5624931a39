"""The value range of a run, by its training images, and the images of all splits in that range."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vit_keras.data import scientific_files
from vit_keras.data.dataset import Split, Splits
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.value_range import (
    PERCENTILE,
    PERCENTILES,
    WINDOW,
    check_fits,
    facts_of,
    to_pixels,
)
from vit_keras.errors import SettingError

MAX_CLIPPED = 0.01  # of the values, without a warning
IMAGES = 1000  # training images that are looked at, evenly spaced
VALUES = 2**14  # of each, evenly spaced

log = logging.getLogger("vit_keras")


def in_value_range(splits: Splits) -> Splits:
    """The splits with images of 0 to 255; images of 256 levels as they are.

    Raises:
        SettingError: the training images have one value only, or an image is of another depth.
    """
    if splits.value_range is None:
        return splits
    value_range = measured_range(splits.train, splits.value_range)
    parts: dict[str, Any] = {
        name: split_in_range(split, value_range, name) for name, split in splits.as_dict().items()
    }
    files = parts["train"].images
    return replace(
        splits,
        **parts,
        value_range=value_range,
        train_files=files if isinstance(files, LazyImages) else None,
    )


def measured_range(train: Split, value_range: Any) -> Any:
    """(low, high) or `window`: `percentile` is measured on these images, anything else stays.

    Values that are clipped are warned of.

    Raises:
        SettingError: the images have one value only.
    """
    if value_range == WINDOW:
        return value_range
    sample = _sample(train.images)
    if value_range == PERCENTILE:
        value_range = _percentiles(sample)
        log.info("data.value_range=percentile is [%g,%g] of these images", *value_range)
    _warn_of_clipping(sample, value_range)
    return value_range


def split_in_range(split: Split, value_range: Any, name: str) -> Split:
    """A split of stored values -> one of 0 to 255; lazy images stay lazy.

    Raises:
        SettingError: an image is of another depth; arrays are named by `name`.
    """
    return Split(_in_range(split.images, value_range, name), split.labels)


def _sample(images: np.ndarray | LazyImages) -> np.ndarray:
    """(m,) values of training images."""
    chosen = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    return np.concatenate([_some(values) for values in _stored(images, chosen)])


def _stored(images: np.ndarray | LazyImages, chosen: np.ndarray) -> Iterator[np.ndarray]:
    if not isinstance(images, LazyImages):
        yield from images[chosen]
        return
    for file in images.files[chosen]:
        content = images.source.read(file.path)
        yield scientific_files.read_stored(content, images.options).values


def _some(values: np.ndarray) -> np.ndarray:
    return values.ravel()[:: -(-values.size // VALUES)].astype(np.float64)


def _percentiles(sample: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    if low >= high:
        raise SettingError(
            f"data.value_range=percentile: {PERCENTILES[0]}% and {PERCENTILES[1]}% of the training "
            f"images have the value {low:g}; set data.value_range=[low,high]"
        )
    return low, high


def _warn_of_clipping(sample: np.ndarray, value_range: tuple[float, float]) -> None:
    low, high = value_range
    clipped = float(((sample < low) | (sample > high)).mean())
    if round(clipped, 3) > MAX_CLIPPED:  # as it is printed
        log.warning(
            "warning: data.value_range=[%g,%g] clips %.1f%% of the values of the training images, "
            "which are %g to %g",
            *(low, high, 100 * clipped, sample.min(), sample.max()),
        )


def _in_range(images: np.ndarray | LazyImages, value_range: Any, name: str) -> Any:
    try:
        if isinstance(images, LazyImages):
            for file in images.files:
                name = file.path
                check_fits(file.facts, value_range)
            return images.with_options(replace(images.options, value_range=value_range))
        check_fits(facts_of(images), value_range)
    except RangeError as error:
        raise SettingError(f"{name} has {error}") from None
    return to_pixels(images, value_range)
