"""The files of an audit: a table that can be edited and trained on, and contact sheets.

<output>/audit.csv            a row for each image, the most likely label error first
<output>/label_errors.png     labels that are likely wrong, with the most probable class
<output>/outliers.png         images unlike all others
<output>/near_duplicates.png  near twins, side by side
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vit_keras.evaluation import plots
from vit_keras.evaluation.audit import Audited
from vit_keras.evaluation.contact_sheet import draw_files
from vit_keras.io import atomic
from vit_keras.text import counted

TABLE = "audit.csv"
SHEETS = {
    "label_errors": "labels that are likely wrong",
    "outliers": "images unlike all others",
    "near_duplicates": "near twins",
}


def write(folder: Path, rows: Sequence[Audited]) -> dict[str, int]:
    """Write the files of an audit; the number of images on each list."""
    sheets = {
        "label_errors": [row for row in rows if row.is_label_error],
        "outliers": sorted(
            (row for row in rows if row.is_outlier), key=lambda row: row.outlier_score
        ),
        "near_duplicates": sorted(
            (row for row in rows if row.is_near_duplicate),
            key=lambda row: (row.group, row.near_duplicate_score),
        ),
    }
    with atomic.atomic_folder(folder, TABLE) as new:
        with open(new / TABLE, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Audited._fields)
            writer.writerows(_cells(row) for row in rows)
        for name, listed in sheets.items():
            shown = listed[: plots.MAX_ERRORS]
            draw_files(new / f"{name}.png", [(row.path, _title(name, row)) for row in shown])
    return {name: len(listed) for name, listed in sheets.items()}


def describe(rows: Sequence[Audited], counts: dict[str, int]) -> str:
    """What was found, in a line for each list."""
    lines = [f"{counts[name]:>6,}  {text}" for name, text in SHEETS.items()]
    return f"{counted(len(rows), 'image[s]')} with a label:\n" + "\n".join(lines)


def _cells(row: Audited) -> list[Any]:
    """Paths absolute, so that the table can be moved and trained on from anywhere."""
    values = {**row._asdict(), "path": Path(row.path).expanduser().absolute()}
    return [f"{one:.6f}" if isinstance(one, float) else one for one in values.values()]


def _title(name: str, row: Audited) -> str:
    if name == "label_errors":
        return plots.error_title(row.label, row.most_probable, row.confidence)
    detail = f"twins {row.group}" if name == "near_duplicates" else f"score {row.outlier_score:.2f}"
    return plots.labelled_title(row.label, detail)
