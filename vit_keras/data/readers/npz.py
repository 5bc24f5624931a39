"""Arrays in a `.npz` file (`np.savez`): x_train, y_train, x_test and y_test, or images and labels.

`class_names` may be in the file too. Checks before training read the headers and the labels alone.
Pickled arrays are never opened.
"""

import functools
import logging
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, SourceData
from vit_keras.data.readers.arrays import check_names, class_numbers, convert, image_shape
from vit_keras.data.readers.multi_hot import label_rows
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.text import counted, first_line

log = logging.getLogger("vit_keras")

KEYS = "x_train and y_train (with x_test and y_test if there is a test split), or images and labels"


class _Contents(NamedTuple):
    """What the headers and the labels of a file say."""

    shape: tuple[int, int, int]  # of an image: (X, Y, C)
    class_names: list[str]
    image_counts: dict[str, int]


def read(config: DataConfig) -> SourceData:
    """The splits of the file `data.path`, its images and labels converted as `arrays` says.

    Raises:
        SettingError: there is no such file, it is damaged, or has unsuitable arrays.
    """
    path = _path(config)
    source = f"data.path={path}"
    headers = _headers(path)
    arrays = {
        split: (_read(path, images), _read(path, labels))
        for split, (images, labels) in _keys(headers, source).items()
    }
    data, report = convert(
        arrays,
        _class_names(path, headers),
        source,
        config.bit_depth,
        config.value_range,
        config.channels,
        config.several_labels,
    )
    log.info("%s: %s", config.path, report)
    return data


def info(config: DataConfig) -> DatasetInfo:
    contents = _contents(config)
    return DatasetInfo(contents.shape[:2], contents.shape[2], len(contents.class_names))


def class_names(config: DataConfig) -> list[str]:
    return _contents(config).class_names


def image_counts(config: DataConfig) -> dict[str, int]:
    return _contents(config).image_counts


def _contents(config: DataConfig) -> _Contents:
    path = _path(config)
    status = path.stat()
    return _contents_of(
        path, status.st_mtime_ns, status.st_size, config.channels, config.several_labels
    )


@functools.lru_cache(maxsize=1)  # several checks ask for it; a changed file has another key
def _contents_of(
    path: Path, mtime: int, size: int, channels: int | None, several_labels: bool
) -> _Contents:
    source = f"data.path={path}"
    headers = _headers(path)
    shapes, counts, classes = [], {}, {}
    read_labels = label_rows if several_labels else class_numbers
    for split, (images, labels) in _keys(headers, source).items():
        shape = headers[images][0]
        shapes.append(image_shape(shape, f"{source}: {images}", channels))
        numbers, classes[split] = read_labels(_read(path, labels), f"{source}: {labels}")
        if len(numbers) != shape[0]:
            raise SettingError(
                f"{source}: {images} has {counted(shape[0], 'image[s]')} and {labels} "
                f"{counted(len(numbers), 'label[s]')}; give one label for each image"
            )
        counts[split] = shape[0]
    if len(set(shapes)) > 1:
        raise SettingError(f"{source} has images of {shapes[0]} and of {shapes[1]}; use one size")
    names = check_names(
        _class_names(path, headers), classes, counts["train"], source, several_labels
    )
    return _Contents(shapes[0], names, counts)


def _path(config: DataConfig) -> Path:
    if not config.path:
        raise SettingError(f"data.name=npz needs data.path, a file of np.savez with {KEYS}")
    path = Path(config.path).expanduser()
    if not path.is_file():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise SettingError(
            f"data.path={config.path} is no file{where}; name one of np.savez with {KEYS}"
        )
    return path


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The shape and dtype of each array, from its header."""
    readers: Any = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    shape, _, dtype = readers[npy.read_magic(file)](file)
                headers[entry.removesuffix(".npy")] = (shape, dtype)
    except UNREADABLE as error:
        raise _damaged(path, error) from None
    pickled = [name for name, (_, dtype) in headers.items() if dtype.hasobject]
    if pickled:
        raise SettingError(
            f"data.path={path}: {pickled[0]} holds Python objects, which are not opened because "
            "they can run code; save it as an array of numbers or of text"
        )
    return headers


def _keys(headers: dict[str, Any], source: str) -> dict[str, tuple[str, str]]:
    """Split -> the names of its images and of its labels in the file."""
    keys = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
    if "images" in headers and "x_train" not in headers:
        keys = {"train": ("images", "labels")}
    elif "x_test" not in headers and "y_test" not in headers:
        del keys["test"]
    missing = [name for pair in keys.values() for name in pair if name not in headers]
    if missing:
        raise SettingError(
            f"{source} has {', '.join(sorted(headers)) or 'no array'}, and no {missing[0]}; save "
            f"{KEYS}"
        )
    return keys


def _class_names(path: Path, headers: dict[str, Any]) -> list[str] | None:
    if "class_names" not in headers:
        return None
    names = _read(path, "class_names")
    if names.ndim != 1:
        raise SettingError(
            f"data.path={path}: class_names has shape {names.shape}; give one name for each class"
        )
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]


def _read(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except UNREADABLE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> SettingError:
    reason = first_line(error)
    return SettingError(
        f"data.path={path} is damaged, or not of np.savez ({reason}); save or download it again"
    )
