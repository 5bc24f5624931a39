"""Which columns of a table name the images, their labels and their splits, and what cells mean.

A column is found by its usual names; where two have one, the person is asked. With task=multilabel
a cell has several labels: a list, `["cat", "dog"]`, or text between separators, `cat; dog`. Several
columns of 0 and 1, one for each label, are read as such a list.
"""

import ast
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import layout_names
from vit_keras.data.readers.annotation_json import Table
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.text import abbreviated_list, one_line

# Without case, spaces and underscores.
IMAGES = (
    *("image", "images", "img", "imagepath", "imagefile", "imagename", "imgpath"),
    *("file", "filename", "filepath", "path"),
)
LABELS = (
    *("label", "labels", "labelname", "class", "classname", "category", "categoryname"),
    *("target", "choice"),
)
SPLITS = ("split", "subset", "partition")
DRAWN = "none"  # data.split_column of a table whose own splits are not used
NO_LABEL = "no label"
SEPARATORS = (";", "|", ",")  # of labels in a cell, in the order in which they are looked for
IS_THERE = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false"), False),
}


class Row(NamedTuple):
    """A row of a table."""

    place: str  # for messages
    file: str  # as it is written
    folder: str  # that it is relative to, within the data set
    labels: tuple[str, ...]  # one, or none; with task=multilabel any number
    reason: str  # why they cannot be used; empty if they can
    split: str  # "train", "validation", "test"; "" if the table has no splits
    group: str  # "" if none are named


def read_rows(config: DataConfig, table: Table, separator: str = "") -> list[Row]:
    """The rows of a table.

    Args:
        config: of the data.
        table: one.
        separator: of the labels in a cell, with task=multilabel; see `label_separator`.

    Raises:
        SettingError: a column is not there, or cannot be told from others; a row names no image, no
            group, or a split that is none.
    """
    image = image_column(table, config.image_column)
    labelled_by = label_columns(config, table)
    if image in labelled_by:
        raise SettingError(
            f"{table.path}: the column {image} cannot hold both images and labels; set "
            "data.image_column and data.label_column"
        )
    splits, groups = _splits(config, table), _groups(config, table, labelled_by)
    cells = _label_cells(config, table)
    rows = []
    for index, (file, cell) in enumerate(zip(table.columns[image], cells, strict=True)):
        if not isinstance(file, str) or not file.strip():
            raise SettingError(
                f"{table.path.parent / table.place(index)}: no image in {image}; write its path, "
                "or remove the row"
            )
        if config.several_labels:
            labels, reason = _labels(cell, separator)
        else:
            label, reason = _label(cell)
            labels = (label,) if label else ()
        place = table.place(index)
        rows.append(
            Row(place, file.strip(), table.folder, labels, reason, splits[index], groups[index])
        )
    return rows


def image_column(table: Table, asked: str | None = None) -> str:
    """The name of the column of the images: as asked for, as the format has it, or by its name.

    Raises:
        SettingError: it is not there, or cannot be told from others.
    """
    return _column(table, "image_column", asked or table.image, IMAGES)


def label_separator(config: DataConfig, tables: Sequence[Table]) -> str:
    """The text between the labels of a cell: as it is set, or the first of `SEPARATORS` in any."""
    if config.label_separator is not None:
        return config.label_separator
    cells = [
        cell
        for table in tables
        for cell in _label_cells(config, table)
        if isinstance(cell, str) and not _is_list(cell)
    ]
    return next((one for one in SEPARATORS if any(one in cell for cell in cells)), "")


def label_columns(config: DataConfig, table: Table) -> list[str]:
    """The column of the labels, or those of 0 and 1, one for each label."""
    asked = config.label_column
    if not isinstance(asked, list | tuple):
        known = table.label if asked is None else str(asked)
        return [_column(table, "label_column", known, LABELS)]
    if not asked:
        raise SettingError("data.label_column=[] names no column; name one for each label")
    return [_column(table, "label_column", str(name), LABELS) for name in dict.fromkeys(asked)]


def _label_cells(config: DataConfig, table: Table) -> list[Any]:
    """The labels of each row, as the column has them; of columns of 0 and 1 the list of the 1."""
    names = label_columns(config, table)
    if not isinstance(config.label_column, list | tuple):
        return table.columns[names[0]]
    cells: list[Any] = []
    for index, row in enumerate(zip(*(table.columns[name] for name in names), strict=True)):
        known = [IS_THERE.get(str(cell).strip().casefold()) for cell in row]
        for name, cell, is_there in zip(names, row, known, strict=True):
            if is_there is None and _label(cell)[1] != NO_LABEL:
                raise SettingError(
                    f"{table.path.parent / table.place(index)}: {name} is {one_line(str(cell))}; "
                    "write 1 where an image has the label and 0 where not, or name a column of "
                    "labels by data.label_column"
                )
        is_known = None not in known  # an empty cell may be of a label that nobody looked for
        found = [name for name, is_there in zip(names, known, strict=True) if is_there]
        cells.append(found if is_known else None)
    return cells


def _column(table: Table, setting: str, asked: str, usual: Sequence[str]) -> str:
    """The column that is asked for, or else the one that has a usual name."""
    names = list(table.columns)
    if asked:
        if asked not in names:
            raise SettingError(
                f"data.{setting}={asked} is no column of {table.path}{did_you_mean(asked, names)}"
            )
        return asked
    found = [name for name in names if _is_named(name, usual)]
    if len(found) == 1:
        return found[0]
    if found:
        ways_out = " or ".join(f"data.{setting}={quote_override(name)}" for name in found)
        raise SettingError(
            f"{table.path}: {abbreviated_list(found)} can all be the {_noun(setting)}; set "
            f"{ways_out}"
        )
    if any(layout_names.is_named_as_image(name) for name in names):
        raise SettingError(
            f"{table.path} has no header: its first line names an image; write image,label above it"
        )
    raise SettingError(
        f"{table.path} has the columns {abbreviated_list(names)}, none of them named as "
        f"{_noun(setting)} usually are; name it by data.{setting}"
    )


def _noun(setting: str) -> str:
    return setting.removesuffix("_column") + "s"


def _is_named(name: str, usual: Sequence[str]) -> bool:
    return re.sub(r"[\s_-]", "", name.casefold()) in usual


def _splits(config: DataConfig, table: Table) -> list[str]:
    """The split of each row, by its column or else by its folder; "" where splits are drawn."""
    if config.split_column == DRAWN:
        return [""] * len(table.numbers)
    column = config.split_column
    if column is None and not table.split:
        found = [name for name in table.columns if _is_named(name, SPLITS)]
        column = found[0] if len(found) == 1 else None
    if column is None and table.split_folders:
        image = table.columns[_column(table, "image_column", config.image_column or "", IMAGES)]
        folders = [str(file).split("/")[0] for file in image]
        if {*folders} <= {*table.split_folders}:
            return [table.split_folders[folder] for folder in folders]
    if column is None:
        return [table.split] * len(table.numbers)
    _column(table, "split_column", column, SPLITS)
    cells = ["" if cell is None else str(cell).strip() for cell in table.columns[column]]
    known = layout_names.split_folders(dict.fromkeys(cells))
    split_of = {name: split for split, names in known.items() for name in names}
    for index, cell in enumerate(cells):
        if cell not in split_of:
            said = f"says {one_line(cell)}, which is no split" if cell else "is empty"
            raise SettingError(
                f"{table.path.parent / table.place(index)}: {column} {said}; write train, val or "
                f"test, or draw the splits by data.split_column={DRAWN}"
            )
    return [split_of[cell] for cell in cells]


def _groups(config: DataConfig, table: Table, labelled_by: Sequence[str]) -> list[str]:
    """The group of each row; "" without `data.group_column`."""
    if config.group_column is None:
        return [""] * len(table.numbers)
    column = _column(table, "group_column", config.group_column, ())
    if column in labelled_by:
        raise SettingError(
            f"{table.path}: data.group_column={column} is the column of the labels, each of which "
            "would stay in one split; name that of the patients, cameras or bursts"
        )
    groups = [_label(cell)[0] for cell in table.columns[column]]
    if "" in groups:
        raise SettingError(
            f"{table.path.parent / table.place(groups.index(''))}: no group in {column}; name one "
            "for each image, or leave data.group_column out"
        )
    return groups


def _labels(cell: Any, separator: str) -> tuple[tuple[str, ...], str]:
    """(labels, "") of a cell, each once, or ((), why not); an empty list has none of the labels."""
    if isinstance(cell, str) and _is_list(cell):
        try:
            cell = ast.literal_eval(cell.strip())  # JSON's lists of text, and those of Pandas
        except (ValueError, SyntaxError):
            return (), f"{one_line(cell)} is no list of labels"
    elif isinstance(cell, str) and separator and separator in cell:
        cell = [part.strip() for part in cell.split(separator) if part.strip()]
        if not cell:
            return (), NO_LABEL
    found = [_label(one) for one in (cell if isinstance(cell, list) else [cell])]
    reasons = [reason for _, reason in found if reason]
    if reasons:
        return (), reasons[0]
    return tuple(dict.fromkeys(text for text, _ in found)), ""


def _is_list(cell: str) -> bool:
    text = cell.strip()
    return text.startswith("[") and text.endswith("]")


def _label(cell: Any) -> tuple[str, str]:
    """(label, "") of a cell, or ("", why it has none); numbers become text, 3.0 too."""
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if isinstance(cell, list) and cell:
        return "", f"{len(cell)} labels, {abbreviated_list([str(one) for one in cell])}"
    if isinstance(cell, dict):
        return "", "an object in place of a label"
    if cell is None or cell == [] or (isinstance(cell, float) and math.isnan(cell)):
        return "", NO_LABEL
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell)
    if not text.strip() or text.strip().casefold() == "nan":
        return "", NO_LABEL
    return layout_names.class_name(text), ""  # spaces stay: `cat ` is reported, and not merged
