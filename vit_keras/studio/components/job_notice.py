"""Say on every page what is being trained, and which training has ended since it was looked at."""

import streamlit as st

from vit_keras.studio.components import navigation
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.components.training_choice import FOLLOW, TO_OPEN
from vit_keras.studio.jobs.queue import RUNNING, STOPPED, Job, Jobs

TITLE = "vit_keras studio"
REFRESH_SECONDS = 2.0  # while a job is running or waiting
STATES = "job_states"  # session key: job -> its state when the page was last drawn
ENDED = "ended_jobs"  # session key: the jobs that have ended since, by their id, and how
LOOKED_AT = "job_looked_at"  # session key: the job that the Training page shows


def title() -> str:
    """The title of the browser's tab: how the last training ended, until it is looked at."""
    ended: dict[str, str] = st.session_state.get(ENDED, {})
    return f"{list(ended.values())[-1]} - {TITLE}" if ended else TITLE


def show(root: str) -> None:
    """Show the notice, refreshed until all jobs are over."""
    jobs = Jobs(root)
    is_active = any(not job.is_over for job in jobs.all())
    st.fragment(_show, run_every=REFRESH_SECONDS if is_active else None)(jobs, is_active)


def look_at(job: Job | None) -> None:
    """Note which job the page shows, and so needs no notice in the sidebar."""
    st.session_state[LOOKED_AT] = job.id if job else ""


def leave_page() -> None:
    """Forget the end of a job that the page before has shown."""
    st.session_state.get(ENDED, {}).pop(st.session_state.pop(LOOKED_AT, ""), None)


def _show(jobs: Jobs, was_active: bool) -> None:
    with show_errors():
        found = jobs.all()
        ended, is_changed = _note_ended(found)
        if is_changed or was_active != any(not job.is_over for job in found):
            st.rerun()  # for the title of the tab, and to start or to stop the refreshing
        looked_at = st.session_state.get(LOOKED_AT)
        for job in (job for job in found if job.id != looked_at):
            if job.id in ended:
                is_finished = job.state == "finished"
                (st.success if is_finished else st.warning)(
                    escape_markdown(f"{job.name}: {job.state}")
                )
                label = "See the result" if is_finished else "See the reason"
                if st.button(label, key=f"see {job.id}"):
                    _open(job)
            elif job.state == RUNNING:
                st.info(escape_markdown(f"{job.name} is being trained"))
                if st.button("Follow it", key=f"follow {job.id}"):
                    _open(job)


def _note_ended(found: list[Job]) -> tuple[dict[str, str], bool]:
    """The jobs that have ended in this session and were not looked at since; if they changed.

    One that was stopped is none of them: somebody wanted that. Nor is one that was resumed, or was
    removed from the list.
    """
    before = st.session_state.get(STATES, {})
    st.session_state[STATES] = {job.id: job.state for job in found}
    earlier: dict[str, str] = st.session_state.get(ENDED, {})
    newest = {job.place: job for job in reversed(found)}  # of a run that was resumed
    ended = {
        job.id: f"{job.state}: {job.name}"
        for job in sorted(newest.values(), key=lambda job: job.ended or 0)
        if job.is_over
        and job.state != STOPPED
        and (job.id in earlier or before.get(job.id, job.state) != job.state)
    }
    st.session_state[ENDED] = ended
    return ended, ended != earlier


def _open(job: Job) -> None:
    st.session_state[TO_OPEN] = FOLLOW
    navigation.open_page("training", job=job.id)
