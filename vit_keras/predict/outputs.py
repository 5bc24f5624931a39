"""Predict image files with a progress bar, and write the predictions as a table, JSON or CSV."""

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vit_keras.data.image_formats import pillow_warnings_ignored
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.predict import inputs
from vit_keras.predict.decisions import OUTLIER
from vit_keras.predict.predictor import Candidate, Prediction, Predictor, Unreadable
from vit_keras.text import counted, format_table, one_line

DECISION = ["abstain", "reason", "classes", "ood_score", "ood_percentile"]  # columns of a CSV file


@dataclass(frozen=True)
class FilePredictions:
    """Predictions of image files, in order.

    Attributes:
        results: of each file.
        others: files of the folders that are no images by their names, each with the reason.
        seconds: time of reading and predicting, without opening the run.
        engine: name of what computed them.
    """

    results: list[Prediction | Unreadable]
    seconds: float
    others: Sequence[tuple[str, str]] = ()
    engine: str = ""

    @property
    def predictions(self) -> list[Prediction]:
        """Of the files that could be read."""
        return [result for result in self.results if isinstance(result, Prediction)]

    @property
    def unreadable(self) -> list[Unreadable]:
        """The files that could not be read."""
        return [result for result in self.results if isinstance(result, Unreadable)]

    def __str__(self) -> str:
        skipped = len(self.unreadable)
        count = len(self.predictions) + skipped
        by = f" by {self.engine}" if self.engine else ""
        speed = f"{self.seconds:.1f} s, {count / self.seconds:.0f} images/s{by}"
        summary = f"{len(self.predictions):,} of {counted(count, 'image[s]')} in {speed}"
        summary += f", {counted(len(self.others), 'other file[s]')} ignored" if self.others else ""
        return f"{summary}; {skipped} skipped" if skipped else summary


def predict_files(
    predictor: Predictor,
    files: inputs.FoundFiles,
    top_k: int = 3,
    flip: bool = False,
    coverage: float | None = None,
    ood_quantile: float | None = None,
) -> FilePredictions:
    """Predict files, with a progress bar on standard error."""
    started, count = time.perf_counter(), len(files.images)
    results = predictor.results(files.images, top_k, flip, coverage, ood_quantile)
    # Redirected to a file, every update of the bar is a new line: one in ten seconds.
    interval = 0.1 if sys.stderr.isatty() else 10
    with pillow_warnings_ignored():
        done = list(tqdm(results, "predicting", count, unit=" images", mininterval=interval))
    seconds = time.perf_counter() - started
    return FilePredictions(done, seconds, files.others, predictor.engine.name)


def write(content: bytes, file: Path) -> None:
    """Write `file` atomically.

    Raises:
        SettingError: it cannot be written.
    """
    try:
        with atomic.atomic_file(file) as new:
            new.write_bytes(content)
    except OSError as error:
        raise SettingError(f"output={file} cannot be written ({error.strerror})") from None


def to_table(predictions: Sequence[Prediction]) -> bytes:
    """One line per image: file, class, confidence, what is decided and the next best classes.

    Of several labels: the file, all labels and the most probable of the others.
    """
    if _have_labels(predictions):
        return f"{format_table(_label_rows(predictions))}\n".encode()
    rows = [("file", "class", "confidence", "decision", "next best")]
    for one in predictions:
        others = ", ".join(f"{one_line(c.label)} {c.confidence:.4f}" for c in one.top[1:])
        row = (one_line(one.source), one_line(one.label), f"{one.confidence:.4f}")
        rows.append((*row, decision_text(one), others))
    used = [index for index in range(5) if index < 3 or any(row[index] for row in rows[1:])]
    return f"{format_table([[row[index] for index in used] for row in rows])}\n".encode()


def decision_text(prediction: Prediction) -> str:
    """`answer`, or that the prediction abstains and why; empty without a coverage."""
    found = prediction.decision
    if found is None:
        return ""
    if not found.abstain:
        return "answer"
    if found.reason == OUTLIER:
        return f"abstain: {found.reason} (percentile {found.ood_percentile:.1f})"
    names = f" ({', '.join(map(one_line, found.classes))})" if found.classes else ""
    return f"abstain: {found.reason}{names}"


def _have_labels(predictions: Sequence[Prediction]) -> bool:
    """Whether they are of a run with several labels."""
    return bool(predictions) and predictions[0].labels is not None


def _label_rows(predictions: Sequence[Prediction]) -> list[tuple[str, str, str]]:
    """Each file with its labels, and with the most probable of the others."""
    rows = [("file", "labels", "below their thresholds")]
    for one in predictions:
        given = one.labels or ()
        others = [c for c in one.top if c not in given]
        rows.append((one_line(one.source), _listed(given) or "none", _listed(others)))
    return rows


def _listed(candidates: Sequence[Candidate]) -> str:
    return ", ".join(f"{one_line(c.label)} {c.confidence:.4f}" for c in candidates)


def to_json(predictions: Sequence[Prediction]) -> bytes:
    """A list of objects; bytes of file names that are not UTF-8 become \\udc80 to \\udcff."""
    objects = [
        {
            "file": one.source,
            "class": one.label,
            "confidence": one.confidence,
            **({} if one.labels is None else {"labels": _objects(one.labels)}),
            "top": _objects(one.top),
            **(asdict(one.decision) if one.decision else {}),
        }
        for one in predictions
    ]
    text = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _objects(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [{"class": c.label, "index": c.index, "confidence": c.confidence} for c in candidates]


def to_csv(predictions: Sequence[Prediction]) -> bytes:
    """file, class, confidence, class_2, confidence_2, ...; bytes of file names are kept.

    With a decision also abstain, reason, classes (one a line), ood_score and ood_percentile. Of
    several labels: file, labels and confidences as JSON lists, which `data=csv` reads.
    """
    if _have_labels(predictions):
        return _labels_csv(predictions)
    count = max(len(one.top) for one in predictions)
    header = ["file", "class", "confidence"]
    header += [f"{name}_{k}" for k in range(2, count + 1) for name in ("class", "confidence")]
    header += DECISION if predictions[0].decision else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for one in predictions:
        cells = [cell for c in one.top for cell in (c.label, f"{c.confidence:.6f}")]
        writer.writerow([one.source, *cells, *_decision_cells(one)])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _decision_cells(prediction: Prediction) -> list[str]:
    found = prediction.decision
    if found is None:
        return []
    scores = (f"{found.ood_score:.6g}", f"{found.ood_percentile:.2f}")
    return [str(found.abstain).lower(), found.reason, "\n".join(found.classes), *scores]


def _labels_csv(predictions: Sequence[Prediction]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "labels", "confidences"])
    for one in predictions:
        given = one.labels or ()
        labels = json.dumps([c.label for c in given], ensure_ascii=False)
        writer.writerow([one.source, labels, json.dumps([round(c.confidence, 6) for c in given])])
    return text.getvalue().encode("utf-8", "surrogateescape")


WRITERS: dict[str, Callable[[Sequence[Prediction]], bytes]] = {
    "table": to_table,
    "json": to_json,
    "csv": to_csv,
}
