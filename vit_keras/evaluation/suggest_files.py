"""The files of a suggestion: a table to fill in and to train on, and a contact sheet.

<output>/suggested.csv   a row for each image, the most useful first; `label` is empty
<output>/suggested.png   the first of them
"""

import csv
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.evaluation import plots
from vit_keras.evaluation.contact_sheet import draw_files
from vit_keras.evaluation.suggest import Suggested, Suggestion
from vit_keras.io import atomic

TABLE, SHEET = "suggested.csv", "suggested.png"


def check_folder(output: str, overwrite: bool) -> Path:
    """The folder to write; an earlier table may hold labels by now, and is not lost unasked.

    Raises:
        SettingError: naming the setting `output`.
    """
    folder = atomic.output_folder(output, TABLE)
    if (folder / TABLE).is_file() and not overwrite:
        raise SettingError(
            f"output={output} has a {TABLE} already, perhaps with labels; choose another folder, "
            "or set --overwrite"
        )
    return folder


def write(folder: Path, found: Suggested) -> None:
    """Write the table and the contact sheet."""
    with atomic.atomic_folder(folder, TABLE) as new:
        with open(new / TABLE, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Suggestion._fields)
            for row in found.rows:
                # Absolute, so that the table can be moved and trained on from anywhere.
                path = Path(row.path).expanduser().absolute()
                writer.writerow([path, row.label, f"{row.score:.6f}", row.reason])
        first = found.rows[: plots.MAX_ERRORS]
        titles = [
            plots.labelled_title(Path(row.path).name, f"score {row.score:.2f}") for row in first
        ]
        draw_files(new / SHEET, zip((row.path for row in first), titles, strict=True))
