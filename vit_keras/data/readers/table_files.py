"""Read a table of images: CSV and TSV, JSON and JSON lines, Parquet; by its content, not its name.

JSON may be an array of objects, or an export that `annotation_json` knows. A folder with
`metadata.csv`, `metadata.jsonl` or `metadata.parquet`, in itself or in the folders of its splits,
is an `imagefolder` of Hugging Face (https://huggingface.co/docs/datasets/image_dataset).
"""

import csv
import functools
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

from vit_keras.data.readers import annotation_json, layout_names
from vit_keras.data.readers.annotation_json import Table
from vit_keras.errors import SettingError
from vit_keras.text import counted, first_line

log = logging.getLogger("vit_keras")

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
DELIMITERS = (",", ";", "\t", "|")
# How files begin that are no text -> what they are, and what to do.
BINARY = {
    b"PK\x03\x04": "an Excel file or a zip; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the table as CSV",
    b"\x1f\x8b": "compressed; unpack it",
    b"BZh": "compressed; unpack it",
}


def read_tables(path: Path) -> list[Table]:
    """The table at `path`, or those of an `imagefolder` with the splits that they are of.

    Raises:
        SettingError: there is none, or it cannot be read.
    """
    if path.is_dir():
        return _folder_tables(path)
    return [_read(path)]


def _folder_tables(path: Path) -> list[Table]:
    splits = layout_names.split_folders(entry.name for entry in path.iterdir() if entry.is_dir())
    split_of = {name: split for split, names in splits.items() for name in names}
    tables = []
    for folder, split in {"": "", **split_of}.items():
        found = [path / folder / name for name in METADATA if (path / folder / name).is_file()]
        if len(found) > 1:
            raise SettingError(
                f"{found[0]} and {found[1].name} both describe the images of their folder; "
                "remove one of them"
            )
        inner = {} if folder else split_of
        tables += [
            _read(file)._replace(folder=folder, split=split, split_folders=inner) for file in found
        ]
    if not tables:
        raise SettingError(
            f"data.path={path} is a folder without {', '.join(METADATA)}; name a table, or use "
            "data=folder for a folder with a sub-folder for each class"
        )
    return tables


def _read(path: Path) -> Table:
    status = path.stat()
    return _read_version(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)  # several checks ask for it; a changed file has another key
def _read_version(path: Path, mtime: int, size: int) -> Table:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror})") from None
    if content.startswith(b"PAR1"):
        return _read_parquet(path)
    text = _decode(content, path)
    is_json = text.lstrip()[:1] in ("{", "[")
    table = _parse_json(text, path) if is_json else _parse_csv(text, path)
    if not table.numbers:
        raise SettingError(f"{path} has no row; add a line for each image")
    return table


def _decode(content: bytes, path: Path) -> str:
    """UTF-8 with or without a byte order mark, UTF-16 with one, or else Windows-1252."""
    for start, advice in BINARY.items():
        if content.startswith(start):
            raise SettingError(f"{path} is {advice}")
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
        if "\0" not in text:
            log.warning("warning: %s is not in UTF-8, and was read as Windows-1252", path)
    if "\0" in text:
        raise SettingError(f"{path} is no text; give a table as CSV, JSON lines or Parquet")
    return text


def _parse_csv(text: str, path: Path) -> Table:
    """Rows below a header, of cells between commas, semicolons, tabs or bars."""
    separator, rest = text.split("\n", 1) if text.startswith("sep=") else ("", text)  # of Excel
    header = next((line for line in rest.splitlines() if line.strip()), "")
    delimiter = separator[4:5] or max(DELIMITERS, key=lambda one: len(_cells(header, one)))
    reader = csv.reader(
        io.StringIO(rest, ""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    first = 2 if separator else 1
    rows, numbers = list[list[str]](), list[int]()
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                numbers.append(reader.line_num + first - 1)
    except csv.Error as error:
        line = reader.line_num + first - 1
        raise SettingError(f"{path}, line {line}: no CSV ({error}); check its quotes") from None
    if not rows:
        raise SettingError(f"{path} is empty; write a line with the names of its columns, and rows")
    names = [name.strip() for name in rows.pop(0)]
    del numbers[0]
    for number, row in zip(numbers, rows, strict=True):
        if len(row) > len(names):
            raise SettingError(
                f"{path}, line {number}: {counted(len(row), 'cell[s]')} for "
                f"{counted(len(names), 'column[s]')}; put text with {delimiter!r} in quotes"
            )
    columns: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        if name in columns:
            raise SettingError(f"{path} has two columns named {name}; rename one")
        if name:  # Pandas writes its index without one
            columns[name] = [row[index] if index < len(row) else None for row in rows]
    return Table(path, columns, numbers, "line")


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _parse_json(text: str, path: Path) -> Table:
    """An array of objects, one object in each line, or an export of annotations."""
    try:
        content = json.loads(text)
    except ValueError as error:
        lines = text.splitlines()
        if len(lines) < 2 or text.lstrip().startswith("["):
            raise SettingError(f"{path} is damaged JSON ({first_line(error)})") from None
        return _parse_json_lines(lines, path)
    if table := annotation_json.find_table(content, path):
        return table
    records = content if isinstance(content, list) else [content]
    return _of_records(records, list(range(1, len(records) + 1)), "row", path)


def _parse_json_lines(lines: list[str], path: Path) -> Table:
    records, numbers = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise SettingError(f"{path}, line {number}: no JSON ({first_line(error)})") from None
        numbers.append(number)
    return _of_records(records, numbers, "line", path)


def _of_records(records: list[Any], numbers: list[int], unit: str, path: Path) -> Table:
    for number, record in zip(numbers, records, strict=True):
        if not isinstance(record, dict):
            raise SettingError(
                f"{path}, {unit} {number}: no object such as "
                '{"image": "a.png", "label": "cat"}; give one for each image'
            )
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(path, columns, numbers, unit)


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError:
        raise SettingError(
            f"{path} is a Parquet file, which needs pyarrow; "
            'pip install "vit-keras-lab[parquet]", or save it as CSV'
        ) from None
    try:
        schema = parquet.read_schema(path)
        # Binary columns and structures of {bytes, path} hold the images themselves.
        names = [one.name for one in schema if not types.is_struct(one.type)]
        names = [name for name in names if "binary" not in str(schema.field(name).type)]
        columns = parquet.read_table(path, columns=names).to_pydict()
    except (ArrowException, OSError) as error:
        raise SettingError(f"{path} is a damaged Parquet file ({first_line(error)})") from None
    for name, labels in _class_labels(schema.metadata or {}).items():
        if name in columns:
            columns[name] = [
                labels[value] if isinstance(value, int) and 0 <= value < len(labels) else None
                for value in columns[name]
            ]
    count = len(next(iter(columns.values()), []))
    if not count:
        raise SettingError(
            f"{path} has no row with the path of an image; images within a Parquet file are not "
            "read: save them as files, and their paths in the table"
        )
    return Table(path, columns, list(range(1, count + 1)), "row")


def _class_labels(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> the names of its class numbers, as Hugging Face's `datasets` writes them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def folder_of(path: Path) -> Path:
    """The folder that the paths of a table are relative to."""
    return path if path.is_dir() else Path(os.path.dirname(path) or ".")
