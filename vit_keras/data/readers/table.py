"""Read a table of images and labels: a row for each image, with its path and its label, or labels.

Only where the splits and the classes come from differs from a folder: the same files in the same
splits and classes are the same data set, in the same order. Paths are relative to the folder of the
table, and lead out of it only with `data.follow_links=true`.
"""

import functools
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, Finding, SourceData
from vit_keras.data.readers import folder, folder_files, folder_layout, table_files
from vit_keras.data.readers.annotation_json import file_paths
from vit_keras.data.readers.class_layout import Layout
from vit_keras.data.readers.folder_layout import ALLOW, ListedFile, Listing
from vit_keras.data.readers.table_columns import DRAWN, Row, label_separator, read_rows
from vit_keras.data.resize import requested_size
from vit_keras.errors import SettingError
from vit_keras.text import counted, one_line

LEADS_OUT = "out of the folder of the table, which data.follow_links=true would allow"
NO_FILE = "no such file"
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
MANY = 10  # images that each have another label: no classes


class _Contents(NamedTuple):
    """What the rows of a table say, before an image is looked for."""

    rows: list[Row]  # with a label
    unlabelled: list[Row]
    class_names: list[str]
    layout: Layout


def read(config: DataConfig) -> SourceData:
    """The table's splits as lazy images, and a finding for each bad file and row.

    Raises:
        SettingError: the table cannot be read; or a row is bad and `data.on_bad_file` is fail.
    """
    requested_size(config)
    return folder.read_listing(config, table_files.folder_of(_path(config)), list_table(config))


def info(config: DataConfig) -> DatasetInfo:
    return DatasetInfo(requested_size(config), config.channels or 3, len(class_names(config)))


def class_names(config: DataConfig) -> list[str]:
    return _contents(config).class_names


def image_counts(config: DataConfig) -> dict[str, int]:
    return dict(Counter(file.split or "train" for file in list_table(config).files))


def list_table(config: DataConfig) -> Listing:
    """The files that the table names, sorted by split, class and path as those of a folder are.

    Raises:
        SettingError: the table cannot be read, or names no file that is there.
    """
    contents, finder = _contents(config), _FileFinder(config)
    others = [
        Finding("no_label", row.file, row.split, "", f"{row.place}: {row.reason}")
        for row in contents.unlabelled
    ]
    numbers = {name: label for label, name in enumerate(contents.class_names)}
    files: dict[tuple, ListedFile] = {}
    for row in contents.rows:
        labels = [numbers[name] for name in row.labels if name in numbers]
        if row.labels and not labels:
            continue  # of classes that data.classes leaves out
        path, reason = finder.find(row)
        # A table may have a row for each label of an image, and then it has all of them.
        key = (row.split, path) if config.several_labels else (row.split, path, *labels)
        known = files.get(key)
        if known and known.group != row.group:
            raise SettingError(
                f"{row.place}: {one_line(path)} is of {config.group_column} {one_line(row.group)}, "
                f"and in another row of {one_line(known.group)}; give each image one group"
            )
        union = tuple(sorted({*labels, *(known.labels if known else ())}))
        if known and union == known.labels:
            others.append(Finding("repeated", path, row.split, "; ".join(row.labels), row.place))
        elif config.several_labels:
            files[key] = ListedFile(path, row.split, -1, reason, row.group, union)
        else:
            files[key] = ListedFile(path, row.split, union[0], reason, row.group)
    _check_files(config, list(files.values()), finder.root)
    order = list(contents.layout.folders)
    listed = sorted(files.values(), key=lambda one: (order.index(one.split), one.labels, one.path))
    return Listing(listed, others, contents.class_names, contents.layout)


def _check_files(config: DataConfig, files: list[ListedFile], root: Path) -> None:
    """Refuse a table of which no file is there: its paths are relative to another folder."""
    faults = {file.reason for file in files}
    if "" in faults or not files:
        return
    first = files[0]
    way_out = f"paths are relative to {root.absolute()}, the folder of the table"
    if faults == {LEADS_OUT}:
        way_out = "set data.follow_links=true, or move the table"
    elif found := [one for one in root.iterdir() if (one / first.path).is_file()]:
        way_out += f"; {found[0].name}/{first.path} is there: write so, or move the table"
    raise SettingError(
        f"data.path={config.path}: none of the {counted(len(files), 'image[s]')} can be used "
        f"({one_line(first.path)}: {first.reason}); {way_out}"
    )


def _path(config: DataConfig) -> Path:
    if not config.path:
        raise SettingError(
            "data.name=csv needs data.path, a table with a column of paths and one of labels"
        )
    path = Path(config.path).expanduser()
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise SettingError(f"data.path={config.path} is not there{where}; name a table of images")
    if not path.is_dir() and not path.is_file():
        raise SettingError(f"data.path={config.path} is no file; name a table of images")
    return path


def _contents(config: DataConfig) -> _Contents:
    source = f"data.path={config.path}"
    tables = table_files.read_tables(_path(config))
    separator = label_separator(config, tables) if config.several_labels else ""
    rows = [row for table in tables for row in read_rows(config, table, separator)]
    labelled = [row for row in rows if not row.reason]
    unlabelled = [row for row in rows if row.reason]
    if unlabelled and (config.on_bad_file == "fail" or not labelled):
        first = unlabelled[0]
        way_out = "set data.on_bad_file=skip" if labelled else "name another data.label_column"
        raise SettingError(
            f"data.path={config.path}: {len(unlabelled)} of {counted(len(rows), 'row[s]')} cannot "
            f"be used ({first.place}: {first.reason}); give each image "
            f"{'its labels' if config.several_labels else 'one label, set task=multilabel'}, or "
            f"{way_out}"
        )
    splits = {row.split for row in labelled}
    if splits != {""} and ("" in splits or "train" not in splits):
        raise SettingError(
            f"{source} has rows of {', '.join(sorted(split or 'no split' for split in splits))}; "
            "name the split of each, and have some to train on"
        )
    _check_groups(config, labelled)
    layout = _layout(labelled)
    names = list(next(iter(layout.folders.values())))
    if len(names) < 2 and config.missing_classes != ALLOW:
        one = f"the one label {one_line(names[0])}" if names else "no label"
        raise SettingError(f"{source} has {one}, and two or more are needed")
    if config.several_labels:
        _check_several(source, labelled)
    elif len(labelled) >= MANY and len({row.labels for row in labelled}) == len(labelled):
        raise SettingError(
            f"{source} has another label for each of {counted(len(labelled), 'image[s]')}, such as "
            f"{one_line(names[0])}; name the column of the classes by data.label_column"
        )
    return _Contents(labelled, unlabelled, folder_layout.class_names_of(config, layout), layout)


def _check_groups(config: DataConfig, rows: list[Row]) -> None:
    """Refuse a group that the table itself has in two splits."""
    firsts: dict[str, Row] = {}
    for row in rows if config.group_column else ():
        first = firsts.setdefault(row.group, row)
        if first.split != row.split:
            raise SettingError(
                f"data.path={config.path}: {config.group_column} {one_line(row.group)} is in "
                f"{first.split} ({first.place}) and in {row.split} ({row.place}); keep a group in "
                f"one split, or draw the splits by data.split_column={DRAWN}"
            )


def _check_several(source: str, rows: list[Row]) -> None:
    """Refuse a table for task=multilabel that has one label in each row, and each image once."""
    files = {(row.split, row.folder, row.file) for row in rows}
    if len(files) == len(rows) and all(len(row.labels) == 1 for row in rows):
        raise SettingError(
            f"{source} has one label for each image, such as {one_line(rows[0].labels[0])}; leave "
            "task=multilabel out, or name the text between labels by data.label_separator"
        )


def _layout(rows: list[Row]) -> Layout:
    """The splits and classes of the rows, as those of a folder, by how messages name them."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.split].update(row.labels)
    order = [split for split in ("", "train", "validation", "test") if split in found]
    folders: dict[str, dict[str, list[str]]] = {
        split: {name: [name] for name in sorted(found[split])} for split in order
    }
    return Layout("", {split: split or "the table" for split in order}, folders, [])


class _FileFinder:
    """Finds the files that rows name."""

    def __init__(self, config: DataConfig) -> None:
        self.root = table_files.folder_of(_path(config))
        self.boundary = None if config.follow_links else os.path.realpath(self.root) + os.sep
        self._folder_leads_out = functools.cache(self._leads_out)  # a file's own link: `fault`

    def find(self, row: Row) -> tuple[str, str]:
        """(path within the root, why it cannot be opened) of the file of a row."""
        if ADDRESS.match(row.file):
            return row.file, "an address, and only files are read"
        paths = [self._within_root(os.path.join(row.folder, path)) for path in file_paths(row.file)]
        found = [path for path in paths if os.path.lexists(self.root / path)]
        path = next(iter([*found, *paths]))
        if self.boundary and self._folder_leads_out(os.path.dirname(path)):
            return path, LEADS_OUT
        return path, folder_files.fault(self.root / path, self.boundary) if found else NO_FILE

    def _within_root(self, path: str) -> str:
        """The path without detours, and relative if it is in the root: one for each file."""
        path = os.path.normpath(path)
        if os.path.isabs(path):
            for root in (os.path.abspath(self.root), os.path.realpath(self.root)):
                if path.startswith(root + os.sep):
                    return os.path.relpath(path, root)
        return path

    def _leads_out(self, folder: str) -> bool:
        real = os.path.realpath(self.root / folder) + os.sep
        return not real.startswith(str(self.boundary))
