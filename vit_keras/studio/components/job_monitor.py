"""List the trainings, and follow the selected one live."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.runs import run_end, tables
from vit_keras.runs.history import ACCURACY, VAL_MAP
from vit_keras.runs.run_dir import FOLDS
from vit_keras.studio.components import run_metrics
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.components.run_table import FOLLOWED
from vit_keras.studio.jobs import live_run, runner
from vit_keras.studio.jobs.queue import RUNNING, WAITING, Job, Jobs
from vit_keras.text import format_duration

REFRESH_SECONDS = 1.0  # while a job is running or waiting
STOPPING = "is_stopping"  # session key: the job whose Stop was clicked
KILLING = "to_kill"  # session key: the job whose Kill was clicked once


def is_active(jobs: Jobs) -> bool:
    """Whether any job is running or waiting."""
    return any(not job.is_over for job in jobs.all())


def show(jobs: Jobs) -> None:
    """Show the list of jobs and the selected one, refreshed until all jobs are over."""
    if not jobs.all():
        st.write("No training yet. Start one under New training, and follow it here.")
        return
    active = is_active(jobs)
    st.fragment(_show_jobs, run_every=REFRESH_SECONDS if active else None)(jobs, active)


def _show_jobs(jobs: Jobs, was_active: bool) -> None:
    with show_errors():
        found = jobs.all()
        active = any(not job.is_over for job in found)
        if active:
            runner.ensure(jobs)  # it may have been killed, or the machine restarted
        if active != was_active or not found:
            st.rerun()  # to start or to stop the refreshing
        job = _select_job(found)
        st.query_params["job"] = job.id  # shown again when the page is reloaded
        is_newest = not any(other.place == job.place and other.id > job.id for other in found)
        if not is_newest:
            st.info("This training was resumed; see its newest entry in the list.")
            _show_remove_button(jobs, job)
            return
        _show_state(jobs, job, found)
        _show_buttons(jobs, job)
        _show_runs(job)
        with st.expander("Log"):
            text = live_run.tail(jobs.output(job))
            st.code(text or "no output yet", language=None, wrap_lines=True, height=300)


def _select_job(found: list[Job]) -> Job:
    known = {job.id: job for job in found}
    states = " ".join(job.state for job in found)
    requested = st.query_params.get("job", "")
    ids = list(known)
    selected = st.selectbox(
        "Trainings",
        ids,
        index=ids.index(requested) if requested in known else 0,
        format_func=lambda name: f"{known[name].name}: {known[name].state}",
        # With the states: a browser keeps showing the old ones in a control with the same key.
        key=f"job {requested} {states}",
        help="the newest first; one runs at a time, the others wait",
    )
    return known[selected]


def _show_state(jobs: Jobs, job: Job, found: list[Job]) -> None:
    """The state of a job; if it failed, the reason and what to do."""
    st.markdown(f"State: **{job.state}**")
    if job.state == WAITING:
        before = sum(other.id < job.id and not other.is_over for other in found)
        st.info(f"Trainings before this one: {before}." if before else "About to start.")
        jobs.check_writable()
    elif job.state == RUNNING and not job.is_alive():
        st.warning("Its process has just ended.")
        jobs.check_writable()
    elif job.state == RUNNING and st.session_state.get(STOPPING) == job.id:
        st.info(
            "Stopping after this batch, with a checkpoint; a compilation or an evaluation is "
            "finished first."
        )
    elif job.state not in (RUNNING, "finished"):
        (st.warning if job.state == "stopped" else st.error)(
            escape_markdown(live_run.failure_message(jobs, job))
        )
    if not Path(job.place).is_dir():
        st.error(escape_markdown(f"The folder of the run, {job.place}, does not exist any more."))


def _show_buttons(jobs: Jobs, job: Job) -> None:
    with st.container(horizontal=True):
        if job.is_over:
            if job.state != "finished" and not job.swept and st.button("Resume", key="resume"):
                _run_action(jobs, jobs.resume, job)
            _show_remove_button(jobs, job)
            return
        if st.button("Stop", key="stop", help="after this batch; Resume goes on from that step"):
            st.session_state[STOPPING] = job.id
            _run_action(jobs, jobs.stop, job)
        if job.state == RUNNING and st.button(
            "Kill", key="kill", help="at once; the steps since the last checkpoint are lost"
        ):
            st.session_state[KILLING] = job.id
    if job.state == RUNNING and st.session_state.get(KILLING) == job.id:
        _confirm_kill(jobs, job)


def _show_remove_button(jobs: Jobs, job: Job) -> None:
    if st.button("Remove from the list", key="remove", help="the run itself is kept"):
        _run_action(jobs, jobs.remove, job)


def _confirm_kill(jobs: Jobs, job: Job) -> None:
    """Ask for a second click on Kill, with what would be lost."""
    st.warning("The steps since the last checkpoint would be lost; Stop keeps them.")
    with st.container(horizontal=True):
        if st.button("Kill it now", key="kill_now", type="primary"):
            del st.session_state[KILLING]
            _run_action(jobs, jobs.kill, job)
        elif st.button("Cancel", key="cancel_kill"):
            del st.session_state[KILLING]
            st.rerun()


def _run_action(jobs: Jobs, action: Any, job: Job) -> None:
    try:
        new_job = action(job)
    except SettingError as error:
        st.error(escape_markdown(error))
        return
    runner.ensure(jobs)
    if isinstance(new_job, Job):
        st.query_params["job"] = new_job.id
    st.rerun()


def _show_runs(job: Job) -> None:
    paths = live_run.runs_of(job)
    views = [live_run.view(path) for path in paths if path.is_dir()]
    if job.swept:
        _show_sweep_table(job, views)
    if not views:
        return
    selected = views[-1]
    if len(views) > 1:
        number = st.selectbox(
            "Run of the sweep" if job.swept else "Fold, or their ensemble",
            range(len(views)),
            index=len(views) - 1,
            format_func=lambda index: _run_name(views[index].path),
            key=f"run {job.id} {len(views)}",
        )
        selected = views[number]
    st.session_state[FOLLOWED] = str(selected.path)  # where the Inference page opens
    progress = selected.progress if job.state == RUNNING else {}
    if progress:
        st.progress(selected.fraction_done, _progress_text(progress))
    elif job.state == RUNNING and not selected.metrics:
        st.progress(selected.fraction_done, "reading the data and building the model")
    run_metrics.show(selected)


def _run_name(path: Path) -> str:
    return f"fold {path.name}" if path.parent.name == FOLDS else path.name


def _progress_text(progress: dict[str, Any]) -> str:
    text = "epoch {epoch} of {epochs}, step {step} of {steps}".format_map(progress)
    if not progress["step"]:
        text += ": compiling the first step takes a while"
    if left := progress.get("seconds_left"):
        text += f", about {format_duration(left)} left"
    return text


def _show_sweep_table(job: Job, views: list[live_run.RunView]) -> None:
    """The runs of a sweep: swept settings, epochs so far, accuracies, and how each ended."""
    rows: list[list[str]] = []
    for view in views:
        settings = live_run.settings_of(view.path, job.swept)
        name = VAL_MAP if view.rows and VAL_MAP in view.rows[0] else ACCURACY
        best = max((row[name] for row in view.rows), default=None)
        test = view.metrics.get(name.replace("val", "test"))
        found = {"validation": best, "test": test}
        accuracies = [
            tables.accuracy_text(value, view.images.get(split)) for split, value in found.items()
        ]
        ended = view.end.cause if view.end and view.end.reason != run_end.FINISHED else ""
        rows.append([view.path.name, *settings, str(len(view.rows)), *accuracies, ended])
    head = ["run", *job.swept, "epochs", "best validation", "test", "ended"]
    st.markdown(table([head, *rows]))
