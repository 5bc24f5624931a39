"""Predictions of files: a progress bar, and a table, JSON or CSV of what was found."""

import csv
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.predict import inputs
from vit_keras.predict.predictor import Prediction, Predictor, Unreadable
from vit_keras.text import format_table, one_line


@dataclass(frozen=True)
class FilePredictions:
    """What became of files, and how long it took, without opening the run."""

    predictions: list[Prediction]
    unreadable: list[Unreadable]
    seconds: float

    def __str__(self) -> str:
        read, all_of_them = len(self.predictions), len(self.predictions) + len(self.unreadable)
        speed = f"{self.seconds:.1f} s, {all_of_them / self.seconds:.0f} images/s"
        passed_over = f"; {len(self.unreadable)} passed over" if self.unreadable else ""
        return f"{read:,} of {all_of_them:,} images in {speed}{passed_over}"


def predict_files(
    predictor: Predictor, images: Sequence[str], top_k: int = 3, flip: bool = False
) -> FilePredictions:
    """Predict files, folders and globs, with a progress bar on standard error.

    Raises:
        SettingError: a word names no file.
    """
    files = inputs.find_image_files(images)
    started = time.perf_counter()
    results = predictor.results(files, top_k, flip)
    # In a file, where bars would pile up, one is drawn every ten seconds.
    pace = 0.1 if sys.stderr.isatty() else 10
    with warnings.catch_warnings():  # `decode` has a limit of its own
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        done = list(tqdm(results, "predicting", len(files), unit=" images", mininterval=pace))
    return FilePredictions(
        [result for result in done if isinstance(result, Prediction)],
        [result for result in done if isinstance(result, Unreadable)],
        time.perf_counter() - started,
    )


def write(content: bytes, place: Path) -> None:
    """Write a file, whole or not at all.

    Raises:
        SettingError: it cannot be written.
    """
    try:
        with atomic.atomic_file(place) as new:
            new.write_bytes(content)
    except OSError as error:
        raise SettingError(f"output={place} cannot be written ({error.strerror})") from None


def table(predictions: Sequence[Prediction]) -> bytes:
    """A line for each image: its file, its class and confidence, and the next best."""
    rows = [("file", "class", "confidence", "next best")]
    for one in predictions:
        others = ", ".join(f"{one_line(c.label)} {c.confidence:.4f}" for c in one.top[1:])
        rows.append((one_line(one.source), one_line(one.label), f"{one.confidence:.4f}", others))
    if not any(row[3] for row in rows[1:]):
        rows = [(*row[:3], "") for row in rows]
    return f"{format_table(rows)}\n".encode()


def as_json(predictions: Sequence[Prediction]) -> bytes:
    """A list of objects; a name that is no text has its bytes as JSON's \\udc80 to \\udcff."""
    objects = [
        {
            "file": one.source,
            "class": one.label,
            "confidence": one.confidence,
            "top": [
                {"class": c.label, "index": c.index, "confidence": c.confidence} for c in one.top
            ],
        }
        for one in predictions
    ]
    text = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def as_csv(predictions: Sequence[Prediction]) -> bytes:
    """file, class, confidence, class_2, confidence_2, ...; a name's bytes are as they are."""
    count = max(len(one.top) for one in predictions)
    head = ["file", "class", "confidence"]
    head += [f"{name}_{k}" for k in range(2, count + 1) for name in ("class", "confidence")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for one in predictions:
        cells = (cell for c in one.top for cell in (c.label, f"{c.confidence:.6f}"))
        writer.writerow([one.source, *cells])
    return text.getvalue().encode("utf-8", "surrogateescape")


WRITERS: dict[str, Callable[[Sequence[Prediction]], bytes]] = {
    "table": table,
    "json": as_json,
    "csv": as_csv,
}
