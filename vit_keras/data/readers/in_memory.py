"""In-memory data sets: arrays, tf.data.Dataset or PyDataset.

A data set yields (images, labels), in batches or one by one. Images of four axes are a batch; so
are images of three axes, (b, X, Y), with more than one label, unless the last axis is 1, 3 or 4
long: that is one image with a one-hot label.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vit_keras.config.schema import GROUP_DUPLICATES, Config, DataConfig
from vit_keras.data.dataset import SourceData, Splits
from vit_keras.data.readers import multi_hot
from vit_keras.data.readers.arrays import CHANNELS, convert
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.validators import check_choice

log = logging.getLogger("vit_keras")

SPLITS = ("train", "validation", "test")
FORMS = (
    "(images, labels), a tf.data.Dataset or a Keras PyDataset of these, or a dictionary of them "
    "with the keys train and, optionally, validation and test"
)
Arrays = tuple[np.ndarray, Any]  # images, and labels: an array, or lists of names


def build_splits(
    train: Any,
    validation: Any = None,
    test: Any = None,
    class_names: Iterable[Any] | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    group_duplicates: str = "equal",
    several_labels: bool = False,
) -> Splits:
    """Make the splits for `train_model(config, data=...)` from in-memory data.

    Args:
        train: (images, labels), or a finite tf.data.Dataset or Keras PyDataset of these; see
            `vit_keras.data.readers.arrays` for the forms of the arrays.
        validation: likewise; by default a stratified part of `train`.
        test: likewise; by default a stratified fifth of `train`, the same for every seed.
        class_names: one for each class; by default "0", "1", ..., or those that the labels name.
        validation_fraction: of `train`, without the test images drawn from it.
        seed: of the draw of the validation split.
        group_duplicates: which images stay together in a draw, as `data.group_duplicates`.
        several_labels: whether images have any number of labels each, for task=multilabel: rows of
            0 and 1, (n, classes), or a list of names for each image.

    Raises:
        SettingError: naming the split, what is wrong, and the way out.
    """
    if not 0 < validation_fraction <= 0.9:
        raise SettingError(
            f"validation_fraction={validation_fraction} is out of range; use above 0, 0.9 at most"
        )
    check_choice("group_duplicates", group_duplicates, GROUP_DUPLICATES)
    parts = {"train": train, "validation": validation, "test": test, "class_names": class_names}
    config = DataConfig(
        name="arrays",
        validation_fraction=validation_fraction,
        group_duplicates=group_duplicates,
        several_labels=several_labels,
    )
    return load_splits(config, seed, to_in_memory(parts, config))


def to_in_memory(data: Any, config: DataConfig = DataConfig()) -> SourceData:  # noqa: B008
    """Read any form of `train_model`'s `data` into memory, checked and converted.

    Args:
        data: in any form.
        config: the run's, of which `bit_depth`, `value_range`, `channels` and `several_labels`
            count.

    Raises:
        SettingError: naming the split, what is wrong, and the way out.
    """
    if isinstance(data, SourceData):
        return data
    bit_depth = config.bit_depth
    if isinstance(data, Splits):
        if data.value_range is not None:
            raise SettingError(
                f"data has splits that were read by data.value_range={data.value_range}; give the "
                "images as they are stored, or the settings of the data alone"
            )
        bit_depth = data.bit_depth or bit_depth
        data = {name: getattr(data, name) for name in (*SPLITS, "class_names")}
    elif isinstance(data, tuple) and len(data) == 2 and all(map(_is_pair, data)):
        data = {"train": data[0], "test": data[1]}  # keras.datasets' load_data()
    elif not isinstance(data, Mapping):
        data = {"train": data}
    for name in data:
        check_choice("data", name, (*SPLITS, "class_names"))
    if data.get("train") is None:
        raise SettingError(f"data has no train; give {FORMS}")
    several = config.several_labels
    given = [name for name in SPLITS if data.get(name) is not None]
    arrays = {name: _to_arrays(data[name], name, several) for name in given}
    class_names = data.get("class_names")
    if several:
        arrays, class_names = multi_hot.from_names(arrays, class_names)
    converted, report = convert(
        arrays,
        class_names,
        "data",
        bit_depth,
        config.value_range,
        config.channels,
        several,
    )
    log.info("data: %s", report)
    return converted


def with_array_source(config: Config, data: SourceData | None) -> Config:
    """The configuration that a run on in-memory `data` stores in its `config.yaml`."""
    if data is None:
        return config
    return replace(config, data=replace(config.data, name="arrays", path=None, download=False))


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2


def _to_arrays(data: Any, name: str, several_labels: bool) -> Arrays:
    """The images and labels of one split; several labels may be lists of names."""
    import keras

    if hasattr(data, "as_numpy_iterator") and hasattr(data, "cardinality"):
        return _concatenate(_tf_elements(data, name), name)
    if isinstance(data, keras.utils.PyDataset):
        return _concatenate(_pydataset_elements(data, name), name)
    if isinstance(data, tuple | list) and len(data) == 2:
        images, labels = data
        are_names = several_labels and multi_hot.are_names(labels)
        return _array(images), labels if are_names else _array(labels)
    raise SettingError(f"data: {name} is {type(data).__name__}; give {FORMS}")


def _array(values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise SettingError(f"data is no array ({error}); bring all images to one size") from None


def _tf_elements(data: Any, name: str) -> Iterator[Any]:
    if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise _infinite(name)
    return data.as_numpy_iterator()


def _pydataset_elements(data: Any, name: str) -> Iterator[Any]:
    if data.num_batches is None:
        raise _infinite(name)
    return (data[index] for index in range(data.num_batches))


def _concatenate(elements: Iterator[Any], name: str) -> Arrays:
    """All images and labels of a data set, up to half of the machine's memory."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    free_bytes = _half_the_memory()
    for element in elements:
        if not isinstance(element, tuple | list) or len(element) != 2:
            parts = f"{len(element)} parts" if hasattr(element, "__len__") else "one part"
            raise SettingError(
                f"data: {name} yields {parts} at a time ({type(element).__name__}); give (images, "
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
        free_bytes -= image.nbytes
        if free_bytes < 0:
            raise SettingError(
                f"data: {name} has not ended when its images filled half of the memory; use a "
                "finite data set, by take(), or a folder (data=folder)"
            )
    if not images:
        raise SettingError(f"data: {name} is empty; give some images (is it read already?)")
    return np.concatenate(images), np.concatenate(labels)


def _half_the_memory() -> int:
    """In bytes: the limit of a data set that does not say how many elements it has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _infinite(name: str) -> SettingError:
    return SettingError(
        f"data: {name} has no end; give a finite data set, without repeat() or cut by take()"
    )
