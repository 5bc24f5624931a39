"""List, choose and filter runs, and the rows of the table of runs."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.runs import listing, tables
from vit_keras.runs.describe import non_default_settings
from vit_keras.runs.listing import Ranked
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import file_versions
from vit_keras.runs.status import RunState
from vit_keras.studio.components.display import escape_markdown

FOLLOWED = "followed"  # session key: the directory of the run that was followed last
CACHE_SECONDS = 5  # a page is drawn at every click; the runs are not listed each time

NotedRun = tuple[Ranked, Notes]


@st.cache_data(ttl=CACHE_SECONDS, show_spinner=False)
def list_all_runs(root: str) -> list[RunState]:
    """Every run of the studio; empty if the folder does not exist yet."""
    return listing.list_runs(root) if Path(root).is_dir() else []


def runs_with_models(root: Path) -> list[RunState]:
    """Runs whose model can be opened, the newest first."""
    runs = [run for run in list_all_runs(str(root)) if run.is_usable and _model_time(run)]
    return sorted(runs, key=lambda run: (-_model_time(run), run.name))


def _model_time(run: RunState) -> int:
    """When the model of a run was written; 0 without one."""
    version, *_ = file_versions(run.path)
    return version[0] if version else 0


def select_run(root: Path) -> RunState | None:
    """Choose a run: that of the page's address, the training followed last, or the newest.

    None if no run has a model.
    """
    runs = runs_with_models(root)
    if not runs:
        st.info("No run with a model yet. Train one on the Training page.")
        return None
    known = {run.name: run for run in runs}
    requested = st.query_params.get("run", "")
    names = list(known)
    if requested and requested not in known:
        st.warning(
            escape_markdown(
                f"{requested} does not exist, or has no model; another run is selected."
            )
        )
    selected = st.selectbox(
        "Run",
        names,
        index=names.index(requested) if requested in known else 0,
        format_func=lambda name: _title(known[name]),
        key=f"run {requested}",
        help="the newest first",
    )
    st.query_params["run"] = selected
    return known[selected]


def _title(run: RunState) -> str:
    if average_precision := tables.figure_text(run, "best_val_map"):  # of several labels
        return f"{run.name} (validation mAP {average_precision})"
    accuracy = tables.figure_text(run, "best_val_accuracy")
    return f"{run.name} (validation accuracy {accuracy})" if accuracy else run.name


def filter_runs(
    runs: Sequence[NotedRun], search: str, states: Sequence[str], tags: Sequence[str]
) -> list[NotedRun]:
    """Runs that contain every word of the search, are in one of the states and have every tag.

    Args:
        runs: runs and their notes.
        search: words in names, settings, tags and notes; upper and lower case are equal.
        states: empty for any state.
        tags: empty for any tags.
    """
    words = search.casefold().split()
    return [
        (entry, notes)
        for entry, notes in runs
        if (not states or entry.run.state in states)
        and set(tags) <= set(notes.tags)
        and all(word in _search_text(entry.run, notes) for word in words)
    ]


def _search_text(run: RunState, notes: Notes) -> str:
    """Every text of a run that can be searched, in lower case."""
    settings = non_default_settings(run.config) if run.config else {}
    assignments = (f"{name}={tables.format_setting(value)}" for name, value in settings.items())
    parts = (run.name, run.state, tables.data_text(run), *notes.tags, notes.note)
    return "\n".join((*parts, *assignments)).casefold()


def table_rows(runs: Sequence[NotedRun], by: str) -> list[tuple[str, ...]]:
    """The header and one row per run; `by` is the metric that they are sorted by."""
    columns = tables.shown_metrics([entry.run for entry, _ in runs], by)
    head = ("#", "run", *(name.replace("_", " ") for name in columns), "data", "state", "tags")
    rows = [
        (
            str(entry.place or "-"),
            entry.run.name,
            *(tables.figure_text(entry.run, name) for name in columns),
            tables.data_text(entry.run),
            tables.state_text(entry.run),
            ", ".join(notes.tags),
        )
        for entry, notes in runs
    ]
    has_tags = any(notes.tags for _, notes in runs)
    return [row if has_tags else row[:-1] for row in (head, *rows)]
