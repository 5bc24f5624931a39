"""Which run a page is about: those that can predict, the best first.

The lines of the table of runs: which are looked for, and what each says.
"""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.runs import listing, tables
from vit_keras.runs.describe import non_default_settings as set_settings
from vit_keras.runs.listing import Ranked
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.status import RunState
from vit_keras.runs.tables import format_metric
from vit_keras.studio.components.display import escape_markdown

SECONDS = 5  # that a list is good for: a page is drawn at every click


@st.cache_data(ttl=SECONDS, show_spinner=False)
def every(root: str) -> list[RunState]:
    """Every run of the studio; none where the folder is not there yet."""
    return listing.list_runs(root) if Path(root).is_dir() else []


def with_models(root: Path) -> list[RunState]:
    """Those whose model can be opened, by validation accuracy."""
    ranked = listing.rank(every(str(root)))
    return [one.run for one in ranked if one.run.is_usable and (one.run.path / MODEL).is_file()]


def ask(root: Path) -> RunState | None:
    """A run, that of the page's address first; None where there is none."""
    runs = with_models(root)
    if not runs:
        st.info("No run with a model yet. Train one on the Training page.")
        return None
    known = {run.name: run for run in runs}
    wanted = st.query_params.get("run", "")
    names = list(known)
    if wanted and wanted not in known:
        st.warning(escape_markdown(f"{wanted} is not here, or has no model; another run is shown."))
    picked = st.selectbox(
        "Run",
        names,
        index=names.index(wanted) if wanted in known else 0,
        format_func=lambda name: _title(known[name]),
        key=f"run {wanted}",
        help="the best validation accuracy first",
    )
    st.query_params["run"] = picked
    return known[picked]


def _title(run: RunState) -> str:
    reached = format_metric(run.metrics.get("best_val_accuracy"))
    return f"{run.name} (validation accuracy {reached})" if reached else run.name


Found = tuple[Ranked, Notes]


def chosen(
    found: Sequence[Found], search: str, states: Sequence[str], tags: Sequence[str]
) -> list[Found]:
    """Those that hold every word of the search, are in one of the states, and have every tag.

    Args:
        found: runs and their notes.
        search: words, in names, settings, tags and notes; large and small letters are alike.
        states: none is any.
        tags: none is any.
    """
    words = search.casefold().split()
    return [
        (one, notes)
        for one, notes in found
        if (not states or one.run.state in states)
        and set(tags) <= set(notes.tags)
        and all(word in _text(one, notes) for word in words)
    ]


def _text(one: Ranked, notes: Notes) -> str:
    """Everything of a run that can be searched."""
    settings = set_settings(one.run.config) if one.run.config else {}
    set_ones = (f"{name}={tables.format_setting(value)}" for name, value in settings.items())
    parts = (one.run.name, one.run.state, tables.data_text(one.run), *notes.tags, notes.note)
    return "\n".join((*parts, *set_ones)).casefold()


def rows(found: Sequence[Found], by: str) -> list[tuple[str, ...]]:
    """A line for each run, the head first; `by` is the figure that they are sorted by."""
    columns = [by, *(name for name in tables.SHOWN if name != by)]
    head = ("#", "run", *(name.replace("_", " ") for name in columns), "data", "state", "tags")
    lines = [
        (
            str(one.place or "-"),
            one.run.name,
            *(tables.format_metric(one.run.metrics.get(name)) for name in columns),
            tables.data_text(one.run),
            tables.state_text(one.run),
            ", ".join(notes.tags),
        )
        for one, notes in found
    ]
    has_tags = any(notes.tags for _, notes in found)
    return [line if has_tags else line[:-1] for line in (head, *lines)]
