"""The page with all runs: found, compared, described, noted on, handed on and deleted."""

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
from vit_keras.studio.components.run_table import Found, chosen, rows
from vit_keras.studio.jobs import live_run

MANY = 100  # runs in the table
ADDING = threading.Lock()
ASKED = "to_delete"  # in the session: the run whose deletion was clicked once


def show(root: Path) -> None:
    """The whole page, below its title."""
    with st.expander("Add a run from elsewhere"), show_errors():
        _added(root)
    with show_errors():
        runs = run_table.every(str(root))
        if not runs:
            st.info("No run yet. Train one on the Training page.")
            return
        found = _table(runs)
        if not found:
            return
        one, two = st.tabs(["One run", "Compare two"], key="runs_tab", on_change="rerun")
        if one.open:
            with one, show_errors():
                _one(found, root)
        if two.open:
            with two, show_errors():
                _two(found, root)


def _added(root: Path) -> None:
    """A run as Download gives it; its model is opened like any other, in Keras' safe mode."""
    file = st.file_uploader("A zip of a run", type="zip", key="run_zip")
    added: dict[str, str] = st.session_state.setdefault("added", {})
    if file is not None and file.file_id in added:
        st.success(escape_markdown(f"Added as {added[file.file_id]}."))
    elif file is not None and st.button("Add it", key="add_run"):
        with st.spinner("unpacking"), ADDING:  # a second click draws the page beside this
            if file.file_id not in added:
                added[file.file_id] = archive.unpack_run(file, root).name
        st.query_params["run"] = added[file.file_id]
        _seen_anew()


def _table(runs: list[RunState]) -> list[Found]:
    """What is searched for, as a table; gives its runs, in order."""
    noted = {run.name: _notes(run) for run in runs}
    figures = sorted({name for run in runs if run.is_usable for name in run.metrics})
    left, middle, right = st.columns(3)
    search = left.text_input("Search", key="search", help="in names, settings, tags and notes")
    by = middle.selectbox(
        "Sort by",
        [*sorted(figures, key=lambda name: name != BY), "name"],
        format_func=lambda name: name.replace("_", " "),
        key="sort",
        help="the best first: of losses and times the least",
    )
    states = right.multiselect("State", sorted({run.state for run in runs}), key="states")
    known_tags = sorted({tag for notes in noted.values() for tag in notes.tags})
    tags = st.multiselect("Tags", known_tags, key="tags") if known_tags else []
    ranked = rank(runs, BY if by == "name" and BY in figures else by) if figures else rank(runs)
    if by == "name":
        ranked.sort(key=lambda one: one.run.name)
    found = chosen([(one, noted[one.run.name]) for one in ranked], search, states, tags)
    if not found:
        st.info("No run is like this; search for something else.")
        return []
    with st.container(key="table_of_runs"):  # for its style
        st.markdown(table(rows(found[:MANY], by if by in figures else BY)))
    if len(found) > MANY:
        st.write(f"{len(found) - MANY} more; search for what you look for.")
    return found


def _notes(run: RunState) -> Notes:
    """A run whose notes are damaged is in the table as well; its own panel says what is wrong."""
    try:
        return runs_notes.read_notes(run.path)
    except SettingError:
        return Notes()


def _one(found: list[Found], root: Path) -> None:
    known = {one.run.name: one.run for one, _ in found}
    wanted = st.query_params.get("run", "")
    names = list(known)
    name = st.selectbox(
        "Run", names, index=names.index(wanted) if wanted in known else 0, key=f"one {names}"
    )
    st.query_params["run"] = name
    run = known[name]
    if not run.path.is_dir():
        st.error(escape_markdown(f"{run.path} is gone; it was deleted or moved meanwhile."))
        run_table.every.clear()
        return
    st.markdown(f"State: **{escape_markdown(tables.state_text(run))}**")
    _buttons(run, root)
    with show_errors():
        _note(run)
    with show_errors():
        run_metrics.show(live_run.view(run.path))
    with st.expander("Evaluations"), show_errors():
        evaluation.show(run.path)
    run_details.show(run)


def _buttons(run: RunState, root: Path) -> None:
    whole = st.checkbox("with what it is resumed from", key="whole")
    with st.container(horizontal=True):
        if run.is_usable and (run.path / MODEL).is_file():
            address = f"inference?run={quote(run.name, safe='')}"
            st.link_button("Try it", address, help="on the Inference page")
        name = f"{run.path.name}.zip"
        with show_errors():
            archive.check_zip_size(run.path, whole)
            st.download_button(
                "Download as zip",
                lambda: archive.zip_bytes(run.path, whole),
                name,
                "application/zip",
            )
        if st.button("Delete", key="delete"):
            st.session_state[ASKED] = run.name
    if st.session_state.get(ASKED) == run.name:
        with show_errors():
            _delete(run, root)


def _delete(run: RunState, root: Path) -> None:
    """The second click, which says what would go."""
    (candidate,) = delete.candidates([run.name], root)
    tracked = "; git has files of it" if candidate.is_tracked else ""
    size = tables.format_size(candidate.bytes)
    st.warning(escape_markdown(f"{run.name}, {size}, is deleted for good{tracked}."))
    with st.container(horizontal=True):
        if st.button(
            f"Delete {escape_markdown(run.name)} for good", key="delete_for_good", type="primary"
        ):
            delete.delete(candidate.run)
            _seen_anew()
        if st.button("Keep it", key="keep"):
            _seen_anew()


def _seen_anew() -> None:
    st.session_state.pop(ASKED, None)
    run_table.every.clear()
    st.rerun()


def _note(run: RunState) -> None:
    notes = runs_notes.read_notes(run.path)
    with st.expander("Tags and note", expanded=bool(notes.tags or notes.note)):
        with st.form(f"notes {run.name} {notes}", border=False):
            typed = st.text_input("Tags, with commas between them", ", ".join(notes.tags))
            note = st.text_area("Note", notes.note)
            if not st.form_submit_button("Keep"):
                return
        runs_notes.write_notes(run.path, Notes(runs_notes.parse_tags(typed), note.strip()))
        st.rerun()


def _two(found: list[Found], root: Path) -> None:
    names = [one.run.name for one, _ in found]
    left, right = st.columns(2)
    first = left.selectbox("First", names, key=f"first {names}")
    second = right.selectbox("Second", names, index=min(1, len(names) - 1), key=f"second {names}")
    if first == second:
        st.info("Choose two runs.")
        return
    with tempfile.TemporaryDirectory() as folder:  # other tabs may compare others
        compared = compare.compare(first, second, root, Path(folder, "curves.png"))
        if compared.picture:
            display.show_picture(compared.picture.read_bytes(), f"curves of {first} and {second}")
    for title, differences, text in (
        ("Settings that differ", compared.settings, tables.format_setting),
        ("Environment that differs", compared.environment, tables.format_hash),
        ("Figures", compared.metrics, tables.format_metric),
    ):
        st.markdown(f"**{title}**")
        lines = [(d.name, text(d.first), text(d.second)) for d in differences]
        st.markdown(table([("", first, second), *lines]) if lines else "none")
