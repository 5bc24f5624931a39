"""The classes of files that are already known: by the folders they lie in, or by a table's column.

They are those that a training with `data=folder` or `data=csv` would read. Imports no Keras.
"""

import os
from collections.abc import Sequence

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import folder_layout, table_columns
from vit_keras.errors import SettingError
from vit_keras.predict.tables import ImageTable


def folder_labels(words: Sequence[str]) -> dict[str, str]:
    """Files below the named folders -> their classes; those of other folders are not known.

    Args:
        words: files, folders and globs of a command line.
    """
    found = {}
    for word in words:
        folder = os.path.expanduser(word)
        if not os.path.isdir(folder):
            continue
        # Of splits that lack a class, each image still has its own.
        config = DataConfig(name="folder", path=folder, missing_classes=folder_layout.ALLOW)
        try:
            listing = folder_layout.list_folder(config)
        except SettingError:  # no folder for each class
            continue
        for file in listing.files:
            path = os.path.normpath(os.path.join(folder, file.path))
            found[path] = listing.class_names[file.label]
    return found


def table_labels(table: ImageTable) -> list[str]:
    """The class of each row; "" of one without, or where no column is named as labels are."""
    config = DataConfig(name="csv", path=str(table.table.path), split_column=table_columns.DRAWN)
    try:
        rows = table_columns.read_rows(config, table.table)
    except SettingError:
        return [""] * len(table.files)
    return [row.labels[0] if row.labels else "" for row in rows]
