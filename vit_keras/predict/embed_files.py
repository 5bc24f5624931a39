"""Embed image files into a file of embeddings, with a progress bar and bounded memory."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit_keras.data.image_formats import pillow_warnings_ignored
from vit_keras.errors import SettingError
from vit_keras.predict.embedder import EmbeddedBatch, Embedder
from vit_keras.predict.embedding_files import MadeBy, Rows, embedding_writer
from vit_keras.predict.embedding_map import MapSample
from vit_keras.predict.inputs import FoundFiles
from vit_keras.predict.reader import Unreadable
from vit_keras.text import counted

ROW_GROUP = 1024  # rows in memory until they are written


@dataclass(frozen=True)
class EmbeddedFiles:
    """What `embed_files` did.

    Attributes:
        count: of the files, unreadable ones included.
        unreadable: those that cannot be read, which are rows with the reason.
        others: files of the folders that are no images by their names, each with the reason.
        seconds: time of reading, embedding and writing, without opening the model.
        width: D, numbers in an embedding.
    """

    count: int
    unreadable: list[Unreadable]
    others: Sequence[tuple[str, str]]
    seconds: float
    width: int

    def __str__(self) -> str:
        bad = len(self.unreadable)
        speed = f"{self.seconds:.1f} s, {self.count / self.seconds:.0f} images/s"
        text = f"{self.count - bad:,} of {counted(self.count, 'image[s]')} in {speed}"
        text += f", {self.width} numbers each"
        text += f", {counted(len(self.others), 'other file[s]')} ignored" if self.others else ""
        return f"{text}; {bad} cannot be read" if bad else text


def embed_files(
    embedder: Embedder,
    files: FoundFiles,
    labels: Sequence[str],
    output: Path,
    sample: MapSample | None = None,
) -> EmbeddedFiles:
    """Embed files and write the embeddings, `ROW_GROUP` images at a time.

    Args:
        embedder: a model.
        files: as `inputs.find_files` gives them.
        labels: of each image; "" where it is not known.
        output: the `.parquet` or `.npz` to write, whole or not at all.
        sample: gets some of the images, to draw a map of.

    Raises:
        SettingError: none of the files can be read, or `output` cannot be written.
    """
    started, paths = time.perf_counter(), files.images
    backbone = embedder.backbone
    made_by = MadeBy(backbone.source, backbone.fingerprint, embedder.width)
    unreadable: list[Unreadable] = []
    interval = 0.1 if sys.stderr.isatty() else 10  # as `outputs.predict_files`
    bar = tqdm(None, "embedding", len(paths), unit=" images", mininterval=interval)
    try:
        with bar, pillow_warnings_ignored(), embedding_writer(output, made_by, len(paths)) as write:
            pending, done = list[Rows](), 0
            for batch in embedder.batches(paths):
                rows = _rows(batch, labels[done:])
                if sample is not None:
                    sample.add(done, rows, batch.pixels)
                unreadable += batch.unreadable
                pending.append(rows)
                done += len(rows.paths)
                if done == len(paths) or sum(len(one.paths) for one in pending) >= ROW_GROUP:
                    write(_joined(pending))
                    pending.clear()
                bar.update(len(rows.paths))
            if len(unreadable) == len(paths):
                raise SettingError(_none_read(unreadable))
    except OSError as error:
        raise SettingError(f"output={output} cannot be written ({error.strerror})") from None
    seconds = time.perf_counter() - started
    return EmbeddedFiles(len(paths), unreadable, files.others, seconds, embedder.width)


def _rows(batch: EmbeddedBatch, labels: Sequence[str]) -> Rows:
    reasons = [one.reason if isinstance(one, Unreadable) else "" for one in batch.pixels]
    return Rows(batch.sources, list(labels[: len(reasons)]), batch.vectors, reasons)


def _joined(parts: list[Rows]) -> Rows:
    paths, labels, vectors, reasons = zip(*parts, strict=True)
    texts = ([text for part in column for text in part] for column in (paths, labels, reasons))
    joined_paths, joined_labels, joined_reasons = texts
    return Rows(joined_paths, joined_labels, np.concatenate(vectors), joined_reasons)


def _none_read(unreadable: list[Unreadable]) -> str:
    first = unreadable[0]
    of_all = counted(len(unreadable), "file[s]")
    return f"none of {of_all} could be read ({first.source}: {first.reason}); name images"
