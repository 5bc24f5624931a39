"""The files of an evaluation: figures as JSON and CSV, pictures, and the page that shows them."""

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.evaluation import calibration, metrics, plots
from vit_keras.evaluation.html_report import render_report
from vit_keras.evaluation.preflight import EVALUATION
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.io import atomic

PAGE = "report.html"


@contextlib.contextmanager
def write_artifacts(
    folder: Path, report: dict[str, Any], logits: np.ndarray, chosen: EvaluationTask
) -> Iterator[None]:
    """Everything in `folder` when the block ends well, in the place of an earlier evaluation.

    Args:
        folder: of the evaluation.
        report: what is known; each class's scores, the mistakes and the like are added.
        logits: (n, K) of the test split.
        chosen: the run and its data.
    """
    with atomic.atomic_folder(folder, EVALUATION) as new:
        _classes(new, report, logits, chosen)
        _calibration(new, report, logits, chosen)
        _mistakes(new, report, logits, chosen)
        _trials(new, report, chosen)
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        (new / EVALUATION).write_text(text + "\n", encoding="utf-8")
        (new / PAGE).write_text(render_report(report, new), encoding="utf-8")
        yield


def _classes(
    folder: Path, report: dict[str, Any], logits: np.ndarray, chosen: EvaluationTask
) -> None:
    names, labels, predicted = (
        chosen.saved.class_names,
        chosen.splits.test.labels,
        logits.argmax(-1),
    )
    matrix = metrics.confusion(labels, predicted, len(names))
    report["per_class"] = metrics.per_class(labels, predicted, names)
    report["confused_pairs"] = metrics.confused_pairs(matrix, names)
    _rows(folder / "per_class.csv", report["per_class"])
    lines = [[name, *counts] for name, counts in zip(names, matrix.tolist(), strict=True)]
    _lines(folder / "confusion.csv", ["class \\ predicted", *names], lines)
    plots.confusion(folder / "confusion.png", matrix, names)


def _calibration(
    folder: Path, report: dict[str, Any], logits: np.ndarray, chosen: EvaluationTask
) -> None:
    temperature = report["calibration"]["temperature"]
    _, bins = metrics.calibrated(logits, chosen.splits.test.labels, temperature)
    rows = [
        {"temperature": value, **part._asdict()}
        for value, parts in zip((1.0, temperature), bins.values(), strict=True)
        for part in parts
    ]
    _rows(folder / "reliability.csv", rows)
    titles = ("as trained", f"with temperature {temperature:.3f}")
    errors = [report["calibration"][name] for name in ("ece", "ece_calibrated")]
    diagrams = {
        f"{title}\ncalibration error {error:.4f}": parts
        for title, error, parts in zip(titles, errors, bins.values(), strict=True)
    }
    plots.reliability(folder / "reliability.png", diagrams)


def _mistakes(
    folder: Path, report: dict[str, Any], logits: np.ndarray, chosen: EvaluationTask
) -> None:
    """Every mistake in a table, the surest first, and those on a contact sheet."""
    names, (images, labels) = chosen.saved.class_names, chosen.splits.test
    temperature = report["calibration"]["temperature"]
    wrong = metrics.most_confident_errors(logits, labels, temperature)
    files = chosen.files if len(wrong) else None
    confidence = calibration.confidences(logits[wrong], temperature)
    rows = [
        {
            "image": int(index) if files is None else files[index],
            "class": names[labels[index]],
            "predicted": names[logits[index].argmax()],
            "confidence": float(sure),
        }
        for index, sure in zip(wrong, confidence, strict=True)
    ]
    heads = ("image", "class", "predicted", "confidence")
    _lines(folder / "mistakes.csv", heads, (list(row.values()) for row in rows))
    report["mistakes"] = rows[: plots.ON_SHEET]
    if rows:
        shown = images[wrong[: plots.ON_SHEET]]
        titles = [
            plots.title(row["class"], row["predicted"], row["confidence"])
            for row in report["mistakes"]
        ]
        plots.most_confident_errors(folder / "mistakes.png", shown, titles)


def _trials(folder: Path, report: dict[str, Any], chosen: EvaluationTask) -> None:
    part = report["robustness"]
    _rows(folder / "robustness.csv", part["corruptions"])
    plots.robustness(folder / "robustness.png", part["corruptions"], part["clean"])
    if report["sizes"]:
        _rows(folder / "sizes.csv", [_flat(row) for row in report["sizes"]])
        height, width = chosen.saved.model.input_shape[1:3]
        own = height if height == width else None
        plots.sizes(folder / "sizes.png", report["sizes"], own)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Both ends of the interval in columns of their own."""
    rest = dict(row)
    low, high = rest.pop("accuracy_interval")
    return {**rest, "accuracy_low": low, "accuracy_high": high}


def _rows(path: Path, rows: list[dict[str, Any]]) -> None:
    _lines(path, list(rows[0]), (list(row.values()) for row in rows))


def _lines(path: Path, heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(lines)
