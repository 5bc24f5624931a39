"""The Runs page: a table of runs to search and select, and what to do with those selected."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.runs import archive, tables
from vit_keras.runs.listing import BY, Ranked, few_images, rank
from vit_keras.runs.notes import Notes
from vit_keras.runs.status import RunState
from vit_keras.runs.status_cache import cache_of
from vit_keras.studio.components import (
    evaluation,
    kept_values,
    navigation,
    run_actions,
    run_comparison,
    run_details,
    run_list,
    run_metrics,
    run_table,
)
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note
from vit_keras.studio.components.multiselect import multiselect
from vit_keras.studio.components.run_columns import (
    SHOWN,
    NotedRun,
    column_title,
    columns_to_choose,
    state_word,
)
from vit_keras.studio.components.run_list import Listing
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.queue import Jobs
from vit_keras.text import counted

ADDING = threading.Lock()
DRAWN_FIRST = 0.15  # seconds
RANKED_BY, COLUMNS = "runs rank", "runs columns"  # slots of kept values


def show(root: Path) -> None:
    """Show the page below its title."""
    with show_errors():
        found = run_list.list_all_runs(str(root), may_be_old=not navigation.is_just_opened())
        run_actions.show_deleted()
        if found.runs:
            _show_runs(found, root)
        else:
            run_table.show_no_run("No run yet.")
        with st.expander("Add a run from a zip file"), show_errors():
            _show_upload(root)
        # The Training page lists the folders that are kept free for the trainings of the queue.
        kept = {job.place for job in Jobs(root).all()}
        others = [run for run in found.others if str(run.path.absolute()) not in kept]
        if others:
            show_note(escape_markdown(tables.other_folders(others)))


def _show_runs(found: Listing, root: Path) -> None:
    before = st.session_state.get(run_table.CHOSEN)
    selected = _show_table(found)
    if st.session_state[run_table.CHOSEN] != before:
        # The browser draws at once what arrives together: first the table, which was clicked on.
        time.sleep(DRAWN_FIRST)
    with show_errors():
        if not selected:
            st.info("Tick a run to see it and to go on from it, or several to compare them.")
        elif len(selected) == 1:
            _show_run(selected[0].run, root)
        else:
            run_actions.show_for_several([one.run for one in selected], root)
            run_comparison.show([one.run for one in selected])


def _show_upload(root: Path) -> None:
    """Add a run that was downloaded as a zip; its model is only opened in Keras' safe mode."""
    file = st.file_uploader("Zip file of a run", type="zip", key="run_zip")
    added: dict[str, str] = st.session_state.setdefault("added", {})
    if file is not None and file.file_id in added:
        st.success(escape_markdown(f"Added as {added[file.file_id]}."))
    elif file is not None and st.button("Add run", key="add_run"):
        with st.spinner("unpacking"), ADDING:  # a second click runs the page in another thread
            if file.file_id not in added:
                added[file.file_id] = archive.unpack_run(file, root).name
        run_table.choose(added[file.file_id])
        run_actions.refresh()


def _show_table(found: Listing) -> list[NotedRun]:
    """Show the runs that match the filters, the newest first; those that are selected."""
    shown = _without_archived(found)
    notes = {run.name: own for run, own in shown}
    search, states, data, tags = _show_filters(shown)
    by, ranked, columns = _choose_columns([run for run, _ in shown])
    every = [NotedRun(one, notes[one.run.name]) for one in ranked]
    matching = run_table.filter_runs(every, search, states, tags, data)
    any_ranked = any(one.ranked.place for one in matching)
    matching.sort(key=lambda one: (-one.run.trained, one.run.name))
    if not matching:
        st.info("No run matches; change the search.")
        return []
    selected = run_table.select_rows(matching, columns)
    count = f"{len(matching):,} of {counted(len(found.runs), 'run[s]')}"
    ranked_by = f"; ranked by {column_title(by).lower()}" if any_ranked else ""
    few = sum(few_images(one.run, by) is not None for one in matching)
    order = ", ranked last" if few < len(matching) else ": their ranks may be chance"
    too_few = f"; {few} with too few images to tell{order}" if few else ""
    show_note(f"{count}, {len(selected)} selected{ranked_by}{too_few}")
    return selected


def _without_archived(found: Listing) -> list[tuple[RunState, Notes]]:
    """The runs that are listed, and a switch for the others where there are any."""
    hidden = sum(notes.archived for _, notes in found.runs)
    if hidden and kept_values.control(
        st.toggle, f"Show {counted(hidden, 'archived run[s]')}", "runs archived", False
    ):
        return found.runs
    return [(run, notes) for run, notes in found.runs if not notes.archived]


def _show_filters(
    shown: Sequence[tuple[RunState, Notes]],
) -> tuple[str, list[str], list[str], list[str]]:
    """What is searched for, and the states, data and tags that are listed; empty for any."""
    search, state, data, tag = st.columns([2, 1, 1, 1])
    with search:
        words = kept_values.control(
            st.text_input,
            "Search",
            "runs search",
            "",
            placeholder="a name, learning_rate=0.001, a tag",
            help="in names, settings, tags and notes; all words have to be there",
        )
    with state:
        states = sorted({state_word(run) for run, _ in shown})
        chosen_states = multiselect("State", "runs states", states)
    with data:
        names = sorted({tables.data_text(run) for run, _ in shown} - {""})
        chosen_data = multiselect("Data", "runs data", names)
    known = sorted({tag for _, notes in shown for tag in notes.tags})
    with tag:
        chosen_tags = multiselect("Tags", "runs tags", known) if known else []
    return words, chosen_states, chosen_data, chosen_tags


def _choose_columns(runs: Sequence[RunState]) -> tuple[str, list[Ranked], list[str]]:
    """The metric that is ranked by, the ranked runs, and the columns beside the name."""
    metrics = sorted({name for run in runs if run.is_usable for name in run.metrics})
    choices = columns_to_choose(runs)
    kept = kept_values.values()
    first = BY if BY in metrics or not metrics else metrics[0]
    by = kept[RANKED_BY] if kept.get(RANKED_BY) in metrics else first
    columns = [name for name in kept.get(COLUMNS, SHOWN) if name in choices]
    # The browser draws what is in it when it is opened, and by then knows only what was said last:
    # of a control that was drawn before, not the value that it began with.
    panel = st.popover("Columns and ranking", key="columns_and_ranking", on_change="rerun")
    if panel.open:
        with panel:
            if metrics:
                by = kept_values.control(
                    st.selectbox,
                    "Rank by",
                    RANKED_BY,
                    by,
                    options=metrics,
                    format_func=column_title,
                    help="within each data set: the lowest loss or time, the highest of others",
                )
            columns = multiselect(
                "Columns",
                COLUMNS,
                choices,
                columns,
                format_func=column_title,
                help="beside the name: any metric and any setting",
            )
    return by, rank(runs, by), columns


def _show_run(run: RunState, root: Path) -> None:
    if not run.path.is_dir():
        st.error(escape_markdown(f"{run.path} does not exist any more: it was deleted or moved."))
        run_list.forget()
        return
    # What can be done with a run depends on its state, which may be newer than the list.
    if cache_of(root).status(run.path, run.name).state != run.state:
        run_actions.refresh()
    st.subheader(escape_markdown(run.name))
    reason = f": {escape_markdown(run.reason)}" if run.reason else ""
    st.markdown(f"State: **{state_word(run)}**{reason}")
    run_actions.show_for_one(run, root)
    with show_errors():
        run_actions.edit_notes(run)
    with show_errors():
        run_metrics.show(live_run.view(run.path))
    with st.expander("Evaluations"), show_errors():
        evaluation.show(run.path)
    run_details.show(run)
