"""The Runs page: search, compare, describe, annotate, download and delete runs."""

import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.runs import archive, compare, delete, tables
from vit_keras.runs import notes as runs_notes
from vit_keras.runs.listing import BY, rank
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.status import RunState
from vit_keras.studio.components import display, evaluation, run_details, run_metrics, run_table
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.components.run_table import NotedRun, filter_runs, table_rows
from vit_keras.studio.jobs import live_run

MAX_ROWS = 100  # runs in the table
ADDING = threading.Lock()
TO_DELETE = "to_delete"  # session key: the run whose Delete was clicked once


def show(root: Path) -> None:
    """Show the page below its title."""
    with st.expander("Add a run from a zip file"), show_errors():
        _show_upload(root)
    with show_errors():
        runs = run_table.list_all_runs(str(root))
        if not runs:
            st.info("No run yet. Train one on the Training page.")
            return
        found = _show_table(runs)
        if not found:
            return
        one, two = st.tabs(["One run", "Compare two"], key="runs_tab", on_change="rerun")
        if one.open:
            with one, show_errors():
                _show_run(found, root)
        if two.open:
            with two, show_errors():
                _show_comparison(found, root)


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
        st.query_params["run"] = added[file.file_id]
        _refresh()


def _show_table(runs: list[RunState]) -> list[NotedRun]:
    """Show the runs that match the search as a table, and return them in its order."""
    noted = {run.name: _read_notes(run) for run in runs}
    metrics = sorted({name for run in runs if run.is_usable for name in run.metrics})
    left, middle, right = st.columns(3)
    search = left.text_input("Search", key="search", help="in names, settings, tags and notes")
    by = middle.selectbox(
        "Sort by",
        [*sorted(metrics, key=lambda name: name != BY), "name"],
        format_func=lambda name: name.replace("_", " "),
        key="sort",
        help="the best of each data set first: the lowest loss or time, the highest of others",
    )
    states = right.multiselect("State", sorted({run.state for run in runs}), key="states")
    known_tags = sorted({tag for notes in noted.values() for tag in notes.tags})
    tags = st.multiselect("Tags", known_tags, key="tags") if known_tags else []
    ranked = rank(runs, BY if by == "name" and BY in metrics else by) if metrics else rank(runs)
    if by == "name":
        ranked.sort(key=lambda entry: entry.run.name)
    noted_runs = [(entry, noted[entry.run.name]) for entry in ranked]
    found = filter_runs(noted_runs, search, states, tags)
    if not found:
        st.info("No run matches; change the search.")
        return []
    with st.container(key="table_of_runs"):  # named in the style sheet of the app
        st.markdown(table(table_rows(found[:MAX_ROWS], by if by in metrics else BY)))
    if len(found) > MAX_ROWS:
        st.write(f"{len(found) - MAX_ROWS} more; narrow the search.")
    return found


def _read_notes(run: RunState) -> Notes:
    """Notes of a run; empty if damaged, which the details of the run report."""
    try:
        return runs_notes.read_notes(run.path)
    except SettingError:
        return Notes()


def _show_run(found: list[NotedRun], root: Path) -> None:
    known = {entry.run.name: entry.run for entry, _ in found}
    requested = st.query_params.get("run", "")
    names = list(known)
    index = names.index(requested) if requested in known else 0
    name = st.selectbox("Run", names, index=index, key=f"one {names}")
    st.query_params["run"] = name
    run = known[name]
    if not run.path.is_dir():
        st.error(escape_markdown(f"{run.path} does not exist any more: it was deleted or moved."))
        run_table.list_all_runs.clear()
        return
    st.markdown(f"State: **{escape_markdown(tables.state_text(run))}**")
    _show_buttons(run, root)
    with show_errors():
        _edit_notes(run)
    with show_errors():
        run_metrics.show(live_run.view(run.path))
    with st.expander("Evaluations"), show_errors():
        evaluation.show(run.path)
    run_details.show(run)


def _show_buttons(run: RunState, root: Path) -> None:
    with_checkpoint = st.checkbox("Download with the checkpoint to resume from", key="checkpoint")
    with st.container(horizontal=True):
        if run.is_usable and (run.path / MODEL).is_file():
            address = f"inference?run={quote(run.name, safe='')}"
            st.link_button("Predict", address, help="on the Inference page")
        name = f"{run.path.name}.zip"
        with show_errors():
            archive.check_zip_size(run.path, with_checkpoint)
            st.download_button(
                "Download as zip",
                lambda: archive.zip_bytes(run.path, with_checkpoint),
                name,
                "application/zip",
            )
        if st.button("Delete", key="delete"):
            st.session_state[TO_DELETE] = run.name
    if st.session_state.get(TO_DELETE) == run.name:
        with show_errors():
            _confirm_delete(run, root)


def _confirm_delete(run: RunState, root: Path) -> None:
    """Ask for a second click on Delete, with what would be lost."""
    (candidate,) = delete.candidates([run.name], root)
    tracked = "; some of its files are tracked by git" if candidate.is_tracked else ""
    size = tables.format_size(candidate.bytes)
    st.warning(escape_markdown(f"{run.name}, {size}, will be deleted permanently{tracked}."))
    with st.container(horizontal=True):
        label = f"Delete {escape_markdown(run.name)} permanently"
        if st.button(label, key="delete_permanently", type="primary"):
            delete.delete(candidate.run)
            _refresh()
        if st.button("Cancel", key="cancel_delete"):
            _refresh()


def _refresh() -> None:
    """Draw the page again with a new list of runs."""
    st.session_state.pop(TO_DELETE, None)
    run_table.list_all_runs.clear()
    st.rerun()


def _edit_notes(run: RunState) -> None:
    notes = runs_notes.read_notes(run.path)
    with st.expander("Tags and note", expanded=bool(notes.tags or notes.note)):
        with st.form(f"notes {run.name} {notes}", border=False):
            typed = st.text_input("Tags, separated by commas", ", ".join(notes.tags))
            note = st.text_area("Note", notes.note)
            if not st.form_submit_button("Save"):
                return
        runs_notes.write_notes(run.path, Notes(runs_notes.parse_tags(typed), note.strip()))
        st.rerun()


def _show_comparison(found: list[NotedRun], root: Path) -> None:
    names = [entry.run.name for entry, _ in found]
    left, right = st.columns(2)
    first = left.selectbox("First", names, key=f"first {names}")
    second = right.selectbox("Second", names, index=min(1, len(names) - 1), key=f"second {names}")
    if first == second:
        st.info("Choose two runs.")
        return
    with tempfile.TemporaryDirectory() as folder:  # of its own: other tabs may compare as well
        compared = compare.compare(first, second, root, Path(folder, "curves.png"))
        if compared.picture:
            display.show_image(compared.picture.read_bytes(), f"Curves of {first} and {second}")
    for title, differences, text in (
        ("Settings that differ", compared.settings, tables.format_setting),
        ("Environment that differs", compared.environment, tables.format_hash),
        ("Metrics", compared.metrics, tables.format_metric),
    ):
        st.markdown(f"**{title}**")
        rows = [(d.name, text(d.first), text(d.second)) for d in differences]
        st.markdown(table([("", first, second), *rows]) if rows else "none")
