"""List the trainings, and follow the selected one live."""

import time
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.runs import history
from vit_keras.runs.run_dir import FOLDS
from vit_keras.studio.components import job_notice, job_summary, run_metrics, sweep_results
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note
from vit_keras.studio.components.run_table import FOLLOWED
from vit_keras.studio.components.training_choice import FOLLOW
from vit_keras.studio.jobs import live_run, runner
from vit_keras.studio.jobs.queue import RUNNING, STOPPED, WAITING, Job, Jobs
from vit_keras.text import format_duration

REFRESH_SECONDS = 1.0  # while a job is running or waiting
EVALUATING = "evaluating the best model on the test split"
STOPPING = "is_stopping"  # session key: the job whose Stop was clicked
KILLING = "to_kill"  # session key: the job whose "Stop at once" was clicked once


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
        job_notice.look_at(job if st.session_state.get("tab") == FOLLOW else None)
        is_newest = not any(other.place == job.place and other.id > job.id for other in found)
        if not is_newest:
            st.info("This training was resumed; see its newest entry in the list.")
            _show_remove_button(jobs, job)
            return
        with st.container():
            _show_state(jobs, job, found)
        _show_buttons(jobs, job)
        with st.container(), show_errors():
            job_summary.show(jobs, job)
        with st.container():
            _show_runs(jobs, job)
        with st.container(), show_errors():
            job_summary.show_settings(jobs, job)
        _show_log(jobs, job)
        if place := _place(job.is_over):
            with place:
                _show_remove_button(jobs, job)


def _place(is_used: bool) -> Any:
    """A container for a button of some states; None, and nothing to see there, in the others.

    Each button has a place of its own, as Streamlit keeps one that another replaces in view until
    the whole page is drawn. An element in the place of its container removes it at once.
    """
    if is_used:
        return st.container(width="content")
    st.empty()
    return None


def _show_log(jobs: Jobs, job: Job) -> None:
    """The end of what a job has printed, followed while it grows."""
    text = live_run.tail(jobs.output(job))
    with (
        st.expander("Log"),
        st.container(height=300, border=False, autoscroll=True, key="log"),
    ):
        st.code(text or "no output yet", language=None, wrap_lines=True)


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
    is_finishing = live_run.is_finishing(job)
    st.markdown(f"State: **{'finishing' if is_finishing else job.state}**")
    if is_finishing:
        show_note("The result is written, and its process is about to end.")
    elif job.state == WAITING:
        before = sum(other.id < job.id and not other.is_over for other in found)
        st.info(f"Trainings before this one: {before}." if before else "About to start.")
        jobs.check_writable()
    elif job.state == RUNNING and not job.is_alive():
        st.warning("Its process has just ended.")
        jobs.check_writable()
    elif job.state == RUNNING and st.session_state.get(STOPPING) != job.id:
        show_note("It continues when this page is closed; the tab's title says when it is over.")
    elif job.state == RUNNING:
        st.info(
            "Stopping after this batch, with a checkpoint; a compilation or an evaluation is "
            "finished first."
        )
    elif job.state not in (RUNNING, "finished"):
        (st.warning if job.state == STOPPED else st.error)(
            escape_markdown(live_run.failure_message(jobs, job))
        )
    if not Path(job.place).is_dir():
        st.info(
            escape_markdown(
                f"The folder of the run, {job.place}, does not exist any more: it was deleted or "
                "moved. Remove this training from the list."
            )
        )


def _show_buttons(jobs: Jobs, job: Job) -> None:
    is_ending = job.is_over or live_run.is_finishing(job)
    is_running = job.state == RUNNING and not is_ending
    with st.container(horizontal=True):
        if place := _place(_can_go_on(job)):
            label = "Resume" if job.has_begun else "Start it"
            if place.button(label, key="resume"):
                _run_action(jobs, jobs.resume, job)
        if place := _place(not is_ending):
            help = "after this batch; Resume goes on from that step"
            if place.button("Stop", key="stop", help=help if is_running else "before it begins"):
                st.session_state[STOPPING] = job.id
                _run_action(jobs, jobs.stop, job)
        if place := _place(is_running):
            help = "without waiting for the batch; the steps since the last checkpoint are lost"
            if place.button("Stop at once", key="kill", help=help):
                st.session_state[KILLING] = job.id
    if place := _place(is_running and st.session_state.get(KILLING) == job.id):
        with place:
            _confirm_kill(jobs, job)


def _can_go_on(job: Job) -> bool:
    """Whether a job did not come to its end, and can be continued, or begun where it was not."""
    if not job.is_over or job.state == "finished":
        return False
    return not job.has_begun or (not job.swept and Path(job.place).is_dir())


def _show_remove_button(jobs: Jobs, job: Job) -> None:
    place = Path(job.place)
    is_empty = place.is_dir() and not any(place.iterdir())
    help = "with its folder, which is empty" if is_empty else "the run itself is kept"
    if st.button("Remove from the list", key="remove", help=help):
        _run_action(jobs, jobs.remove, job)


def _confirm_kill(jobs: Jobs, job: Job) -> None:
    """Ask for a second click on "Stop at once", with what would be lost."""
    st.warning("The steps since the last checkpoint would be lost; Stop keeps them.")
    with st.container(horizontal=True):
        if st.button("Stop it at once", key="kill_now", type="primary"):
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


def _show_runs(jobs: Jobs, job: Job) -> None:
    paths = live_run.runs_of(job)
    views = [live_run.view(path) for path in paths if path.is_dir()]
    first = len(views) - 1  # the newest
    if job.swept:
        results = sweep_results.results_of(job, views)
        sweep_results.show(job, results)
        if job.is_over and views:
            first = views.index(results[0].view)  # the best
    if not views:
        return
    selected = views[first]
    if len(views) > 1:
        number = st.selectbox(
            "Run of the sweep" if job.swept else "Fold, or their ensemble",
            range(len(views)),
            index=first,
            format_func=lambda index: _run_name(views[index].path),
            key=f"run {job.id} {len(views)} {job.is_over}",
        )
        selected = views[number]
    st.session_state[FOLLOWED] = str(selected.path)  # where the Inference page opens
    if job.state == RUNNING and not selected.metrics:
        text = _progress_text(job, selected)
        done = 1.0 if text == EVALUATING else selected.fraction_done
        passed = format_duration(time.time() - job.started) if job.started else ""
        st.progress(done, f"{text}; {passed} so far" if passed else text)
    if job.is_over:
        job_summary.show_ways_on(jobs, job, selected.path)
    run_metrics.show(selected)


def _run_name(path: Path) -> str:
    return f"fold {path.name}" if path.parent.name == FOLDS else path.name


def _progress_text(job: Job, view: live_run.RunView) -> str:
    """What a training does: its epoch and step, or what comes before and after them."""
    if not view.progress:
        if st.session_state.get(STOPPING) == job.id:
            return "stopping, and writing a checkpoint"
        if _has_ended_an_epoch(job, view.path):
            return EVALUATING
        return "reading the data and building the model"
    text = "epoch {epoch} of {epochs}, step {step} of {steps}".format_map(view.progress)
    if view.progress.get("stages"):
        stage = "stage {number} of {stages} ({stage})".format_map(view.progress)
        text = f"{escape_markdown(stage)}: {text}"
    if view.progress.get("compiling"):
        text += ": compiling the first step takes a while"
    if left := view.progress.get("seconds_left"):
        is_last = view.progress.get("number") == view.progress.get("stages")
        text += f", about {format_duration(left)} left" + ("" if is_last else " of this stage")
    return text


def _has_ended_an_epoch(job: Job, run: Path) -> bool:
    """Whether the process of a job, and not one that it was resumed from, has ended an epoch."""
    try:
        return (run / history.FILE).stat().st_mtime > (job.started or 0)
    except OSError:
        return False
