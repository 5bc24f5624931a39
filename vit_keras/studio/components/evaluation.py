"""Show the evaluations of a run: metrics, confusion matrix, calibration, and the HTML report."""

import csv
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.config.schema import MULTILABEL
from vit_keras.evaluation import abstention, calibration, multilabel, tta
from vit_keras.evaluation.html_report import render_report
from vit_keras.evaluation.preflight import EVALUATION
from vit_keras.runs.accuracy import class_text
from vit_keras.studio.components import confusion, display, figures
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note
from vit_keras.studio.components.reliability import show_reliability, show_robustness, show_sizes

# A report of version 0.1 has no balanced accuracy.
CLASS_METRICS: tuple[str, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "images")
LABEL_METRICS: tuple[str, ...] = ("map", "micro_f1", "macro_f1", "hamming_loss", "images")
HELP = {
    "accuracy": "share of the images that are classified correctly",
    "balanced_accuracy": "mean over the classes of the share that is classified correctly: rare "
    "classes count as much as frequent ones",
    "macro_f1": "mean over the classes of F1, which is high if precision and recall both are",
    "micro_f1": "F1 of all labels together",
    "map": "mean average precision: how well the images of each label are ranked first",
    "hamming_loss": "share of the labels that are wrongly there or missing",
    "loss": "mean cross-entropy; 0 if every image is classified correctly with full confidence",
    "images": "that were evaluated",
}
SCORES = ("precision", "recall", "f1")
CLASS_COLUMNS = ("class", "images", *SCORES)
PICTURES = {
    "mistakes.png": "Most confident errors",
    "map.png": "Map of the images by their features",
}


def show(run: Path, is_shown: Callable[[dict[str, Any]], bool] = lambda report: True) -> None:
    """Show the evaluation that is chosen, at first the newest.

    Args:
        run: its directory.
        is_shown: whether an evaluation can be chosen, by the content of its `evaluation.json`.
    """
    folders = [file.parent for file in run.glob(f"evaluation*/{EVALUATION}")]
    folders.sort(key=lambda folder: (folder / EVALUATION).stat().st_mtime, reverse=True)
    found = {folder: _read(folder) for folder in folders}
    shown = [folder for folder, report in found.items() if report is None or is_shown(report)]
    if not shown:
        st.write(
            "Not evaluated on these images yet."
            if found
            else "No evaluation with details yet: Evaluate makes one."
        )
        return
    folder = shown[0]
    if len(shown) > 1:
        folder = st.selectbox(
            "Evaluation",
            shown,
            format_func=lambda one: title(found[one]) if found[one] else one.name,
            key=f"evaluation {run} {len(shown)}",
        )
    with show_errors():
        _show_evaluation(run, folder, found[folder])


def _read(folder: Path) -> dict[str, Any] | None:
    """The content of `evaluation.json`; None if it is damaged."""
    try:
        report = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        return report if isinstance(report["data"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def title(report: dict[str, Any] | None) -> str:
    """What was evaluated, and when: `digits, test split, 359 images, 2026-11-29 12:00`."""
    if report is None:
        return ""
    data = report["data"]
    path = f" {Path(str(data['path'])).name}" if data.get("path") else ""
    split = "all images" if data.get("split") == "all" else f"{data.get('split', 'test')} split"
    time = str(report.get("evaluated_at", ""))[:16]
    count = f"{report.get('images', 0):,} images"
    return ", ".join(filter(None, (f"{data.get('name', '')}{path}", split, count, time)))


def _show_evaluation(run: Path, folder: Path, report: dict[str, Any] | None) -> None:
    try:
        if report is None:
            raise ValueError("it cannot be read")
        html = render_report(report, folder)
        is_multilabel = report.get("task") == MULTILABEL
        names = LABEL_METRICS if is_multilabel else CLASS_METRICS
        metrics = {name: report[name] for name in names if name in report}
        notes = _label_notes(report) if is_multilabel else _class_notes(report)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        st.error(
            escape_markdown(f"{folder / EVALUATION} is damaged ({error}); evaluate the run again")
        )
        return
    st.markdown(f"**{escape_markdown(title(report))}**")
    if note := report["data"].get("note"):
        st.warning(escape_markdown(note))
    for column, (name, value) in zip(st.columns(len(metrics)), metrics.items(), strict=True):
        column.metric(
            name.replace("_", " "),
            figures.metric(name, value, report.get("images")),
            help=HELP[name],
        )
    for note in filter(None, notes):
        show_note(escape_markdown(note))
    # Rendered from the metrics: the HTML file of a run from elsewhere could contain anything.
    name = f"{run.name}-{folder.name}.html"
    st.download_button("Download the report", html, name, "text/html", key=f"report {folder}")
    _show_charts(folder, report, is_multilabel)


def _class_notes(report: dict[str, Any]) -> list[str]:
    form = functools.partial(figures.percent, images=report.get("images"))
    return [
        _certainty(report),
        class_text(report, form=form).removeprefix(", "),
        tta.describe(report, form),
        calibration.describe(report["calibration"]),
        *abstention.describe(report.get("abstention"), form),
    ]


def _certainty(report: dict[str, Any]) -> str:
    """The interval of the accuracy; none in a report of an earlier version."""
    interval = report.get("accuracy_interval")
    if not interval:
        return ""
    return f"accuracy: {figures.certainty(report['accuracy'], interval, report['images'])}"


def _label_notes(report: dict[str, Any]) -> list[str]:
    return [
        multilabel.describe(report, functools.partial(figures.percent, images=report["images"]))
    ]


def _show_charts(folder: Path, report: dict[str, Any], is_multilabel: bool) -> None:
    pictures = dict(PICTURES)
    if not is_multilabel:
        with show_errors():
            if (folder / "confusion.csv").is_file():
                confusion.show(folder)
                del pictures["mistakes.png"]  # shown with the matrix
        with show_errors():
            _show_classes(report["per_class"])
        for read, draw in (
            ("reliability.csv", show_reliability),
            ("robustness.csv", show_robustness),
            ("sizes.csv", show_sizes),
        ):
            with show_errors():
                if (folder / read).is_file():
                    draw(read_rows(folder / read))
    for name, text in pictures.items():
        if (folder / name).is_file():
            display.show_image(folder / name, text)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, numbers as such; None where a cell is empty."""
    with open(file, encoding="utf-8", newline="") as lines:
        return [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(lines)]


def _value(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def _show_classes(scores: Sequence[dict[str, Any]]) -> None:
    """A table to sort; a score that is undefined is empty."""
    import pandas as pd  # a dependency of Streamlit; only pages with tables wait for it

    with st.expander("Scores of each class"):
        show_note(
            "Precision: of the images predicted as the class, the share that is of it. Recall: of "
            "the images of the class, the share that is found. F1: their harmonic mean."
        )
        frame = pd.DataFrame(
            {
                name: figures.rounded(one[name], one["images"])
                if name in SCORES and one[name] is not None
                else one[name]
                for name in CLASS_COLUMNS
            }
            for one in scores
        )
        config = dict.fromkeys(SCORES, st.column_config.NumberColumn(format="percent"))
        st.dataframe(frame, hide_index=True, column_config=config, alt="Scores of each class")
