"""The files of an audit: a table that can be edited and trained on, and contact sheets.

<output>/audit.csv            a row for each image, the most likely label error first
<output>/label_errors.png     labels that are likely wrong, with the most probable class
<output>/outliers.png         images unlike all others
<output>/near_duplicates.png  near twins, side by side
<output>/audit.json           the data that were audited, and the model, where they are known
<output>/map.json             the embeddings in two dimensions, with thumbnails
<output>/decisions.csv        what a person decided; kept when the images are audited again
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from vit_keras.evaluation import audit_map, audit_source, audit_table, plots
from vit_keras.evaluation.audit_decisions import DECISIONS
from vit_keras.evaluation.audit_map import EmbeddingMap
from vit_keras.evaluation.audit_source import Source
from vit_keras.evaluation.audit_table import TABLE, Audited
from vit_keras.evaluation.contact_sheet import draw_files
from vit_keras.io import atomic
from vit_keras.text import counted

SHEETS = {
    "label_errors": "labels that are likely wrong",
    "outliers": "images unlike all others",
    "near_duplicates": "near twins",
}


def write(
    folder: Path,
    rows: Sequence[Audited],
    source: Source | None = None,
    drawn: EmbeddingMap | None = None,
) -> dict[str, int]:
    """Write the files of an audit; the number of images on each list.

    Args:
        folder: the folder to write; in the place of an earlier audit, whose decisions and edited
            rows stay.
        rows: of the images.
        source: the data that they are of, if that is known.
        drawn: the map of their embeddings, if there is one.
    """
    corrected = audit_table.corrections(folder)
    rows = [
        row._replace(new_label=corrected.get(audit_table.image_key(*row[:2]), row.new_label))
        for row in rows
    ]
    sheets = {
        "label_errors": [row for row in rows if row.is_label_error],
        "outliers": sorted(
            (row for row in rows if row.is_outlier), key=lambda row: row.outlier_score
        ),
        "near_duplicates": _twins_together(rows),
    }
    with atomic.atomic_folder(folder, TABLE) as new:
        audit_table.write(new, rows)
        if source is not None:
            audit_source.write(new, source)
        if drawn is not None:
            audit_map.write(new, drawn)
        if (folder / DECISIONS).is_file():  # of an earlier audit of these images
            shutil.copy(folder / DECISIONS, new)
        for name, listed in sheets.items():
            shown = listed[: plots.MAX_ERRORS]
            draw_files(new / f"{name}.png", [(row.path, _title(name, row)) for row in shown])
    return {name: len(listed) for name, listed in sheets.items()}


def _twins_together(rows: Sequence[Audited]) -> list[Audited]:
    """Near twins, group by group; the group with the nearest two first."""
    twins = sorted(
        (row for row in rows if row.is_near_duplicate), key=lambda row: row.near_duplicate_score
    )
    nearest: dict[int, float] = {}
    for row in twins:
        nearest.setdefault(row.group, row.near_duplicate_score)
    return sorted(twins, key=lambda row: (nearest[row.group], row.group))


def describe(rows: Sequence[Audited], counts: dict[str, int]) -> str:
    """What was found, in a line for each list."""
    lines = [f"{counts[name]:>6,}  {text}" for name, text in SHEETS.items()]
    return f"{counted(len(rows), 'image[s]')} with a label:\n" + "\n".join(lines)


def _title(name: str, row: Audited) -> str:
    if name == "label_errors":
        return plots.error_title(row.label, row.most_probable, row.confidence)
    detail = f"twins {row.group}" if name == "near_duplicates" else f"score {row.outlier_score:.2f}"
    return plots.labelled_title(row.label, detail)
