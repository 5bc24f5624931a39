"""What can be done with a run: try it, resume it, train it again, tag, rename, archive, delete."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from vit_keras.runs import archive, delete, rename, tables
from vit_keras.runs import notes as runs_notes
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.status import RunState
from vit_keras.studio.components import (
    kept_values,
    navigation,
    run_list,
    run_table,
    training_choice,
)
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note
from vit_keras.studio.jobs import rerun, runner
from vit_keras.studio.jobs.queue import Jobs
from vit_keras.text import counted

TO_DELETE = "to_delete"  # session key: the runs whose Delete was clicked once
RENAMING = "to_rename"  # session key: the run whose Rename was clicked
DELETED = "deleted"  # session key: what was deleted, until the page has said so


def show_for_one(run: RunState, root: Path) -> None:
    """The buttons of one run: to go on from it, and to keep, pass on or delete it."""
    jobs = Jobs(root)
    with st.container(horizontal=True), show_errors():
        _show_ways_on(run, jobs)
    with st.container(horizontal=True, vertical_alignment="center"), show_errors():
        archived = runs_notes.notes_or_empty(run.path).archived
        if st.button(
            "Unarchive" if archived else "Archive",
            key="archive",
            help="archived runs are not listed; nothing else changes",
        ):
            _set_archived([run], not archived)
        if st.button("Rename", key="rename"):
            st.session_state[RENAMING] = run.name
        if st.button("Delete", key="delete"):
            st.session_state[TO_DELETE] = [run.name]
        _show_download(run)
    with show_errors():
        if st.session_state.get(RENAMING) == run.name:
            _edit_name(run, jobs)
        if st.session_state.get(TO_DELETE) == [run.name]:
            _confirm_delete([run], root)


def _show_ways_on(run: RunState, jobs: Jobs) -> None:
    if run.is_usable and (run.path / MODEL).is_file():
        if st.button("Try it", key="try", type="primary", help="predict your own images"):
            navigation.open_page("inference", run=run.name)
        if st.button("Evaluate", key="evaluate", help="accuracy, confusion matrix, calibration"):
            st.session_state["inference_tab"] = "Evaluate"
            navigation.open_page("inference", run=run.name)
    if run.state == "running":
        job = rerun.job_of(jobs, run.path)
        if job is not None and st.button("Follow the training", key="follow", type="primary"):
            st.session_state[training_choice.TO_OPEN] = training_choice.FOLLOW
            navigation.open_page("training", job=job.id)
        if job is None and st.button("Refresh", key="refresh"):
            refresh()
    if rerun.is_resumable(run) and st.button(
        "Resume", key="resume", help="continue from the last checkpoint, as if never stopped"
    ):
        job = rerun.resume(jobs, run)
        runner.ensure(jobs)
        st.session_state[training_choice.TO_OPEN] = training_choice.FOLLOW
        navigation.open_page("training", job=job.id)
    if run.config is not None and st.button(
        "Train again with changes",
        key="again",
        help="put the settings of this run into the form of a new training",
    ):
        training_choice.begin_with(rerun.overrides_of(run), run.name)


def _show_download(run: RunState) -> None:
    with_checkpoint = st.checkbox("Include checkpoints", key="checkpoint", help="to resume the run")
    with show_errors():
        archive.check_zip_size(run.path, with_checkpoint)
        st.download_button(
            "Download as zip",
            lambda: archive.zip_bytes(run.path, with_checkpoint),
            f"{run.path.name}.zip",
            "application/zip",
        )


def _edit_name(run: RunState, jobs: Jobs) -> None:
    with st.form(f"rename {run.name}"):
        name = st.text_input("New name", run.path.name)
        with st.container(horizontal=True):
            is_sent = st.form_submit_button("Rename it", type="primary")
            is_cancelled = st.form_submit_button("Cancel")
    if is_cancelled:
        refresh()
    if is_sent:
        target = rename.rename(run.path, name)
        rerun.move_jobs(jobs, run.path, target)
        run_table.choose(target.relative_to(jobs.root).as_posix())
        refresh()


def show_for_several(runs: Sequence[RunState], root: Path) -> None:
    """Tag, archive or delete all of the selected runs."""
    st.subheader(f"{len(runs)} runs")
    with st.container(horizontal=True, vertical_alignment="bottom"), show_errors():
        typed = st.text_input("Tags", key="bulk_tags", placeholder="good, small", width=220)
        if st.button("Add tags", key="add_tags", disabled=not typed.strip()):
            tags = runs_notes.parse_tags(typed)
            _change(runs, lambda old: replace(old, tags=tuple(sorted({*old.tags, *tags}))))
        if st.button("Remove tags", key="remove_tags", disabled=not typed.strip()):
            tags = runs_notes.parse_tags(typed)
            _change(
                runs, lambda old: replace(old, tags=tuple(t for t in old.tags if t not in tags))
            )
        archived = [runs_notes.notes_or_empty(run.path).archived for run in runs]
        if st.button("Unarchive" if all(archived) else "Archive", key="archive"):
            _set_archived(runs, not all(archived))
        if st.button("Delete", key="delete"):
            st.session_state[TO_DELETE] = [run.name for run in runs]
    if st.session_state.get(TO_DELETE) == [run.name for run in runs]:
        with show_errors():
            _confirm_delete(runs, root)


def _set_archived(runs: Sequence[RunState], archived: bool) -> None:
    if archived:
        run_table.choose()
    _change(runs, lambda old: replace(old, archived=archived))


def _change(runs: Sequence[RunState], change: Callable[[Notes], Notes]) -> None:
    for run in runs:
        runs_notes.write_notes(run.path, change(runs_notes.read_notes(run.path)))
    refresh()


def _confirm_delete(runs: Sequence[RunState], root: Path) -> None:
    """Ask for a second click on Delete, with what would be lost."""
    jobs, found = Jobs(root), delete.candidates([run.name for run in runs], root)
    for one in found:
        rerun.check_not_queued(jobs, one.run.path)
    size = tables.format_size(sum(one.bytes for one in found))
    tracked = "; some files are tracked by git" if any(one.is_tracked for one in found) else ""
    names = runs[0].name if len(runs) == 1 else counted(len(runs), "run[s]")
    st.warning(escape_markdown(f"{names}, {size}, will be deleted permanently{tracked}."))
    with st.container(horizontal=True):
        label = f"Delete {escape_markdown(names)} permanently"
        if st.button(label, key="delete_permanently", type="primary"):
            for one in found:
                delete.delete(one.run)
                rerun.forget(jobs, one.run.path)
            st.session_state[DELETED] = f"Deleted {names} ({size})."
            run_table.choose()
            st.query_params.pop("run", None)  # a link to what is gone
            refresh()
        if st.button("Cancel", key="cancel_delete"):
            refresh()


def show_deleted() -> None:
    """Say once what was deleted."""
    if said := st.session_state.pop(DELETED, ""):
        st.success(escape_markdown(said))


def refresh() -> None:
    """Draw the page again with a new list of runs."""
    for key in (TO_DELETE, RENAMING):
        st.session_state.pop(key, None)
    run_list.forget()
    st.rerun()


def edit_notes(run: RunState) -> None:
    """Tags and a note; what is not saved is still there when the run is selected again."""
    notes = runs_notes.read_notes(run.path)
    saved = ", ".join(notes.tags), notes.note
    slots = f"tags of {run.path}", f"note of {run.path}"
    with st.expander("Tags and note", expanded=bool(notes.tags or notes.note)):
        typed = kept_values.control(st.text_input, "Tags, separated by commas", slots[0], saved[0])
        note = kept_values.control(st.text_area, "Note", slots[1], saved[1])
        is_changed = (typed, note) != saved
        if is_changed:
            show_note("not saved yet")
        if not st.button("Save", key="save_notes", disabled=not is_changed):
            return
        tags = runs_notes.parse_tags(typed)
        runs_notes.write_notes(run.path, replace(notes, tags=tags, note=note.strip()))
        kept_values.drop(lambda slot: slot in slots)
        refresh()
