"""Several labels an image in memory: rows of 0 and 1, (n, classes), or a list of names for each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.text import counted, one_line

LISTS = list | tuple | set | frozenset | np.ndarray
FORMS = "give rows of 0 and 1, (n, classes), or a list of names for each image"


def label_rows(labels: Any, name: str) -> tuple[np.ndarray, int]:
    """(n, classes) of 0 and 1 -> the same as float32, and the number of classes.

    Args:
        labels: the array.
        name: the beginning of an error message, such as `data: train`.

    Raises:
        SettingError: it has another shape or other values, or no image has a label.
    """
    rows = np.asarray(labels)
    if rows.ndim != 2 or not rows.size:
        raise SettingError(
            f"{name} has labels of shape {rows.shape}, and task=multilabel is set; {FORMS}"
        )
    if rows.dtype.kind not in "iufb" or not ((rows == 0) | (rows == 1)).all():
        wrong = next(one for one in rows.ravel().tolist() if one not in (0, 1))
        raise SettingError(f"{name} has {one_line(str(wrong))} in its labels; {FORMS}")
    if not rows.any():
        raise SettingError(f"{name} has no label of any image; {FORMS}")
    return rows.astype(np.float32), rows.shape[1]


def are_names(labels: Any) -> bool:
    """Whether labels are lists of names, one for each image."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind not in "OUS":
        return False
    rows = labels if isinstance(labels, Iterable) else ()
    return any(isinstance(name, str) for row in rows if isinstance(row, LISTS) for name in row)


def from_names(
    arrays: Mapping[str, tuple[Any, Any]], class_names: Iterable[Any] | None
) -> tuple[dict[str, tuple[Any, Any]], list[str] | None]:
    """The splits with rows in place of lists of names, and the class names.

    Args:
        arrays: split -> (images, labels).
        class_names: in order; by default all that are in a list, sorted.

    Raises:
        SettingError: a label is none of `class_names`, or no name.
    """
    names = None if class_names is None else [str(name) for name in class_names]
    named = [split for split, (_, labels) in arrays.items() if are_names(labels)]
    for split in named:
        for index, row in enumerate(arrays[split][1]):
            if not isinstance(row, LISTS):
                raise SettingError(
                    f"data: {split} has {one_line(str(row))} for image {index}, and lists of names "
                    "for others; give each image a list, [] for no label"
                )
    if names is None and named:
        names = sorted({str(name) for split in named for row in arrays[split][1] for name in row})
    result = dict(arrays)
    for split in named:
        images, labels = arrays[split]
        result[split] = images, _rows(labels, names or [], f"data: {split}")
    return result, names


def _rows(labels: Any, names: list[str], name: str) -> np.ndarray:
    """A list of names for each image -> (n, classes) of 0 and 1."""
    numbers = {label: number for number, label in enumerate(names)}
    rows = np.zeros((len(labels), len(names)), np.float32)
    for index, labels_of_image in enumerate(labels):
        for label in labels_of_image:
            if label not in numbers:
                raise SettingError(
                    f"{name} has the label {one_line(str(label))} for image {index}, which is none "
                    f"of the {counted(len(names), 'class name[s]')}{did_you_mean(label, names)}"
                )
            rows[index, numbers[label]] = 1
    return rows
