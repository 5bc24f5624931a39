"""The labelled image files of an audit: those of `data=folder` or `data=csv`.

<audit>/audit.json   {"data": ["data=folder", "data.path=/photos"], "model": "saved_models/digits"}
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vit_keras.config import compose
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config, DataConfig
from vit_keras.data import registry
from vit_keras.data.readers import folder_layout, table, table_files
from vit_keras.data.readers.folder_layout import Listing
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import first_line

FILE = "audit.json"


class Source(NamedTuple):
    """What was audited.

    Attributes:
        data: overrides, `data=folder` and the like, with an absolute path.
        model: whose embeddings were used.
    """

    data: list[str]
    model: str


class LabelledFile(NamedTuple):
    """An image file: its absolute path and class, "train", "validation", "test" or "", a group."""

    path: str
    label: str
    split: str
    group: str


def data_config(overrides: Sequence[str]) -> DataConfig:
    """The data that overrides name, such as `["data=folder", "data.path=photos"]`.

    Raises:
        SettingError: they are no files, or have several labels.
    """
    data = compose.with_data(Config(), overrides).data
    if data.name not in registry.OF_FILES:
        raise SettingError(
            f"data.name={data.name} has no image files whose labels can be corrected; use "
            "data=folder or data=csv"
        )
    if data.several_labels or isinstance(data.label_column, list | tuple):
        name = "data.several_labels=true" if data.several_labels else "data.label_column=[...]"
        raise SettingError(f"{name}: an audit is of images with one label each; leave it out")
    return data


def labelled_files(data: DataConfig) -> list[LabelledFile]:
    """The files that a training on the data would open, sorted as it sorts them.

    Raises:
        SettingError: the folder or the table cannot be used.
    """
    root, listing = _listed(data)
    return [
        LabelledFile(
            os.path.abspath(root.expanduser() / file.path),
            listing.class_names[file.label],
            file.split,
            file.group,
        )
        for file in listing.files
        if not file.reason
    ]


def other_files(data: DataConfig) -> list[tuple[str, str]]:
    """The files of the data that `labelled_files` leaves out, each with the reason.

    Raises:
        SettingError: as `labelled_files`.
    """
    root, listing = _listed(data)
    files = [(file.path, file.reason) for file in listing.files if file.reason]
    files += [(other.file, other.detail) for other in listing.others]
    return [(os.path.abspath(root.expanduser() / path), reason) for path, reason in files]


def _listed(data: DataConfig) -> tuple[Path, Listing]:
    if data.name == "folder":
        return folder_layout.root(data), folder_layout.list_folder(data)
    return table_files.folder_of(Path(str(data.path))), table.list_table(data)


def source(overrides: Sequence[str], data: DataConfig, model: str) -> Source:
    """The source of these overrides, to be read again from any folder."""
    path = os.path.abspath(os.path.expanduser(str(data.path)))
    words = [word for word in overrides if not word.startswith("data.path=")]
    return Source([*words, f"data.path={quote_override(path)}"], model)


def write(folder: Path, found: Source) -> None:
    text = json.dumps(found._asdict(), indent=2, ensure_ascii=False)
    atomic.write_text(folder / FILE, text + "\n")


def read(folder: Path) -> Source | None:
    """The source of an audit; None if it was made from a file of embeddings.

    Raises:
        SettingError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return Source(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(
            f"{file} is damaged ({first_line(error)}); name the data by data=..., or audit again"
        ) from None
