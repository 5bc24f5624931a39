"""The trainings that there are, and the one that is looked at, live."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.studio.components import run_metrics
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs import live_run, runner
from vit_keras.studio.jobs.queue import RUNNING, WAITING, Job, Jobs
from vit_keras.text import format_duration

EVERY = 1.0  # seconds between two looks while something runs
STOPPING = "is_stopping"  # in the session: the job that was told to stop
KILLING = "to_kill"  # in the session: the job whose Kill was clicked once


def is_active(jobs: Jobs) -> bool:
    """Whether anything runs or waits."""
    return any(not job.is_over for job in jobs.all())


def show(jobs: Jobs) -> None:
    """The list of jobs and the chosen one; renewed by itself while one of them is not over."""
    found = jobs.all()
    if not found:
        st.write("No training yet. Put one together under New training, and follow it here.")
        return
    active = is_active(jobs)
    st.fragment(_panel, run_every=EVERY if active else None)(jobs, active)


def _panel(jobs: Jobs, was_active: bool) -> None:
    with show_errors():
        found = jobs.all()
        active = any(not job.is_over for job in found)
        if active:
            runner.ensure(jobs)  # it may have been killed, or the machine restarted
        if active != was_active or not found:
            st.rerun()  # to look no more, or again
        job = _picked(found)
        st.query_params["job"] = job.id  # a page that is loaded again shows the same one
        is_newest = not any(other.place == job.place and other.id > job.id for other in found)
        if not is_newest:
            st.info("It was gone on with: its newest entry in the list says what became of it.")
            _forget(jobs, job)
            return
        _state(jobs, job, found)
        _buttons(jobs, job)
        _runs(job)
        with st.expander("Log"):
            text = live_run.tail(jobs.output(job))
            st.code(text or "nothing yet", language=None, wrap_lines=True, height=300)


def _picked(found: list[Job]) -> Job:
    known = {job.id: job for job in found}
    states = " ".join(job.state for job in found)
    wanted = st.query_params.get("job", "")
    ids = list(known)
    picked = st.selectbox(
        "Trainings",
        ids,
        index=ids.index(wanted) if wanted in known else 0,
        format_func=lambda name: f"{known[name].name}: {known[name].state}",
        key=f"job {wanted} {states}",  # another control, or a browser goes on showing the old state
        help="the newest first; one runs at a time, the others wait",
    )
    return known[picked]


def _state(jobs: Jobs, job: Job, found: list[Job]) -> None:
    """What is going on; of one that went wrong, why, and what to do."""
    st.markdown(f"State: **{job.state}**")
    if job.state == WAITING:
        before = sum(other.id < job.id and not other.is_over for other in found)
        st.info(f"Waiting for {before} before it." if before else "About to start.")
        jobs.check_writable()
    elif job.state == RUNNING and not job.is_alive():
        st.warning("Its process has just ended.")
        jobs.check_writable()
    elif job.state == RUNNING and st.session_state.get(STOPPING) == job.id:
        st.info("Stopping with the batch; one that is compiled, or being evaluated, takes longer.")
    elif job.state not in (RUNNING, "finished"):
        (st.warning if job.state == "stopped" else st.error)(
            escape_markdown(live_run.failure_message(jobs, job))
        )
    if not Path(job.place).is_dir():
        st.error(
            escape_markdown(f"The run's folder {job.place} is gone; what it held cannot be shown.")
        )


def _buttons(jobs: Jobs, job: Job) -> None:
    with st.container(horizontal=True):
        if job.is_over:
            if job.state != "finished" and not job.swept and st.button("Resume", key="resume"):
                _act(jobs, jobs.resume, job)
            _forget(jobs, job)
            return
        if st.button("Stop", key="stop", help="with the batch; Resume goes on where it was"):
            st.session_state[STOPPING] = job.id
            _act(jobs, jobs.stop, job)
        if job.state == RUNNING and st.button(
            "Kill", key="kill", help="at once; what the last whole epoch left stays"
        ):
            st.session_state[KILLING] = job.id
    if job.state == RUNNING and st.session_state.get(KILLING) == job.id:
        _kill(jobs, job)


def _forget(jobs: Jobs, job: Job) -> None:
    if st.button("Take off the list", key="forget", help="the run itself stays"):
        _act(jobs, jobs.forget, job)


def _kill(jobs: Jobs, job: Job) -> None:
    """The second click, which says what would be lost."""
    st.warning("The epoch in progress would be lost; Stop keeps it.")
    with st.container(horizontal=True):
        if st.button("Kill it now", key="kill_now", type="primary"):
            del st.session_state[KILLING]
            _act(jobs, jobs.kill, job)
        elif st.button("Let it run", key="let_run"):
            del st.session_state[KILLING]
            st.rerun()


def _act(jobs: Jobs, action: Any, job: Job) -> None:
    try:
        begun = action(job)
    except SettingError as error:
        st.error(escape_markdown(error))
        return
    runner.ensure(jobs)
    if isinstance(begun, Job):
        st.query_params["job"] = begun.id
    st.rerun()


def _runs(job: Job) -> None:
    paths = live_run.runs_of(job)
    views = [live_run.view(path) for path in paths if path.is_dir()]
    if job.swept:
        _table(job, views)
    if not views:
        return
    shown = views[-1]
    if len(views) > 1:
        number = st.selectbox(
            "Run of the sweep",
            range(len(views)),
            index=len(views) - 1,
            format_func=lambda index: views[index].path.name,
            key=f"run {job.id} {len(views)}",
        )
        shown = views[number]
    progress = shown.progress if job.state == RUNNING else {}
    if progress:
        st.progress(shown.share, _where(progress))
    elif job.state == RUNNING and not shown.metrics:
        st.progress(shown.share, "getting ready: reading the data, building the model")
    run_metrics.show(shown)


def _where(progress: dict[str, Any]) -> str:
    """How far a training is, in words."""
    text = "epoch {epoch} of {epochs}, step {step} of {steps}".format_map(progress)
    if not progress["step"]:
        text += ": a start's first step is compiled, which takes a while"
    if left := progress.get("seconds_left"):
        text += f", about {format_duration(left)} left"
    return text


def _table(job: Job, views: list[live_run.RunView]) -> None:
    """The runs of a sweep, what each has of what is varied, and how far it got."""
    rows = []
    for view in views:
        said = live_run.settings_of(view.path, job.swept)
        best = max((row["val_accuracy"] for row in view.rows), default=None)
        test = view.metrics.get("test_accuracy")
        figures = [f"{figure:.4f}" if figure is not None else "" for figure in (best, test)]
        rows.append([view.path.name, *said, str(len(view.rows)), *figures])
    head = ["run", *job.swept, "epochs", "best validation", "test"]
    lines = [head, ["---"] * len(head), *rows]
    st.markdown("\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines))


def _cell(text: str) -> str:
    return text if text == "---" else escape_markdown(text)
