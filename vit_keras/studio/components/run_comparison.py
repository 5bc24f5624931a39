"""Compare the selected runs: curves, settings that differ, metrics and confusion matrices."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from vit_keras.runs import tables
from vit_keras.runs.compare import Comparison, Difference, compare
from vit_keras.runs.status import RunState
from vit_keras.studio.components import charts, confusion, figures, run_metrics, setting_inputs
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note
from vit_keras.studio.components.run_columns import column_title
from vit_keras.studio.jobs import live_run
from vit_keras.text import abbreviated_list

MAX_RUNS = 12  # more colors cannot be told apart
MAX_MATRICES = 4
BEST = "★"


def show(runs: Sequence[RunState]) -> None:
    """Show the comparison of two runs or more."""
    if len(runs) > MAX_RUNS:
        st.info(f"Select at most {MAX_RUNS} runs to compare them.")
        return
    found = compare(*(str(run.path) for run in runs), draw=False)
    names = [run.name for run in runs]
    with show_errors():
        _show_metrics(found, names)
    with show_errors():
        _show_curves(runs)
    st.markdown("**Settings that differ**")
    _show_differences(found.settings, names, figures.setting, "Settings that differ")
    with show_errors():
        _show_matrices(runs)
    with st.expander("Environment that differs"):
        _show_differences(found.environment, names, tables.format_hash, "Environment")


def _show_metrics(found: Comparison, names: list[str]) -> None:
    st.markdown("**Metrics**")
    if not found.is_of_one_data_set:
        st.warning("These runs are of different data sets: their metrics cannot be compared.")
    rows = {}
    for one in found.metrics:
        texts = [figures.of_run(run, one.name) for run in found.runs]
        rows[column_title(one.name)] = tables.marked_metrics(one, found, BEST, texts)
    _show_table(rows, names, "Metrics")
    if found.is_of_one_data_set:
        for line in tables.marks_text(found, BEST):
            show_note(line)


def _show_curves(runs: Sequence[RunState]) -> None:
    views = {run.name: live_run.view(run.path) for run in runs}
    views = {name: view for name, view in views.items() if view.rows}
    best = {name: run_metrics.best_epoch(view) for name, view in views.items()}
    charts.show_curves({name: view.rows for name, view in views.items()}, best, "compared")
    if views:
        show_note("Training dashed, validation solid; a dot is the best epoch.")


def _show_differences(
    differences: list[Difference], names: list[str], text: Any, title: str
) -> None:
    if not differences:
        st.write("none")
        return
    rows = {
        setting_inputs.label_of(one.name) or one.name: [text(value) for value in one.values]
        for one in differences
    }
    _show_table(rows, names, title)


def _show_table(rows: dict[str, list[str]], names: list[str], title: str) -> None:
    """A row for each name, a column for each run."""
    import pandas as pd  # a dependency of Streamlit; only pages with tables wait for it

    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    frame.index.name = " "
    st.dataframe(frame, alt=title, placeholder="", height="content")


def _show_matrices(runs: Sequence[RunState]) -> None:
    """The confusion matrices of the runs that were evaluated, side by side."""
    evaluated = {run.name: confusion.newest(run.path) for run in runs}
    found = {name: folder for name, folder in evaluated.items() if folder is not None}
    if not found:
        show_note("Evaluate these runs to compare their confusion matrices.")
        return
    st.markdown("**Confusion matrices**")
    shown = list(found.items())[:MAX_MATRICES]
    for column, (name, folder) in zip(st.columns(len(shown)), shown, strict=True):
        with column:
            st.markdown(escape_markdown(name))
            confusion.show_chart(folder, f"compared {name}", is_small=len(shown) > 1)
    if len(found) < len(runs):
        missing = [name for name in evaluated if name not in found]
        show_note(escape_markdown(f"Not evaluated yet: {abbreviated_list(missing)}."))
