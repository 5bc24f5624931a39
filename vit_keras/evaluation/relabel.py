"""A table of images with corrected labels, of an audit and what a person decided on it.

    written = relabel(Path("audited"), Path("corrected.csv"))
    written.words  # ["data=csv", "data.path=/home/me/corrected.csv", ...]

The rows of a table that was audited keep their order, their columns and how they are written, but
for the labels that were changed; a folder becomes a table with a row for each image. No image and
no earlier table is changed.
"""

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import table_columns
from vit_keras.data.readers.table import ADDRESS
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.evaluation import audit_source, audit_table
from vit_keras.evaluation.audit_decisions import Decisions
from vit_keras.evaluation.audit_table import Audited, image_key
from vit_keras.io import atomic
from vit_keras.predict import tables
from vit_keras.text import counted

# Of a folder alone, or given for the new table.
NOT_OF_TABLE = ("data=", "data.path=", "data.layout=", "data.suffixes=", "data.follow_links=")
# (absolute path, label) -> the label to train on; "" leaves the image out.
NewLabels = Mapping[tuple[str, str], str]


class Relabelled(NamedTuple):
    """The table that was written.

    Attributes:
        file: its absolute path.
        images: its rows.
        changed: how many of them have another label than before.
        left_out: images that are not in it any more.
        not_found: changes that were decided on for images that the data do not have.
        not_audited: images that the audit has no row of, and that keep their labels.
        new_classes: class -> images, of those that no image had before.
        classes: those that images had before.
        words: the overrides by which it is trained on.
    """

    file: Path
    images: int
    changed: int
    left_out: int
    not_found: int
    not_audited: int
    new_classes: dict[str, int]
    classes: list[str]
    words: list[str]

    def __str__(self) -> str:
        changed = counted(self.changed, "label[s]")
        images = counted(self.images, "image[s]")
        text = f"{images}, {changed} changed, {self.left_out:,} left out"
        if self.not_found:
            lost = counted(self.not_found, "decision[s] [is|are]")
            text += f"; {lost} on images that the data do not have with that label"
        if self.not_audited:
            how = "image[s] [has|have] no row in the audit and keep[s|] [its label|their labels]"
            text += f"\n{counted(self.not_audited, how)}; clear new_label to leave one out"
        for name, count in self.new_classes.items():
            text += f"\nnew class: {name}, of {counted(count, 'image[s]')}"
            text += did_you_mean(name, self.classes)
        return text


class _Rows(NamedTuple):
    """A table in the making: cells by the names of columns, of which two are known."""

    cells: list[dict[str, Any]]
    image: str  # the column of absolute paths
    label: str
    labels: list[str]  # of each row before; "" of one without
    words: list[str]  # by which it is read


def relabel(audit: Path, output: Path, overrides: Sequence[str] = ()) -> Relabelled:
    """Write the table.

    Args:
        audit: the folder of an audit. Decisions in its `decisions.csv` come before the column
            `new_label` of its `audit.csv`, which can be edited as well.
        output: the CSV file to write, which must not be there yet.
        overrides: the data that were audited, `["data=csv", "data.path=photos/labels.csv"]`; those
            that the audit has noted by default. Without either, the images of the audit.

    Raises:
        SettingError: the audit or the data cannot be read, the data have none of the audited
            images, or `output` cannot be written.
    """
    check_output(output)
    audited = audit_table.read(audit)
    edited = {image_key(row.path, row.label): row.new_label for row in audited}
    decided = {image_key(*image): label for image, label in Decisions(audit).labels.items()}
    rows = _rows(audited, list(overrides) or _noted(audit))
    _check_same_images(audited, rows, audit)
    return _write(Path(os.path.abspath(output.expanduser())), rows, {**edited, **decided})


def check_output(output: Path) -> None:
    """Refuse a path that no new table can be written to.

    Raises:
        SettingError: naming the setting `output`.
    """
    if output.suffix.lower() != ".csv":
        raise SettingError(f"output={output} is a table; end its name in .csv")
    if os.path.lexists(output.expanduser()):
        raise SettingError(f"output={output} is there already; choose the name of a new file")
    atomic.check_output_file(output.expanduser(), False, "")


def _noted(audit: Path) -> list[str]:
    found = audit_source.read(audit)
    return [] if found is None else found.data


def _rows(audited: Sequence[Audited], overrides: list[str]) -> _Rows:
    if not overrides:
        cells = [{"image": row.path, "label": row.label, "group": row.group} for row in audited]
        words = ["data.group_column=group"]
        return _Rows(cells, "image", "label", [row.label for row in audited], words)
    data = audit_source.data_config(overrides)
    words = [word for word in overrides if not word.startswith(NOT_OF_TABLE)]
    if data.name == "csv" and not os.path.isdir(os.path.expanduser(str(data.path))):
        return _rows_of_table(data, words)
    return _rows_of_files(data, audited, words)


def _check_same_images(audited: Sequence[Audited], rows: _Rows, audit: Path) -> None:
    """Refuse data of which no image was audited, such as a folder that was moved since."""
    paths = [image_key(row[rows.image], "")[0] for row in rows.cells]
    if not {image_key(row.path, "")[0] for row in audited} & {*paths}:
        raise SettingError(
            f"the data have none of the images that were audited: {audit} has {audited[0].path}, "
            f"and the data have {paths[0]}; name the folder or the table that was audited, and "
            "audit again if it was moved"
        )


def _rows_of_table(data: DataConfig, words: list[str]) -> _Rows:
    """The rows of a table, each with all of its columns."""
    table, files = tables.read_table(Path(str(data.path)).expanduser(), data.image_column)
    image = table_columns.image_column(table, data.image_column)
    [label] = table_columns.label_columns(data, table)
    labels = [row.labels[0] if row.labels else "" for row in table_columns.read_rows(data, table)]
    names = list(table.columns)
    cells = [
        dict(zip(names, row, strict=True)) for row in zip(*table.columns.values(), strict=True)
    ]
    for row, file, own in zip(cells, files, labels, strict=True):
        if not ADDRESS.match(row[image].strip()):
            row[image] = file
        if isinstance(row[label], list):  # of one label, which CSV has as text
            row[label] = own
    if table.image:  # an export of annotations, whose columns are known by its format
        words = [*words, f"data.image_column={image}", f"data.label_column={label}"]
    return _Rows(cells, image, label, labels, words)


def _rows_of_files(data: DataConfig, audited: Sequence[Audited], words: list[str]) -> _Rows:
    """A row for each file; with its split, or else with the group of near twins that it is in."""
    files = audit_source.labelled_files(data)
    cells: list[dict[str, Any]] = [{"image": file.path, "label": file.label} for file in files]
    groups = {image_key(row.path, row.label): row.group for row in audited}
    has_splits = any(file.split for file in files)
    for row, file in zip(cells, files, strict=True):
        if has_splits:
            row["split"] = file.split
        if data.group_column is not None:
            row["group"] = file.group
        elif not has_splits:  # a file that was not audited is one of its own
            row["group"] = groups.get((file.path, file.label), file.path)
    words = [word for word in words if not word.partition("=")[0].endswith("_column")]
    words += ["data.group_column=group"] if "group" in cells[0] else []
    return _Rows(cells, "image", "label", [file.label for file in files], words)


def _write(file: Path, rows: _Rows, new_labels: NewLabels) -> Relabelled:
    kept, changed, leads_out = list[dict[str, Any]](), 0, False
    keys = [
        image_key(row[rows.image], label)
        for row, label in zip(rows.cells, rows.labels, strict=True)
    ]
    for row, (image, label) in zip(rows.cells, keys, strict=True):
        new = new_labels.get((image, label), label)
        if label and not new:
            continue
        path = _within(file.parent, row[rows.image])
        leads_out = leads_out or os.path.isabs(path)
        row = {**row, rows.image: path}
        if new != label:
            row[rows.label] = new
            changed += 1
        kept.append({name: tables.csv_cell(cell) for name, cell in row.items()})
    if not kept:
        raise SettingError(f"output={file} would have no image: all of them are left out")
    with (
        atomic.atomic_file(file) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as opened,
    ):
        writer = csv.DictWriter(opened, list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    words = ["data=csv", f"data.path={quote_override(file)}", *rows.words]
    words += ["data.follow_links=true"] if leads_out else []
    known, classes = {*keys}, {*filter(None, rows.labels)}
    changes = {key: new for key, new in new_labels.items() if new != key[1]}
    not_found = len(changes.keys() - known)
    new_classes = Counter(changes[key] for key in keys if changes.get(key))
    return Relabelled(
        file=file,
        images=len(kept),
        changed=changed,
        left_out=len(keys) - len(kept),
        not_found=not_found,
        not_audited=sum(bool(key[1]) and key not in new_labels for key in keys),
        new_classes={name: n for name, n in new_classes.items() if name not in classes},
        classes=sorted(classes),
        words=words,
    )


def _within(folder: Path, path: str) -> str:
    """The path relative to the folder of the table if it is in it, or else absolute."""
    if ADDRESS.match(path):
        return path
    path = os.path.abspath(os.path.expanduser(path))
    return os.path.relpath(path, folder) if path.startswith(f"{folder}{os.sep}") else path


def training_words(written: Relabelled) -> list[str]:
    """The command that trains on the table: `vit-keras` and its arguments."""
    return ["vit-keras", "train", "recipe=folder", *written.words]
