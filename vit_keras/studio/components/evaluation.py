"""A run's evaluations: their figures and pictures, and each as one page to be sent to anybody."""

import json
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.evaluation.html_report import render_report
from vit_keras.evaluation.preflight import EVALUATION
from vit_keras.runs.tables import format_metric
from vit_keras.studio.components import display
from vit_keras.studio.components.display import escape_markdown, show_errors

PICTURES = {
    "confusion.png": "what is taken for what",
    "reliability.png": "how often what it is so sure of is right",
    "mistakes.png": "what it was most sure of and wrong",
    "robustness.png": "on corrupted images",
    "sizes.png": "at other image sizes",
}


def show(run: Path) -> None:
    """The newest evaluation, or the chosen one; nothing where there is none."""
    found = [file.parent for file in run.glob(f"evaluation*/{EVALUATION}")]
    if not found:
        st.write("This run has no evaluation yet.")
        return
    found.sort(key=lambda folder: (folder / EVALUATION).stat().st_mtime, reverse=True)
    folder = st.selectbox(
        "Evaluation", found, format_func=lambda path: path.name, key=f"evaluation {run}"
    )
    with show_errors():
        _one(run, folder)


def _one(run: Path, folder: Path) -> None:
    try:
        report: dict[str, Any] = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        figures = {name: report[name] for name in ("accuracy", "loss", "macro_f1", "images")}
        html = render_report(report, folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        st.error(
            escape_markdown(f"{folder / EVALUATION} is damaged ({error}); evaluate the run again")
        )
        return
    if note := report["data"].get("note"):
        st.warning(escape_markdown(note))
    for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(name.replace("_", " "), format_metric(value))
    # Made anew of its figures: a run may be of somebody else, and its HTML whatever he wrote.
    name = f"{run.name}-{folder.name}.html"
    st.download_button("The report as a page", html, name, "text/html", key=f"report {folder}")
    for name, title in PICTURES.items():
        if (folder / name).is_file():
            display.show_picture(folder / name, title)
