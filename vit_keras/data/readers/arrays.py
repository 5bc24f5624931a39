"""Arrays of any usual kind -> images (n, X, Y, C) uint8 and labels (n,) int32.

Images may be (n, X, Y), grey, or (n, X, Y, C) with 1, 3 or 4 channels; uint8 or another kind of
whole numbers of 0 to 255, or floats: of 0 to 1 if none of any split is above 1, else of 0 to 255.
Labels may be whole numbers from 0 on, (n,) or (n, 1), or one-hot, (n, classes).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vit_keras.errors import SettingError

CHANNELS = (1, 3, 4)


class Pair(NamedTuple):
    """Images and their labels, of one split."""

    images: Any
    labels: Any


class Converted(NamedTuple):
    """Each split as (n, X, Y, C) uint8 and (n,) int32, the classes' names, and what was done."""

    pairs: dict[str, Pair]
    class_names: list[str]
    report: str


def convert(pairs: Mapping[str, Pair], class_names: Iterable[Any] | None, source: str) -> Converted:
    """Check the splits, each by itself and against the others, and bring them to one form.

    Args:
        pairs: what a message calls a split -> its arrays; the first is trained on.
        class_names: one for each class; "0", "1", ... unless given.
        source: what a message begins with, such as `data.path=digits.npz`.

    Raises:
        SettingError: naming the array, what it has, and what would do.
    """
    labels: dict[str, np.ndarray] = {}
    images: dict[str, np.ndarray] = {}
    classes = 0
    for name, pair in pairs.items():
        place = f"{source}: {name}"
        image_shape(np.shape(pair.images), place)
        labels[name], width = class_numbers(pair.labels, place)
        if len(pair.images) != len(labels[name]):
            raise SettingError(
                f"{place} has {len(pair.images)} images and {len(labels[name])} labels; give one "
                "label for each image"
            )
        classes = max(classes, width)
        images[name] = _numbers(pair.images, place)
    _check_alike(images, source)
    names = check_names(class_names, classes, len(next(iter(labels.values()))), source)
    is_unit = all(_is_float(array) and array.max() <= 1 for array in images.values())
    converted = {name: Pair(_bytes(images[name], is_unit), labels[name]) for name in pairs}
    return Converted(converted, names, _report(images, is_unit))


def image_shape(shape: Sequence[int], place: str) -> tuple[int, int, int]:
    """(X, Y, C) of images of shape (n, X, Y) or (n, X, Y, C)."""
    whole = (*shape, 1) if len(shape) == 3 else tuple(shape)
    if len(whole) != 4:
        raise SettingError(
            f"{place} has images of shape {tuple(shape)}; give (n, height, width) or (n, height, "
            "width, channels)"
        )
    if not all(whole):
        raise SettingError(f"{place} has images of shape {tuple(shape)}, which are none; give some")
    if whole[-1] not in CHANNELS:
        turned = whole[1] in CHANNELS
        way_out = "turn them by np.moveaxis(x, 1, -1)" if turned else "give 1, 3 or 4 channels"
        raise SettingError(
            f"{place} has images of shape {tuple(shape)}, whose last axis is not the channels; "
            f"{way_out}"
        )
    return whole[1], whole[2], whole[3]


def class_numbers(labels: Any, place: str) -> tuple[np.ndarray, int]:
    """(n,), (n, 1) or one-hot (n, classes) -> (n,) int32, and how many classes there are."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] > 1:
        return _from_one_hot(array, place)
    if array.ndim == 2:
        array = array[:, 0]
    if array.ndim != 1 or not array.size:
        raise SettingError(
            f"{place} has labels of shape {array.shape}; give one number for each image, (n,), or "
            "one-hot rows, (n, classes)"
        )
    if array.dtype.kind not in "iu":
        raise SettingError(
            f"{place} has labels of {array.dtype}, such as {array[0]}; give whole numbers, 0 for "
            "the first class"
        )
    if array.min() < 0:
        raise SettingError(
            f"{place} has the label {array.min()}; number the classes 0, 1, 2, ... and leave out "
            "images without a label"
        )
    classes = int(array.max()) + 1
    return array.astype(np.int32) if classes < 2**31 else array, classes


def _from_one_hot(rows: np.ndarray, place: str) -> tuple[np.ndarray, int]:
    if rows.dtype.kind not in "iufb" or not ((rows == 0) | (rows == 1)).all():
        raise SettingError(
            f"{place} has labels of shape {rows.shape} that are not one-hot (0 but for a single 1 "
            "in each row); give those, or a class number for each image"
        )
    if len(wrong := np.flatnonzero(rows.sum(axis=1) != 1)):
        raise SettingError(
            f"{place} has {int(rows[wrong[0]].sum())} classes for image {wrong[0]} in its one-hot "
            "labels; give each image one class"
        )
    return rows.argmax(axis=1).astype(np.int32), rows.shape[1]


def check_names(
    class_names: Iterable[Any] | None, classes: int, images: int, source: str
) -> list[str]:
    """One name for each class: those given, or "0", "1", ..."""
    if class_names is None:
        if classes > max(images, 2):
            raise SettingError(
                f"{source} has the label {classes - 1} and only {images} images to train on; "
                "number the classes 0, 1, 2, ... without gaps"
            )
        names = [str(index) for index in range(classes)]
    else:
        names = [str(name) for name in class_names]
    if len(names) < classes:
        raise SettingError(
            f"{source} has the label {classes - 1} and {len(names)} class names; give "
            f"{classes} names"
        )
    if len(names) < 2:
        raise SettingError(f"{source} has {len(names)} class; give two or more to tell apart")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingError(f"{source} has the class name {twice} twice; give each class its own")
    return names


def _numbers(images: Any, place: str) -> np.ndarray:
    """The array, (n, X, Y, C), of numbers of 0 to 255."""
    array = np.asarray(images)
    if array.dtype.kind not in "iufb":
        raise SettingError(f"{place} has images of {array.dtype}; give uint8, or floats")
    if _is_float(array) and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise SettingError(
            f"{place} has {count} pixels that are no finite numbers (NaN); mend those images or "
            "leave them out"
        )
    if array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
        raise SettingError(
            f"{place} has pixels of {array.min():g} to {array.max():g}; give 0 to 255, or 0 to 1 "
            "as floats, before any normalisation, which the model does itself"
        )
    return array[..., None] if array.ndim == 3 else array


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _check_alike(images: Mapping[str, np.ndarray], source: str) -> None:
    """One size and one kind of number in all splits."""
    (first, array), *others = images.items()
    for name, other in others:
        if other.shape[1:] != array.shape[1:]:
            raise SettingError(
                f"{source}: {first} has images of {array.shape[1:]} and {name} of "
                f"{other.shape[1:]}; bring them to one size"
            )
        if _is_float(other) != _is_float(array):
            raise SettingError(
                f"{source}: {first} has images of {array.dtype} and {name} of {other.dtype}; give "
                "both in one range, 0 to 255 or 0 to 1"
            )


def _bytes(array: np.ndarray, is_unit: bool) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "b" or is_unit:
        array = array * np.float32(255)
    return np.rint(array).astype(np.uint8)


def _report(images: Mapping[str, np.ndarray], is_unit: bool) -> str:
    array = next(iter(images.values()))
    if array.dtype == np.uint8:
        return "images are uint8, taken as they are"
    span = "0 to 1" if is_unit or array.dtype.kind == "b" else "0 to 255"
    return f"images are {array.dtype} of {span}, rounded to uint8"
