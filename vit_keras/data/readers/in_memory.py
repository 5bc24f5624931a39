"""What a Python program hands over: arrays, a tf.data.Dataset, a Keras PyDataset -> `data.Given`.

Everything is read into memory once. A data set gives (images, labels), in batches or one by one:
images of four axes are a batch; so are those of three, (b, X, Y), that come with more than one
label, unless their last axis is 1, 3 or 4 long: that is one image with a one-hot label.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vit_keras.config.schema import Config, DataConfig
from vit_keras.data.dataset import InMemoryData, Split, Splits
from vit_keras.data.readers.arrays import CHANNELS, Pair, convert
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.validators import check_choice

log = logging.getLogger("vit_keras")

SPLITS = ("train", "validation", "test")
FORMS = (
    "(images, labels), a tf.data.Dataset or a Keras PyDataset of these, or a dictionary with one "
    "of them as train and, as you like, as validation and test"
)


def build_splits(
    train: Any,
    validation: Any = None,
    test: Any = None,
    class_names: Iterable[Any] | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Splits to train on, `train_model(config, data=...)`, of what is at hand.

    Args:
        train: (images, labels), a tf.data.Dataset or a Keras PyDataset of these, finite; see
            `vit_keras.arrays` for the forms that arrays can have.
        validation: likewise; else drawn from `train`, stratified.
        test: likewise; else a fifth of `train`, stratified, the same for every seed.
        class_names: one for each class; "0", "1", ... unless given.
        validation_fraction: of what `train` has left for it.
        seed: of the draw of the validation split.

    Raises:
        SettingError: naming the split, what it has, and what would do.
    """
    if not 0 < validation_fraction <= 0.9:
        raise SettingError(
            f"validation_fraction={validation_fraction} is out of range; use above 0, 0.9 at most"
        )
    parts = {"train": train, "validation": validation, "test": test, "class_names": class_names}
    config = DataConfig(name="arrays", validation_fraction=validation_fraction)
    return load_splits(config, seed, to_in_memory(parts))


def to_in_memory(data: Any) -> InMemoryData:
    """`data` as it can be handed to `train_model`, checked and in our form.

    Raises:
        SettingError: naming the split, what it has, and what would do.
    """
    if isinstance(data, InMemoryData):
        return data
    if isinstance(data, Splits):
        data = {name: getattr(data, name) for name in (*SPLITS, "class_names")}
    elif isinstance(data, tuple) and len(data) == 2 and all(_is_pair(part) for part in data):
        data = {"train": data[0], "test": data[1]}  # as keras.datasets gives it
    elif not isinstance(data, Mapping):
        data = {"train": data}
    for name in data:
        check_choice("data", name, (*SPLITS, "class_names"))
    if data.get("train") is None:
        raise SettingError(f"data has no train; give {FORMS}")
    pairs = {name: _pair(data[name], name) for name in SPLITS if data.get(name) is not None}
    converted, names, report = convert(pairs, data.get("class_names"), "data")
    log.info("data: %s", report)
    splits = {name: Split(*pair) for name, pair in converted.items()}
    return InMemoryData(splits["train"], splits.get("validation"), splits.get("test"), names)


def with_array_source(config: Config, data: InMemoryData | None) -> Config:
    """`config` as it is true of a run on `data`, as its `config.yaml` says it."""
    if data is None:
        return config
    return replace(config, data=replace(config.data, name="arrays", path=None, download=False))


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2


def _pair(data: Any, name: str) -> Pair:
    """The arrays of one split, whatever it is given as."""
    import keras

    if hasattr(data, "as_numpy_iterator") and hasattr(data, "cardinality"):
        return _collected(_of_tensorflow(data, name), name)
    if isinstance(data, keras.utils.PyDataset):
        return _collected(_of_keras(data, name), name)
    if isinstance(data, tuple | list) and len(data) == 2:
        return Pair(*map(_array, data))
    raise SettingError(f"data: {name} is {type(data).__name__}; give {FORMS}")


def _array(values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise SettingError(f"data is no array ({error}); bring all images to one size") from None


def _of_tensorflow(data: Any, name: str) -> Iterator[Any]:
    if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise _endless(name)
    return data.as_numpy_iterator()


def _of_keras(data: Any, name: str) -> Iterator[Any]:
    if data.num_batches is None:
        raise _endless(name)
    return (data[index] for index in range(data.num_batches))


def _collected(elements: Iterator[Any], name: str) -> Pair:
    """All of a data set in two arrays."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    space = _half_the_memory()
    for element in elements:
        if not isinstance(element, tuple | list) or len(element) != 2:
            what = f"{len(element)} parts" if hasattr(element, "__len__") else "one part"
            raise SettingError(
                f"data: {name} gives {what} at a time ({type(element).__name__}); give (images, "
                "labels), as TFDS does with as_supervised=True"
            )
        image, label = map(np.asarray, element)
        is_grey_batch = image.ndim == 3 and label.ndim and image.shape[-1] not in CHANNELS
        is_batch = image.ndim == 4 or is_grey_batch
        images.append(image if is_batch else image[None])
        labels.append(label if is_batch else label[None])
        if images[-1].shape[1:] != images[0].shape[1:]:
            raise SettingError(
                f"data: {name} has images of {images[0].shape[1:]} and of {images[-1].shape[1:]}; "
                "bring them to one size"
            )
        space -= image.nbytes
        if space < 0:
            raise SettingError(
                f"data: {name} has not ended when its images filled half of the memory; give a "
                "finite data set, by take(), or a folder (data=folder)"
            )
    if not images:
        raise SettingError(f"data: {name} is empty; give some images (is it read already?)")
    return Pair(np.concatenate(images), np.concatenate(labels))


def _half_the_memory() -> int:
    """In bytes: what a data set may take that does not say where it ends."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _endless(name: str) -> SettingError:
    return SettingError(
        f"data: {name} has no end; give a finite data set, without repeat() or cut by take()"
    )
