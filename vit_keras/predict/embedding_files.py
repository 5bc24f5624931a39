"""Files of embeddings: Parquet, or arrays in an npz; written batch by batch, read as a whole.

Columns of a Parquet file, and arrays of an npz: path; label (null or "" where it is not known);
embedding (float32 of D numbers, null or NaN of an image that cannot be read); reason (why it
cannot). The metadata say which model made them, with the fingerprint of its weights. Nothing here
imports Keras.

n images, D width of the embeddings.
"""

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.text import first_line

METADATA = "vit_keras"  # key of the metadata of a Parquet file, and array of an npz
PARQUET, NPZ = SUFFIXES = (".parquet", ".npz")


@dataclass(frozen=True)
class MadeBy:
    """The model that embeddings are of.

    Attributes:
        model: path of the run or the weights, or their address.
        fingerprint: of the weights, `Backbone.fingerprint`.
        width: D.
    """

    model: str
    fingerprint: str
    width: int


class Rows(NamedTuple):
    """n images: paths, labels ("" if not known), (n, D) vectors, and why one cannot be read."""

    paths: list[str]
    labels: list[str]
    vectors: np.ndarray
    reasons: list[str]


class Embeddings(NamedTuple):
    """The images of a file that could be read: n paths, n labels, (n, D), and the model."""

    paths: list[str]
    labels: list[str]
    vectors: np.ndarray
    made_by: MadeBy


Write = Callable[[Rows], None]


def check_file(file: Path) -> None:
    """Refuse a file of another format, or Parquet without the package that it takes.

    Raises:
        SettingError: naming the setting `output`.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise SettingError(
            f"output={file} does not say its format; end its name in {' or '.join(SUFFIXES)}"
        )
    if file.suffix.lower() == PARQUET:
        pyarrow(f"output={file}")


@contextlib.contextmanager
def embedding_writer(file: Path, made_by: MadeBy, count: int) -> Iterator[Write]:
    """A function that appends rows to `file`, which is there when all `count` are written."""
    write = _parquet_writer if file.suffix.lower() == PARQUET else _npz_writer
    with atomic.atomic_file(file) as new, write(new, made_by, count) as append:
        yield append


@contextlib.contextmanager
def _parquet_writer(file: Path, made_by: MadeBy, _: int) -> Iterator[Write]:
    arrow, parquet = pyarrow(f"output={file}")
    text, vector = arrow.string(), arrow.list_(arrow.float32(), made_by.width)
    columns = [("path", text), ("label", text), ("embedding", vector), ("reason", text)]
    metadata = {METADATA: json.dumps(asdict(made_by))}
    schema = arrow.schema(columns, metadata=metadata)

    # Neither the numbers nor the paths repeat: a dictionary of them would only cost time.
    with parquet.ParquetWriter(file, schema, use_dictionary=["label"]) as writer:

        def append(rows: Rows) -> None:
            is_missing = arrow.array([bool(reason) for reason in rows.reasons])
            numbers = arrow.array(np.ascontiguousarray(rows.vectors).ravel())
            vectors = arrow.FixedSizeListArray.from_arrays(numbers, type=vector, mask=is_missing)
            texts = ([utf8(one) for one in column] for column in (rows.paths, rows.labels))
            paths, labels = (arrow.array([one or None for one in column], text) for column in texts)
            reasons = arrow.array([one or None for one in rows.reasons], text)
            columns = [paths, labels, vectors, reasons]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))

        yield append


def utf8(path: str) -> str:
    """Text for Arrow: bytes of a file name that are not UTF-8 become \\udc80 to \\udcff."""
    return path.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def _npz_writer(file: Path, made_by: MadeBy, count: int) -> Iterator[Write]:
    texts: dict[str, list[str]] = {"path": [], "label": [], "reason": []}
    shape = (count, made_by.width)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("embedding.npy", "w", force_zip64=True) as out:
            np.lib.format.write_array_header_1_0(out, header)

            def append(rows: Rows) -> None:
                out.write(np.ascontiguousarray(rows.vectors, "<f4").tobytes())
                columns = (rows.paths, rows.labels, rows.reasons)
                for kept, new in zip(texts.values(), columns, strict=True):
                    kept += new

            yield append
        # These are short, and their array is as wide as the longest: after all others.
        for name, column in {**texts, METADATA: [json.dumps(asdict(made_by))]}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.array(column, np.str_), allow_pickle=False)


def read_embeddings(file: Path) -> Embeddings:
    """Read a file that `embedding_writer` wrote, without the images that could not be read.

    Raises:
        SettingError: it is not there, is damaged, or is not of `vit-keras embed`.
    """
    if not file.is_file():
        raise SettingError(f"embeddings={file} is no file; write one by vit-keras embed")
    try:
        with open(file, "rb") as opened:
            is_parquet = opened.read(4) == b"PAR1"
        return _read_parquet(file) if is_parquet else _read_npz(file)
    except (*UNREADABLE, TypeError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError(
            f"embeddings={file} is no file of vit-keras embed, or is damaged "
            f"({first_line(error)}); write it again"
        ) from None


def _read_parquet(file: Path) -> Embeddings:
    _, parquet = pyarrow(f"embeddings={file}")
    table = parquet.read_table(file)  # its errors are those of ValueError, or of OSError
    made_by = MadeBy(**json.loads((table.schema.metadata or {})[METADATA.encode()]))
    table = table.filter(table["embedding"].is_valid())
    numbers = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    labels = [label or "" for label in table["label"].to_pylist()]
    vectors = numbers.reshape(-1, made_by.width)
    return Embeddings(table["path"].to_pylist(), labels, vectors, made_by)


def _read_npz(file: Path) -> Embeddings:
    with np.load(file, allow_pickle=False) as arrays:
        made_by = MadeBy(**json.loads(str(arrays[METADATA][0])))
        is_read = arrays["reason"] == ""
        paths, labels = (arrays[name][is_read].tolist() for name in ("path", "label"))
        return Embeddings(paths, labels, arrays["embedding"][is_read], made_by)


def pyarrow(asked: str) -> tuple[Any, Any]:
    """The packages `pyarrow` and `pyarrow.parquet`.

    Raises:
        SettingError: they are not installed; `asked` is what needs them.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SettingError(
            f"{asked} is a Parquet file, which needs pyarrow; "
            'pip install "vit-keras-lab[parquet]", or use .npz'
        ) from None
    return pyarrow, parquet
