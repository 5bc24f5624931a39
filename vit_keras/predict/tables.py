"""Tables of images to predict: a path in each row, and the predictions as further columns.

A table is what `data=csv` reads: CSV, JSON lines, Parquet or an export of annotations; or a list,
a .txt file with a path in each line. Rows keep their order and all of their columns. Nothing here
imports Keras.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.data.readers import table_columns, table_files
from vit_keras.data.readers.annotation_json import Table, file_paths
from vit_keras.errors import SettingError
from vit_keras.predict.outputs import DECISION
from vit_keras.predict.predictor import Prediction, Unreadable

LIST = ".txt"
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", LIST)


class ImageTable(NamedTuple):
    """A table, and the file that each of its rows names; one that is not there if none is named."""

    table: Table
    files: list[str]


def find_table(words: Sequence[str], image_column: str | None = None) -> ImageTable | None:
    """The table that a command line names in place of images; None for images.

    Args:
        words: of the command line.
        image_column: the column of the paths; by default found by its name.

    Raises:
        SettingError: it stands beside other images, or cannot be read.
    """
    tables = [word for word in words if Path(word).suffix.lower() in SUFFIXES]
    if not tables and image_column is not None:
        raise SettingError(
            f"image_column={image_column} is of a table, and {words[0]} is none; leave it out"
        )
    if not tables:
        return None
    if len(words) > 1:
        raise SettingError(
            f"{tables[0]} is a table of images, which is predicted for itself; leave the other "
            f"{len(words) - 1} out"
        )
    return read_table(Path(tables[0]).expanduser(), image_column)


def read_table(path: Path, image_column: str | None) -> ImageTable:
    """A table of images, and the file of each row."""
    if not path.is_file():
        raise SettingError(f"{path} is no file; name a table of images, or images")
    [table] = [_read_list(path)] if path.suffix.lower() == LIST else table_files.read_tables(path)
    column = table_columns.image_column(table, image_column)
    folder, files = table_files.folder_of(path), []
    for index, cell in enumerate(table.columns[column]):
        if not isinstance(cell, str) or not cell.strip():
            # A file that is not there, whose name says why: the other rows are predicted.
            files.append(f"{path.parent / table.place(index)}: no image in {column}")
            continue
        paths = [os.path.normpath(folder / name) for name in file_paths(cell.strip())]
        files.append(next(filter(os.path.exists, paths), paths[0]))
    return ImageTable(table, files)


def _read_list(path: Path) -> Table:
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror})") from None
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise SettingError(f"{path} has no line; write the path of an image in each")
    numbers, files = zip(*numbered, strict=True)
    return Table(path, {"file": list(files)}, list(numbers), "line", image="file")


def to_csv(table: Table, results: Sequence[Prediction | Unreadable]) -> bytes:
    """The columns of the table, then predicted, confidence, predicted_2, confidence_2, ...

    With a decision also those of `outputs.DECISION`. Of several labels: predicted and confidence,
    each a JSON list. Those of an image that cannot be read are empty. A column of such a name is
    replaced.
    """
    text = io.StringIO()
    rows = _rows(table, results)
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def to_json(table: Table, results: Sequence[Prediction | Unreadable]) -> bytes:
    """A list of objects of the same names, with null where an image cannot be read."""
    text = json.dumps(_rows(table, results), indent=2, ensure_ascii=False, default=str) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _rows(table: Table, results: Sequence[Prediction | Unreadable]) -> list[dict[str, Any]]:
    names = list(table.columns)
    read = [one for one in results if isinstance(one, Prediction)]
    top_k = max((len(one.top) for one in read), default=0)
    decided = DECISION if read and read[0].decision else []
    has_labels = bool(read) and read[0].labels is not None
    rows = []
    for cells, result in zip(zip(*table.columns.values(), strict=True), results, strict=True):
        row: dict[str, Any] = dict(zip(names, cells, strict=True))
        if has_labels:
            row |= _label_cells(result)
        for rank in range(0 if has_labels else top_k):
            found = result.top[rank] if isinstance(result, Prediction) else None
            end = f"_{rank + 1}" if rank else ""
            row[f"predicted{end}"] = found and found.label
            row[f"confidence{end}"] = found and round(found.confidence, 6)
        decision = result.decision if isinstance(result, Prediction) else None
        row |= {name: getattr(decision, name, None) for name in decided}
        rows.append(row)
    return rows


def _label_cells(result: Prediction | Unreadable) -> dict[str, Any]:
    """All labels of an image, and how confident the model is of each."""
    found = result.labels if isinstance(result, Prediction) else None
    return {
        "predicted": None if found is None else [one.label for one in found],
        "confidence": None if found is None else [round(one.confidence, 6) for one in found],
    }


def csv_cell(value: Any) -> Any:
    """A cell of CSV: nothing for None, JSON for what is nested, as in exports of annotations."""
    if isinstance(value, tuple):  # the classes of a decision, as `outputs.to_csv` has them
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else value


WRITERS = {"csv": to_csv, "json": to_json}
