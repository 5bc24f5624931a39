"""Arrays in a `.npz` file (`np.savez`): x_train, y_train and x_test, y_test, as Keras' mnist.npz.

Without x_test, or as `images` and `labels` alone, a fifth is held out to test on. `class_names` may
lie beside them. What is asked before training comes from the arrays' headers and from the labels;
nothing pickled is ever opened.
"""

import functools
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers.arrays import (
    Converted,
    Pair,
    check_names,
    class_numbers,
    convert,
    image_shape,
)
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.text import first_line

KEYS = "x_train and y_train (with x_test and y_test if there is a test split), or images and labels"


class Facts(NamedTuple):
    """What the headers and the labels say."""

    shape: tuple[int, int, int]  # of an image: (X, Y, C)
    class_names: list[str]
    images: dict[str, int]  # split -> how many


def facts(config: DataConfig) -> Facts:
    """Sizes and classes of the file `data.path`, without reading its images.

    Raises:
        SettingError: there is no such file, it is damaged, or has not what is needed.
    """
    path = _path(config)
    there = path.stat()
    return _facts(path, there.st_mtime_ns, there.st_size)


@functools.lru_cache(maxsize=1)
def _facts(path: Path, *_: int) -> Facts:
    """Kept until the file changes: it is asked for several times."""
    source = f"data.path={path}"
    headers = _headers(path)
    shapes, counts, classes = [], {}, 0
    for split, (images, labels) in _keys(headers, source).items():
        shape = headers[images][0]
        shapes.append(image_shape(shape, f"{source}: {images}"))
        numbers, width = class_numbers(_read(path, labels), f"{source}: {labels}")
        if len(numbers) != shape[0]:
            raise SettingError(
                f"{source}: {images} has {shape[0]} images and {labels} {len(numbers)} labels; "
                "give one label for each image"
            )
        counts[split], classes = shape[0], max(classes, width)
    if len(set(shapes)) > 1:
        raise SettingError(f"{source} has images of {shapes[0]} and of {shapes[1]}; use one size")
    names = check_names(_class_names(path, headers), classes, counts["train"], source)
    return Facts(shapes[0], names, counts)


def read(config: DataConfig) -> Converted:
    """Its splits, `train` and `test` if there is one, in our form.

    Raises:
        SettingError: as `facts`; or its pixels cannot be.
    """
    path = _path(config)
    source = f"data.path={path}"
    headers = _headers(path)
    pairs = {
        split: Pair(_read(path, images), _read(path, labels))
        for split, (images, labels) in _keys(headers, source).items()
    }
    return convert(pairs, _class_names(path, headers), source)


def _path(config: DataConfig) -> Path:
    if not config.path:
        raise SettingError(f"data.name=npz needs data.path, a file of np.savez with {KEYS}")
    path = Path(config.path).expanduser()
    if not path.is_file():
        raise SettingError(f"data.path={config.path} is no file; name one of np.savez with {KEYS}")
    return path


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of each array, from its first bytes."""
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
    """Split -> the names of its images and of its labels."""
    pairs = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
    if "images" in headers and "x_train" not in headers:
        pairs = {"train": ("images", "labels")}
    elif "x_test" not in headers and "y_test" not in headers:
        del pairs["test"]
    missing = [name for pair in pairs.values() for name in pair if name not in headers]
    if missing:
        raise SettingError(
            f"{source} has {', '.join(sorted(headers)) or 'nothing'}, and no {missing[0]}; save "
            f"{KEYS}"
        )
    return pairs


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
    return SettingError(
        f"data.path={path} is damaged, or not of np.savez ({first_line(error)}); make or fetch it "
        "again"
    )
