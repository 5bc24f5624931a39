"""The table of an audit, `audit.csv`: written, edited by a person, and read again.

Without scikit-learn, whose import takes seconds.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.data.readers import table_files
from vit_keras.errors import SettingError
from vit_keras.text import counted, first_line

TABLE = "audit.csv"


class Audited(NamedTuple):
    """What was found out about an image. Scores are from 0, most likely a problem, to 1.

    Attributes:
        path: of the image, as the embeddings have it.
        label: the one it has.
        new_label: the same, to be edited: the class to train on, or nothing to leave the image out.
        is_label_error: whether the label is likely wrong.
        label_score: the probability of the label by a model not trained on the image.
        most_probable: the class of the highest probability.
        confidence: its probability.
        margin: how much higher it is than the second; near 0 of an ambiguous image.
        is_outlier: whether it is unlike all others.
        outlier_score: see `is_outlier`.
        is_near_duplicate: whether it has a near twin.
        near_duplicate_score: see `is_near_duplicate`.
        group: near twins share a number; an image without one has its own.
    """

    path: str
    label: str
    new_label: str
    is_label_error: bool
    label_score: float
    most_probable: str
    confidence: float
    margin: float
    is_outlier: bool
    outlier_score: float
    is_near_duplicate: bool
    near_duplicate_score: float
    group: int


def write(folder: Path, rows: Sequence[Audited]) -> None:
    """Write the table. Paths are absolute: it can be moved and trained on from anywhere."""
    with open(folder / TABLE, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Audited._fields)
        writer.writerows(_cells(row) for row in rows)


def _cells(row: Audited) -> list[Any]:
    values = {**row._asdict(), "path": Path(row.path).expanduser().absolute()}
    return [f"{one:.6f}" if isinstance(one, float) else one for one in values.values()]


def read(folder: Path) -> list[Audited]:
    """Read the table of an audit, as it was written or as a person has edited and saved it.

    Raises:
        SettingError: it is not there, or is damaged.
    """
    if not (folder / TABLE).is_file():
        raise SettingError(f"audit={folder} has no {TABLE}; write it by vit-keras audit")
    [table] = table_files.read_tables(folder / TABLE)
    kinds = Audited.__annotations__
    try:
        columns = [
            [_value(cell, kinds[name]) for cell in table.columns[name]] for name in Audited._fields
        ]
    except (KeyError, ValueError) as error:
        raise SettingError(
            f"{folder / TABLE} is no table of vit-keras audit, or is damaged "
            f"({first_line(error)}); mend it, or audit the images into another folder"
        ) from None
    return [Audited(*cells) for cells in zip(*columns, strict=True)]


def image_key(path: str, label: str) -> tuple[str, str]:
    """What an image is known by in a table: its absolute path and its label."""
    return os.path.abspath(os.path.expanduser(path)), label


def corrections(folder: Path) -> dict[tuple[str, str], str]:
    """`image_key` -> new_label, of the rows that a person has edited; empty without a table.

    Raises:
        SettingError: as `read`.
    """
    rows = read(folder) if (folder / TABLE).is_file() else []
    return {image_key(*row[:2]): row.new_label for row in rows if row.new_label != row.label}


def check_corrections(folder: Path, images: Iterable[tuple[str, str]]) -> None:
    """Refuse to audit (path, label) again where a corrected row would be lost.

    Raises:
        SettingError: the earlier table in `folder` is damaged, or has corrections of other images.
    """
    known = {image_key(*image) for image in images}
    if lost := [key for key in corrections(folder) if key not in known]:
        raise SettingError(
            f"{folder / TABLE} has {counted(len(lost), 'corrected label[s]')} of images that are "
            f"not audited now, or have another label ({lost[0][0]}); choose another --output, or "
            "write them by vit-keras relabel and move the folder away"
        )


def _value(cell: str | None, kind: type) -> Any:
    text = (cell or "").strip()
    return text.casefold() == "true" if kind is bool else kind(text)
