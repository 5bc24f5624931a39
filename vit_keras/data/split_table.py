"""Write the split of a folder of images as a table, and leave the files where they are.

Its columns are `image`, `label` and `split`; it is read by `data=csv`. Paths are relative to the
folder of the table, which is that of the images or one above it.
"""

import csv
import io
import os
from pathlib import Path

from vit_keras.data.split_folder import PlannedFile
from vit_keras.errors import SettingError
from vit_keras.io import atomic

HEADER = ("image", "label", "split")


def check_table(source: Path, table: Path) -> None:
    """Refuse a table that is there already, or whose paths would lead out of its folder.

    Raises:
        SettingError: naming `--table`.
    """
    if os.path.lexists(table):
        raise SettingError(f"--table {table} is there already; choose another name")
    if not table.parent.is_dir():
        raise SettingError(
            f"--table {table}: {table.parent} is no folder; choose one that is there"
        )
    if not source.resolve().is_relative_to(table.parent.resolve()):
        raise SettingError(
            f"--table {table} would name images outside of its folder; write it into {source}, or "
            "into a folder above"
        )


def write_table(parts: list[PlannedFile], source: Path, table: Path) -> None:
    """Write the splits of `split_folder.plan_split` to a new CSV file.

    Args:
        parts: the plan.
        source: the folder that was planned.
        table: the file.

    Raises:
        SettingError: it cannot be written, or the name of a file is not in UTF-8.
    """
    within = source.resolve().relative_to(table.parent.resolve())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # spaces stay
    writer.writerow(HEADER)
    for part in parts:
        if part.split:
            writer.writerow([(within / part.source).as_posix(), part.class_name, part.split])
    try:
        atomic.write_text(table, text.getvalue())
    except UnicodeEncodeError:
        raise SettingError(
            f"--table {table}: a file of {source} is not named in UTF-8; rename it"
        ) from None
    except OSError as error:
        raise SettingError(
            f"--table {table} cannot be written ({error.strerror}); choose another folder"
        ) from None
