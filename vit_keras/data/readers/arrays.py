"""Check and convert arrays: images -> (n, X, Y, C) uint8, labels -> (n,) int32.

Images may be (n, X, Y), grey, or (n, X, Y, C) with 1, 3, 4 or `data.channels` channels, of a range
of `data.pixel_range`; where `data.value_range` is set they stay as they are until the splits are
drawn. Labels may be integers from 0 on, (n,) or (n, 1), or one-hot, (n, classes); with
task=multilabel they are as `multi_hot` has them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vit_keras.data import pixel_range
from vit_keras.data.dataset import SourceData, Split
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.readers.multi_hot import label_rows
from vit_keras.data.value_range import (
    AUTO,
    PERCENTILE,
    WAY_OUT,
    WINDOW,
    as_setting,
    facts_of,
    range_of,
)
from vit_keras.errors import SettingError
from vit_keras.text import counted

CHANNELS = (1, 3, 4)


def convert(
    arrays: Mapping[str, tuple[Any, Any]],
    class_names: Iterable[Any] | None,
    source: str,
    bit_depth: int | None = None,
    value_range: Any = None,
    channels: int | None = None,
    several_labels: bool = False,
) -> tuple[SourceData, str]:
    """Check the splits, each by itself and against the others, and convert them to one form.

    Args:
        arrays: train, and if they are there validation and test -> (images, labels).
        class_names: one for each class; "0", "1", ... by default.
        source: the beginning of an error message, such as `data.path=digits.npz`.
        bit_depth: `data.bit_depth`, the bits that integers wider than uint8 use.
        value_range: `data.value_range`.
        channels: `data.channels`.
        several_labels: whether images have any number of labels, in rows of 0 and 1.

    Returns:
        the data, and a line about how the pixels were converted.

    Raises:
        SettingError: naming the array, what is wrong, and the way out.
    """
    labels: dict[str, np.ndarray] = {}
    images: dict[str, np.ndarray] = {}
    classes: dict[str, int] = {}
    for split, (split_images, split_labels) in arrays.items():
        name = f"{source}: {split}"
        image_shape(np.shape(split_images), name, channels)
        read_labels = label_rows if several_labels else class_numbers
        labels[split], classes[split] = read_labels(split_labels, name)
        if len(split_images) != len(labels[split]):
            raise SettingError(
                f"{name} has {counted(len(split_images), 'image[s]')} and "
                f"{counted(len(labels[split]), 'label[s]')}; give one label for each image"
            )
        images[split] = _check_pixels(split_images, name, value_range is not None)
    _check_consistent(images, source)
    names = check_names(class_names, classes, len(labels["train"]), source, several_labels)
    if value_range is not None:
        return _as_they_are(images, labels, names, source, as_setting(value_range), bit_depth)
    is_unit = all(_is_float(array) and array.max() <= 1 for array in images.values())
    bits = bit_depth or _common_bit_depth(images)
    splits = {
        split: Split(_to_uint8(images[split], f"{source}: {split}", bits, is_unit), labels[split])
        for split in arrays
    }
    data = SourceData(
        splits["train"], splits.get("validation"), splits.get("test"), names, bit_depth=bits
    )
    return data, _report(images, bits, is_unit)


def _as_they_are(
    images: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    names: list[str],
    source: str,
    value_range: Any,
    bit_depth: int | None,
) -> tuple[SourceData, str]:
    """Data whose values become pixels by a range that is known when the splits are drawn."""
    if value_range == WINDOW:
        raise SettingError(
            f"{source} has arrays, and data.value_range=window is of DICOM files; {WAY_OUT}"
        )
    try:
        facts = [(f"{source}: {split}", facts_of(array)) for split, array in images.items()]
        value_range = range_of(facts, bit_depth) if value_range == AUTO else value_range
    except RangeError as error:
        raise SettingError(f"data.value_range={value_range}: {error}") from None
    splits = {split: Split(images[split], labels[split]) for split in images}
    data = SourceData(
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        names,
        value_range=value_range,
    )
    span = f"[{value_range[0]:g},{value_range[1]:g}]" if value_range != PERCENTILE else value_range
    return data, f"images are {facts[0][1].dtype}, data.value_range={span}"


def image_shape(
    shape: Sequence[int], name: str, channels: int | None = None
) -> tuple[int, int, int]:
    """(X, Y, C) of images of shape (n, X, Y) or (n, X, Y, C); C is `channels` where that is set."""
    full = (*shape, 1) if len(shape) == 3 else tuple(shape)
    if len(full) != 4:
        raise SettingError(
            f"{name} has images of shape {tuple(shape)}; give (n, height, width) or (n, height, "
            "width, channels)"
        )
    if not all(full):
        raise SettingError(f"{name} has images of shape {tuple(shape)}, without pixels; give some")
    if channels is not None and full[-1] != channels:
        raise SettingError(
            f"{name} has images of {full[-1]} channels, and data.channels={channels}; set "
            f"data.channels={full[-1]}, or give others"
        )
    if full[-1] not in CHANNELS and channels is None:
        is_channels_first = full[1] in CHANNELS
        way_out = f"give 1, 3 or 4 channels, or set data.channels={full[-1]}"
        if is_channels_first:
            way_out = "convert them by np.moveaxis(x, 1, -1)"
        raise SettingError(
            f"{name} has images of shape {tuple(shape)}, whose last axis is not the channels; "
            f"{way_out}"
        )
    return full[1], full[2], full[3]


def class_numbers(labels: Any, name: str) -> tuple[np.ndarray, int]:
    """(n,), (n, 1) or one-hot (n, classes) -> (n,) int32, and the number of classes."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] > 1:
        return _from_one_hot(array, name)
    if array.ndim == 2:
        array = array[:, 0]
    if array.ndim != 1 or not array.size:
        raise SettingError(
            f"{name} has labels of shape {array.shape}; give one number for each image, (n,), or "
            "one-hot rows, (n, classes)"
        )
    if array.dtype.kind not in "iu":
        raise SettingError(
            f"{name} has labels of {array.dtype}, such as {array[0]}; give integers, 0 for the "
            "first class"
        )
    if array.min() < 0:
        raise SettingError(
            f"{name} has the label {array.min()}; number the classes 0, 1, 2, ... and leave out "
            "images without a label"
        )
    classes = int(array.max()) + 1
    return array.astype(np.int32) if classes < 2**31 else array, classes


def _from_one_hot(rows: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    if rows.dtype.kind not in "iufb" or not ((rows == 0) | (rows == 1)).all():
        raise SettingError(
            f"{name} has labels of shape {rows.shape} that are not one-hot (0 but for a single 1 "
            "in each row); give those, or a class number for each image"
        )
    if len(wrong := np.flatnonzero(rows.sum(axis=1) != 1)):
        raise SettingError(
            f"{name} has {int(rows[wrong[0]].sum())} classes for image {wrong[0]} in its one-hot "
            "labels; give each image one class, or set task=multilabel"
        )
    return rows.argmax(axis=1).astype(np.int32), rows.shape[1]


def check_names(
    class_names: Iterable[Any] | None,
    classes_of: Mapping[str, int],
    images: int,
    source: str,
    several_labels: bool = False,
) -> list[str]:
    """One name for each class; "0", "1", ... if `class_names` is None.

    Args:
        class_names: the names.
        classes_of: split -> the classes that its labels have.
        images: to train on.
        source: the beginning of a message.
        several_labels: whether labels are rows of 0 and 1, all of one length.
    """
    classes = max(classes_of.values())
    class_names = None if class_names is None else list(class_names)
    if several_labels:
        lengths = {**classes_of, **({"class_names": len(class_names)} if class_names else {})}
        if other := [name for name in lengths if lengths[name] != lengths["train"]]:
            raise SettingError(
                f"{source} has {lengths['train']} labels for each image in train and "
                f"{lengths[other[0]]} in {other[0]}; give all of them the same labels in one order"
            )
    if class_names is None:
        if classes > max(images, 2) and not several_labels:
            raise SettingError(
                f"{source} has the label {classes - 1} and only "
                f"{counted(images, 'image[s]')} to train on; number the classes 0, 1, 2, ... "
                "without gaps"
            )
        names = [str(index) for index in range(classes)]
    else:
        names = [str(name) for name in class_names]
    if len(names) < classes:
        raise SettingError(
            f"{source} has the label {classes - 1} and {counted(len(names), 'class name[s]')}; "
            f"give {counted(classes, 'name[s]')}"
        )
    if len(names) < 2:
        raise SettingError(f"{source} has {len(names)} class; give two or more")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise SettingError(f"{source} has the class name {repeated} twice; give each class its own")
    return names


def _check_pixels(images: Any, name: str, has_range: bool) -> np.ndarray:
    """The images as an array (n, X, Y, C), whose values are checked."""
    array = np.asarray(images)
    try:
        if has_range:
            facts_of(array)
        else:
            pixel_range.check_values(array)
    except RangeError as error:
        raise SettingError(f"{name} has {error}") from None
    return array[..., None] if array.ndim == 3 else array


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _check_consistent(images: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse splits of different image sizes, or of integers and floats."""
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


def _common_bit_depth(images: Mapping[str, np.ndarray]) -> int | None:
    """The bits that 16-bit integers of all splits use; None for other arrays, or of 0 to 255."""
    deep = [
        int(one.max()) for one in images.values() if one.dtype.kind in "iu" and one.itemsize == 2
    ]
    return pixel_range.smallest_bit_depth(max(deep)) if deep and max(deep) > 255 else None


def _to_uint8(array: np.ndarray, name: str, bits: int | None, is_unit: bool) -> np.ndarray:
    try:
        return np.ascontiguousarray(pixel_range.to_uint8(array, bit_depth=bits, is_unit=is_unit))
    except RangeError as error:
        raise SettingError(f"{name} has {error}") from None


def _report(images: Mapping[str, np.ndarray], bits: int | None, is_unit: bool) -> str:
    array = next(iter(images.values()))
    if array.dtype == np.uint8:
        return "images are uint8, taken as they are"
    if bits and array.dtype.kind in "iu":
        return f"images are {array.dtype} of {bits} bits (data.bit_depth), scaled to uint8"
    span = "0 to 1" if is_unit or array.dtype.kind == "b" else "0 to 255"
    return f"images are {array.dtype} of {span}, rounded to uint8"
