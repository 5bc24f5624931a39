"""The columns of a Parquet file of images: which one has the images, which one the labels.

An image is a structure of its bytes and its path, as Hugging Face writes it, or binary. A label is
a number, of a class that the schema names or not, or text.
"""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers.record_scan import Example
from vit_keras.data.readers.table_columns import IMAGES, LABELS
from vit_keras.errors import SettingError
from vit_keras.text import first_line

ROWS = 64  # read at a time: their images are in memory
FILES = 1024  # whose schemas and labels are kept


class Columns(NamedTuple):
    """The columns of the images and of the labels, and the names of the class numbers if known."""

    image: str
    label: str
    names: tuple[str, ...] | None


def columns(path: Path, config: DataConfig) -> Columns:
    """Which columns are read, as they are set, by their types or by their names.

    Raises:
        SettingError: one is not there, or cannot be told from others; the file is damaged.
    """
    image, label = config.image_column, config.label_column
    if label is not None and not isinstance(label, str):
        raise SettingError(
            f"data.label_column={label}: data.name=huggingface reads one column of labels; name it"
        )
    return _columns(path, path.stat().st_mtime_ns, image, label)


@functools.lru_cache(maxsize=FILES)  # several checks ask for it; a changed file has another key
def _columns(path: Path, mtime: int, image: str | None, label: str | None) -> Columns:
    with parquet_of(path) as parquet:
        schema = parquet.read_schema(path)
    from pyarrow import types

    features = _features(schema.metadata or {})
    of_images = [field.name for field in schema if _holds_bytes(field.type)]
    of_labels = [
        field.name
        for field in schema
        if types.is_integer(field.type)
        or types.is_string(field.type)
        or types.is_large_string(field.type)
        or types.is_dictionary(field.type)
    ]
    known_images = [name for name in of_images if features.get(name, {}).get("_type") == "Image"]
    known = [name for name in of_labels if features.get(name, {}).get("_type") == "ClassLabel"]
    chosen = _choose(path, "image_column", image, of_images, known_images, IMAGES)
    labelled = _choose(path, "label_column", label, of_labels, known, LABELS)
    names = features.get(labelled, {}).get("names") if labelled in known else None
    return Columns(chosen, labelled, tuple(map(str, names)) if names else None)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _choose(
    path: Path,
    setting: str,
    asked: str | None,
    possible: list[str],
    declared: list[str],
    usual: tuple[str, ...],
) -> str:
    """The one column that is asked for, declared, usually so named, or the only one possible."""
    if asked is not None:
        if asked in possible:
            return asked
        raise SettingError(
            f"data.{setting}={asked} is none of {path}'s columns of that kind: "
            f"{', '.join(possible) or 'it has none'}"
        )
    named = [name for name in possible if name.lower().replace("_", "") in usual]
    for found in (declared, named, possible if setting == "image_column" else []):
        if len(found) == 1:
            return found[0]
        if found:
            raise SettingError(
                f"{path} has the columns {', '.join(found)}; name one by data.{setting}"
            )
    what = "encoded images" if setting == "image_column" else "labels"
    hint = f", and {', '.join(possible)} may be; name it by data.{setting}" if possible else ""
    table = "; for paths of image files use data=csv" if setting == "image_column" else ""
    raise SettingError(f"{path} has no column that is known to hold {what}{hint}{table}")


def row_count(path: Path) -> int:
    """The rows of a file, by its last bytes."""
    with parquet_of(path) as parquet:
        return parquet.read_metadata(path).num_rows


def labels(path: Path, found: Columns) -> list[Any]:
    """The label of each row as it is stored, without reading an image."""
    return _labels(path, path.stat().st_mtime_ns, found.label)


@functools.lru_cache(maxsize=FILES)
def _labels(path: Path, mtime: int, column: str) -> list[Any]:
    with parquet_of(path) as parquet:
        return parquet.read_table(path, columns=[column])[column].to_pylist()


def examples(path: Path, found: Columns) -> Iterator[Example]:
    """The encoded image and the label of each row, a few rows in memory at a time."""
    with parquet_of(path) as parquet, parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS, columns=[found.image, found.label]):
            images = batch.column(found.image)
            if images.type.num_fields:  # a structure; the bytes of a row that is null are null
                images = images.field("bytes")
            for content, label in zip(images, batch.column(found.label), strict=True):
                yield content.as_py() or None, label.as_py()


@contextmanager
def parquet_of(path: Path) -> Iterator[Any]:
    """The module pyarrow.parquet, whose errors name the file.

    Raises:
        SettingError: the file is damaged, or pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise SettingError(
            "data.name=huggingface reads Parquet files, which needs pyarrow: "
            "pip install 'vit-keras-lab[records]'"
        ) from None
    try:
        yield parquet
    except (ArrowException, OSError) as error:
        raise SettingError(
            f"{path} is a damaged Parquet file ({first_line(error)}); get it again"
        ) from None


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """Column -> what Hugging Face's `datasets` says of it."""
    try:
        found = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: one for name, one in found.items() if isinstance(one, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
