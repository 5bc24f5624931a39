"""The images of a batch inference: files, or rows of Parquet files that hold images themselves.

A row of a Parquet file is named `photos.parquet#17`. Nothing here imports Keras or Ray.
"""

import bisect
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.errors import SettingError
from vit_keras.predict import inputs, tables
from vit_keras.predict.embedding_files import pyarrow
from vit_keras.predict.inputs import Item

PARQUET = ".parquet"


class BatchImages(NamedTuple):
    """Images, each named by an absolute path.

    Attributes:
        names: of files, or of rows as `photos.parquet#17`; without duplicates.
        column: of the rows, the column of the images; empty if they are files.
        others: files of the folders that are no images by their names, each with the reason.
    """

    names: list[str]
    column: str
    others: Sequence[tuple[str, str]] = ()


def find_images(words: Sequence[str], image_column: str | None = None) -> BatchImages:
    """The images of a command line: files, folders, globs, a table, or Parquet files of images.

    Raises:
        SettingError: a word matches nothing, or a table cannot be read.
    """
    if words[0].lower().endswith(PARQUET):
        column = _column_of_images(_file(words[0]), image_column)
        if column:
            return BatchImages(_rows([_file(word) for word in words], column), column)
    if table := tables.find_table(words, image_column):
        return BatchImages(_absolute(table.files), "")
    found = inputs.find_files(words)
    return BatchImages(_absolute(found.images), "", found.others)


def _absolute(files: Sequence[str]) -> list[str]:
    """Each file once, by the path that it has for all processes."""
    return list(dict.fromkeys(os.path.abspath(file) for file in files))


def _file(word: str) -> Path:
    file = Path(word).expanduser().absolute()
    if not file.is_file():
        raise SettingError(f"{word} is no file; name Parquet files of images, or images")
    return file


def _column_of_images(file: Path, asked: str | None) -> str:
    """The column that holds images: bytes, or as Hugging Face has them; "" if there is none."""
    schema = _opened(file).schema_arrow
    for field in schema:
        if asked in (None, field.name) and _has_bytes(field.type):
            return field.name
    return ""


def _has_bytes(type: Any) -> bool:
    arrow, _ = pyarrow("images")
    if arrow.types.is_struct(type):  # {bytes, path} of Hugging Face's data sets
        return type.get_field_index("bytes") >= 0 and _has_bytes(type.field("bytes").type)
    return arrow.types.is_binary(type) or arrow.types.is_large_binary(type)


def _rows(files: Sequence[Path], column: str) -> list[str]:
    names = []
    for file in dict.fromkeys(files):
        opened = _opened(file)
        if column not in opened.schema_arrow.names:
            raise SettingError(f"{file} has no column {column}, as {files[0].name} has")
        names += [f"{file}#{row}" for row in range(opened.metadata.num_rows)]
    return names


def _opened(file: Path) -> Any:
    arrow, parquet = pyarrow(f"images={file}")
    try:
        return parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise SettingError(f"{file} cannot be read as Parquet ({error})") from None


def read_items(names: Sequence[str], column: str) -> Iterator[Item]:
    """What `inputs.to_pixels` takes of each image, in order.

    The row groups of a Parquet file are read one after another, as rows that are near each other
    come together.
    """
    if not column:
        yield from (Item(name, name) for name in names)
        return
    for file, named in itertools.groupby(names, lambda name: name.rpartition("#")[0]):
        opened = _opened(Path(file))
        counts = (opened.metadata.row_group(k).num_rows for k in range(opened.num_row_groups))
        ends = list(itertools.accumulate(counts))
        group, images = -1, list[Any]()
        for name in named:
            row = int(name.rpartition("#")[2])
            if (of_row := bisect.bisect_right(ends, row)) != group:
                group = of_row
                images = opened.read_row_group(group, columns=[column])[column].to_pylist()
            image = images[row - ends[group]]  # counted from the end of the group
            content = image.get("bytes") if isinstance(image, dict) else image
            yield Item(name, content or b"")
