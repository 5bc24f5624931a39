"""Write the split of a folder or a table of images as a table, and leave the files where they are.

Its columns are `image`, `label` and `split`, and that of the groups if there are any; it is read by
`data=csv`. Paths are relative to the folder of the table, which is that of the images or one above
it.
"""

import csv
import io
import os
from pathlib import Path

from vit_keras.data.readers import table_files
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
    folder = table_files.folder_of(source)
    if not folder.resolve().is_relative_to(table.parent.resolve()):
        raise SettingError(
            f"--table {table} would name images outside of its folder; write it into {folder}, or "
            "into a folder above"
        )


def write_table(
    parts: list[PlannedFile], source: Path, table: Path, group_column: str | None = None
) -> None:
    """Write the splits of `split_folder.plan_split` to a new CSV file.

    Args:
        parts: the plan.
        source: the folder or the table that was planned.
        table: the file.
        group_column: the name of a fourth column, of the groups.

    Raises:
        SettingError: it cannot be written, or the name of a file is not in UTF-8.
    """
    within = table_files.folder_of(source).resolve().relative_to(table.parent.resolve())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # spaces stay
    writer.writerow([*HEADER, *([group_column] if group_column else [])])
    for part in parts:
        if part.split:
            group = [part.group] if group_column else []
            path = (within / part.source).as_posix()
            writer.writerow([path, part.class_name, part.split, *group])
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
