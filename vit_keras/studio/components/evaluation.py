"""Show the evaluations of a run: metrics, plots, and the HTML report to download."""

import json
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.config.schema import MULTILABEL
from vit_keras.evaluation import abstention, calibration, multilabel, tta
from vit_keras.evaluation.html_report import render_report
from vit_keras.evaluation.preflight import EVALUATION
from vit_keras.runs.accuracy import class_text
from vit_keras.runs.tables import format_metric
from vit_keras.studio.components import display
from vit_keras.studio.components.display import escape_markdown, show_errors

# A report of version 0.1 has no balanced accuracy.
CLASS_METRICS: tuple[str, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "images")
LABEL_METRICS: tuple[str, ...] = ("map", "micro_f1", "macro_f1", "hamming_loss", "images")
CLASS_COLUMNS = ("class", "images", "precision", "recall", "f1")
PLOTS = {
    "confusion.png": "Confusion matrix",
    "reliability.png": "Calibration",
    "mistakes.png": "Most confident errors",
    "map.png": "Map of the images by their features",
    "robustness.png": "Robustness to common corruptions",
    "sizes.png": "Accuracy at other image sizes",
}


def show(run: Path) -> None:
    """Show the evaluation that is chosen, at first the newest."""
    folders = [file.parent for file in run.glob(f"evaluation*/{EVALUATION}")]
    if not folders:
        st.write("This run has no evaluation yet.")
        return
    folders.sort(key=lambda folder: (folder / EVALUATION).stat().st_mtime, reverse=True)
    folder = st.selectbox(
        "Evaluation", folders, format_func=lambda path: path.name, key=f"evaluation {run}"
    )
    with show_errors():
        _show_evaluation(run, folder)


def _show_evaluation(run: Path, folder: Path) -> None:
    try:
        report: dict[str, Any] = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        by_class: list[list[str]] = []
        if report.get("task") == MULTILABEL:
            names, notes = LABEL_METRICS, [multilabel.describe(report)]
        else:
            names, by_class = CLASS_METRICS, _by_class(report["per_class"])
            notes = [class_text(report).removeprefix(", "), tta.describe(report)]
            notes.append(calibration.describe(report["calibration"]))
            notes += abstention.describe(report.get("abstention"))
        metrics = {name: report[name] for name in names if name in report}
        html = render_report(report, folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        st.error(
            escape_markdown(f"{folder / EVALUATION} is damaged ({error}); evaluate the run again")
        )
        return
    if note := report["data"].get("note"):
        st.warning(escape_markdown(note))
    for column, (name, value) in zip(st.columns(len(metrics)), metrics.items(), strict=True):
        column.metric(name.replace("_", " "), format_metric(value))
    for note in filter(None, notes):
        st.caption(escape_markdown(note))
    if by_class:
        with st.expander("Scores of each class"):
            st.markdown(display.table(by_class))
    # Rendered from the metrics: the HTML file of a run from elsewhere could contain anything.
    name = f"{run.name}-{folder.name}.html"
    st.download_button("Download the report", html, name, "text/html", key=f"report {folder}")
    for name, title in PLOTS.items():
        if (folder / name).is_file():
            display.show_image(folder / name, title)


def _by_class(scores: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of a table, the header first; a score that is undefined is a dash."""
    rows = [[format_metric(one[name]) or "-" for name in CLASS_COLUMNS[1:]] for one in scores]
    return [
        list(CLASS_COLUMNS),
        *([one["class"], *row] for one, row in zip(scores, rows, strict=True)),
    ]
