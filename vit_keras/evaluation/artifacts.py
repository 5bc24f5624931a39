"""The files of an evaluation: metrics as JSON and CSV, plots, and the report that shows them."""

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vit_keras.data.dataset import label_text
from vit_keras.evaluation import calibration, metrics, multilabel, plots
from vit_keras.evaluation.html_report import render_report
from vit_keras.evaluation.preflight import ERRORS, EVALUATION
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.io import atomic
from vit_keras.predict import embedding_map

if TYPE_CHECKING:
    from vit_keras.evaluation.logits import Outputs

REPORT = "report.html"
MAX_THUMBNAILS, THUMBNAILS_AT_ONCE, THUMBNAIL = 500, 64, 96  # images, images, pixels


@contextlib.contextmanager
def write_artifacts(
    folder: Path,
    report: dict[str, Any],
    outputs: "Outputs",
    task: EvaluationTask,
    map: bool = False,
) -> Iterator[None]:
    """Write all files to `folder` if the block ends without an error, replacing an evaluation.

    Args:
        folder: of the evaluation.
        report: the results so far; metrics of each class, confused pairs and the most confident
            errors are added.
        outputs: logits (n, K) and features of the evaluated images.
        task: the run and its data.
        map: whether to draw a map of the features.
    """
    logits = outputs.logits
    with atomic.atomic_folder(folder, EVALUATION) as new:
        if task.saved.is_multilabel:
            _write_labels(new, report, logits, task)
        else:
            _write_classes(new, report, logits, task)
            _write_calibration(new, report, logits, task)
            _write_errors(new, report, logits, task)
            _write_robustness(new, report, task)
            report["map"] = _draw_map(new, outputs, task) if map else None
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        (new / EVALUATION).write_text(text + "\n", encoding="utf-8")
        (new / REPORT).write_text(render_report(report, new), encoding="utf-8")
        yield


def _write_labels(
    folder: Path, report: dict[str, Any], logits: np.ndarray, task: EvaluationTask
) -> None:
    """Of several labels: the scores of each, and all that are wrongly there or missing."""
    names, (images, labels) = task.saved.class_names, task.splits.test
    thresholds = np.array(list(report["thresholds"].values()))
    report["per_class"] = multilabel.per_label_metrics(logits, labels, thresholds, names)
    _write_dicts(folder / "per_class.csv", report["per_class"])
    wrong = multilabel.most_confident_errors(logits, labels, thresholds)
    files, probabilities = task.files if wrong else None, multilabel.probabilities(logits)
    rows = [
        {
            "image": index if files is None else files[index],
            "labels": label_text(labels[index], names),
            "error": "missing" if labels[index, k] else "added",
            "label": names[k],
            "probability": float(probabilities[index, k]),
        }
        for index, k in wrong
    ]
    header = ("image", "labels", "error", "label", "probability")
    _write_csv(folder / "mistakes.csv", header, (list(row.values()) for row in rows))
    report["mistakes"] = rows[: plots.MAX_ERRORS]
    if rows:
        shown = images[np.array([index for index, _ in wrong[: plots.MAX_ERRORS]])]
        titles = [
            plots.label_error_title(row["error"], row["label"], row["probability"])
            for row in report["mistakes"]
        ]
        plots.contact_sheet(folder / "mistakes.png", shown, titles)


def _write_classes(
    folder: Path, report: dict[str, Any], logits: np.ndarray, task: EvaluationTask
) -> None:
    names, labels = task.saved.class_names, task.splits.test.labels
    predicted = logits.argmax(axis=-1)
    matrix = metrics.confusion_matrix(labels, predicted, len(names))
    report["per_class"] = metrics.per_class_metrics(labels, predicted, names)
    report["confused_pairs"] = metrics.confused_pairs(matrix, names)
    _write_dicts(folder / "per_class.csv", report["per_class"])
    rows = [[name, *counts] for name, counts in zip(names, matrix.tolist(), strict=True)]
    _write_csv(folder / "confusion.csv", ["class \\ predicted", *names], rows)
    plots.confusion_matrix(folder / "confusion.png", matrix, names)


def _write_calibration(
    folder: Path, report: dict[str, Any], logits: np.ndarray, task: EvaluationTask
) -> None:
    scores = report["calibration"]
    temperature = scores["temperature"]
    _, bins = metrics.calibration_metrics(logits, task.splits.test.labels, temperature)
    rows = [{"temperature": 1.0, **part._asdict()} for part in bins["before"]]
    rows += [{"temperature": temperature, **part._asdict()} for part in bins["after"]]
    _write_dicts(folder / "reliability.csv", rows)
    diagrams = {
        f"uncalibrated\nECE {scores['ece']:.4f}": bins["before"],
        f"temperature {temperature:.3f}\nECE {scores['ece_calibrated']:.4f}": bins["after"],
    }
    plots.reliability_diagrams(folder / "reliability.png", diagrams)


def _write_errors(
    folder: Path, report: dict[str, Any], logits: np.ndarray, task: EvaluationTask
) -> None:
    """All errors as a table, by descending confidence, and a contact sheet of the first ones."""
    names, (images, labels) = task.saved.class_names, task.splits.test
    temperature = report["calibration"]["temperature"]
    wrong = metrics.most_confident_errors(logits, labels, temperature)
    files = task.files if len(wrong) else None
    confidences = calibration.confidences(logits[wrong], temperature)
    rows = [
        {
            "image": int(index) if files is None else files[index],
            "class": names[labels[index]],
            "predicted": names[logits[index].argmax()],
            "confidence": float(confidence),
        }
        for index, confidence in zip(wrong, confidences, strict=True)
    ]
    header = ("image", "class", "predicted", "confidence")
    _write_csv(folder / "mistakes.csv", header, (list(row.values()) for row in rows))
    report["mistakes"] = rows[: plots.MAX_ERRORS]
    write_thumbnails(folder / ERRORS, images, wrong[:MAX_THUMBNAILS])
    if rows:
        shown = images[wrong[: plots.MAX_ERRORS]]
        titles = [
            plots.error_title(row["class"], row["predicted"], row["confidence"])
            for row in report["mistakes"]
        ]
        plots.contact_sheet(folder / "mistakes.png", shown, titles)


def write_thumbnails(folder: Path, images: Any, indices: np.ndarray) -> None:
    """Small PNGs `00000.png`, ... of some images, in the order of the rows of `mistakes.csv`."""
    if not len(indices):
        return
    folder.mkdir()
    for start in range(0, len(indices), THUMBNAILS_AT_ONCE):
        pixels = images[indices[start : start + THUMBNAILS_AT_ONCE]]
        for number, one in enumerate(pixels, start):
            image = Image.fromarray(embedding_map.thumbnail(one, THUMBNAIL))
            image.save(folder / f"{number:05}.png")


def _draw_map(folder: Path, outputs: "Outputs", task: EvaluationTask) -> dict[str, Any] | None:
    """Draw the map of some images, with thumbnails of wrong predictions; None of too few."""
    images, labels = task.splits.test
    if len(labels) < embedding_map.MIN_IMAGES:
        return None
    chosen = embedding_map.evenly_spaced(len(labels))
    wrong = np.flatnonzero(outputs.logits[chosen].argmax(axis=-1) != labels[chosen])
    method = embedding_map.draw_map(
        folder / "map.png",
        outputs.features[chosen],
        [task.saved.class_names[label] for label in labels[chosen]],
        [embedding_map.thumbnail(pixels) for pixels in images[np.array(chosen)]],
        wrong.tolist(),
    )
    return {"method": method, "images": len(chosen), "wrong": len(wrong)}


def _write_robustness(folder: Path, report: dict[str, Any], task: EvaluationTask) -> None:
    scores = report["robustness"]
    _write_dicts(folder / "robustness.csv", scores["corruptions"])
    plots.robustness(folder / "robustness.png", scores["corruptions"], scores["clean"])
    if report["sizes"]:
        _write_dicts(folder / "sizes.csv", [_flatten_interval(row) for row in report["sizes"]])
        trained_at = task.saved.model.input_shape[1]
        plots.image_sizes(folder / "sizes.png", report["sizes"], trained_at)


def _flatten_interval(row: dict[str, Any]) -> dict[str, Any]:
    """Split the confidence interval into two columns."""
    rest = dict(row)
    low, high = rest.pop("accuracy_interval")
    return {**rest, "accuracy_low": low, "accuracy_high": high}


def _write_dicts(path: Path, rows: list[dict[str, Any]]) -> None:
    _write_csv(path, list(rows[0]), (list(row.values()) for row in rows))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
