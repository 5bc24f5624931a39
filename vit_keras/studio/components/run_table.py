"""List, choose and filter runs, and the table of runs."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.runs import run_dir, tables
from vit_keras.runs.describe import non_default_settings
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import class_names, file_versions
from vit_keras.runs.status import RunState
from vit_keras.studio.components import figures, navigation, run_list
from vit_keras.studio.components.display import escape_markdown, show_note
from vit_keras.studio.components.run_columns import (
    NotedRun,
    column_config,
    state_word,
    table_frame,
)
from vit_keras.text import abbreviated_list, counted

FOLLOWED = "followed"  # session key: the directory of the run that was followed last
CHOSEN = "chosen_runs"  # session key: names of the rows that are selected
ADDRESS = "address_of_runs"  # session key: the run that the address named when it was read last
VERSION = "version_of_runs"  # session key: number of times that rows were selected from outside
MAX_TEXTS = 20_000  # settings of runs that are remembered as text
_TEXTS: dict[int, tuple[Config, str]] = {}


def runs_with_models(root: Path) -> list[RunState]:
    """Runs whose model can be opened, the newest first."""
    found = run_list.list_all_runs(str(root)).runs
    usable = [run for run, notes in found if run.is_usable and not notes.archived]
    return [run for run in usable if file_versions(run.path)[0]]


def select_run(root: Path) -> RunState | None:
    """Choose a run: that of the page's address, the training followed last, or the newest.

    One that is still training is chosen by its address alone, or where there is no other.

    None if no run has a model.
    """
    runs = runs_with_models(root)
    requested = st.query_params.get("run", "")
    if not runs:
        show_no_run("No run with a model yet.")
        return None
    known = {run.name: run for run in runs}
    names = list(known)
    if requested and requested not in known:
        st.warning(
            escape_markdown(
                f"{requested} does not exist, or has no model; another run is selected."
            )
        )
    index = names.index(requested) if requested in known else _first_choice(runs)
    selected = st.selectbox(
        "Run",
        names,
        index=index,
        format_func=lambda name: _title(known[name]),
        key=f"run {requested}",
        help="the newest first",
    )
    # Not when the page is opened: Back would only lead to the same page.
    if selected != names[index]:
        st.query_params["run"] = selected
    if known[selected].state == "running":
        st.info("This run is still training: its model is that of its best epoch so far.")
    show_note(escape_markdown(_data_and_classes(known[selected])))
    return known[selected]


def _data_and_classes(run: RunState) -> str:
    names = run_dir.read_or_default(class_names, run.path, [])
    kind = "label[s]" if run.config and run.config.task == MULTILABEL else "class[es]"
    return (
        f"Trained on {tables.data_text(run)}, {counted(len(names), kind)}: "
        f"{abbreviated_list(names)}"
    )


def _first_choice(runs: Sequence[RunState]) -> int:
    """The place of the run that was followed last, else of the newest that has finished.

    Else of one that was stopped; 0, that of the newest, if all are still training.
    """
    followed = st.session_state.get(FOLLOWED)
    over = [(at, run) for at, run in enumerate(runs) if run.state != "running"]
    best = [at for at, run in over if str(run.path) == followed]
    best += [at for at, run in over if run.state == "finished"]
    return [*best, *(at for at, _ in over), 0][0]


def show_no_run(text: str) -> None:
    """Say that there is no run, with a way to train one."""
    st.info(text)
    with st.container(horizontal=True):
        if st.button("Train a model", type="primary", key="to_training"):
            navigation.open_page("training")
        if st.button("Look at the data first", key="to_data"):
            navigation.open_page("data")


def _title(run: RunState) -> str:
    """The name with its state, unless it has finished, and with its validation score."""
    said = []
    if run.state == "running":
        said.append(f"still training, {run.reason}")
    elif run.state != "finished":
        said.append(state_word(run))
    if average_precision := figures.of_run(run, "best_val_map"):  # of several labels
        said.append(f"validation mAP {average_precision}")
    elif accuracy := figures.of_run(run, "best_val_accuracy"):
        said.append(f"validation accuracy {accuracy}")
    return f"{run.name} ({', '.join(said)})" if said else run.name


def filter_runs(
    runs: Sequence[NotedRun],
    search: str,
    states: Sequence[str] = (),
    tags: Sequence[str] = (),
    data: Sequence[str] = (),
) -> list[NotedRun]:
    """Runs that contain every word of the search, and are in the chosen states, tags and data.

    Args:
        runs: runs and their notes.
        search: words in names, settings, tags and notes; upper and lower case are equal.
        states: words of `state_word`; empty for any state.
        tags: that a run must all have.
        data: as in `tables.data_text`; empty for any data.
    """
    words = search.casefold().split()
    return [
        one
        for one in runs
        if (not states or state_word(one.run) in states)
        and set(tags) <= set(one.notes.tags)
        and (not data or tables.data_text(one.run) in data)
        and (not words or all(word in _search_text(one.run, one.notes) for word in words))
    ]


def _search_text(run: RunState, notes: Notes) -> str:
    """Every text of a run that can be searched, in lower case."""
    parts = (run.name, state_word(run), tables.data_text(run), *notes.tags, notes.note)
    settings = "" if run.config is None else _settings_text(run.config)
    return "\n".join((*parts, settings)).casefold()


def _settings_text(config: Config) -> str:
    """The settings that are no defaults; remembered, as each click searches thousands of runs."""
    known = _TEXTS.get(id(config))
    if known is not None and known[0] is config:
        return known[1]
    settings = non_default_settings(config)
    text = "\n".join(f"{name}={tables.format_setting(v)}" for name, v in settings.items())
    if len(_TEXTS) >= MAX_TEXTS:
        _TEXTS.clear()
    _TEXTS[id(config)] = config, text
    return text


def select_rows(runs: Sequence[NotedRun], columns: Sequence[str]) -> list[NotedRun]:
    """Show the table, and return the runs whose rows are selected.

    Args:
        runs: the rows, in their order; a click on the head of a column sorts them otherwise.
        columns: beside the name.
    """
    names = [one.run.name for one in runs]
    _follow_address(names)
    chosen = st.session_state.get(CHOSEN, [])
    rows = [names.index(name) for name in chosen if name in names]
    # Rows are selected by their numbers: with other rows it is another table.
    shown = "\n".join([*names, str(st.session_state.get(VERSION, 0))])
    selected = st.dataframe(
        table_frame(runs, columns),
        height="auto",
        hide_index=True,
        column_config=column_config(runs, columns),
        key=f"table of runs {zlib.crc32(shown.encode())}",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        placeholder="",
        alt="Runs",
    )
    found = [runs[row] for row in selected["selection"]["rows"] if row < len(runs)]  # type: ignore[index]
    st.session_state[CHOSEN] = [one.run.name for one in found]
    if len(found) == 1:
        st.session_state[ADDRESS] = st.query_params["run"] = found[0].run.name
    return found


def choose(*names: str) -> None:
    """Have the table begin with these rows selected."""
    st.session_state[CHOSEN] = list(names)
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1


def _follow_address(names: Sequence[str]) -> None:
    """Select the run of the address where that has changed: by a link, or by Back."""
    requested = st.query_params.get("run", "")
    if requested == st.session_state.get(ADDRESS, ""):
        return
    st.session_state[ADDRESS] = requested
    if not requested:  # of the page's own link: what was selected before stays selected
        return
    if requested not in names:
        st.warning(escape_markdown(f"{requested} is not among these runs."))
    choose(requested)
