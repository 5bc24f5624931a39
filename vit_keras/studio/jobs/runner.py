"""Runs the queued trainings one after another, in a process that outlives the studio.

It is `python -m vit_keras.studio.jobs.runner <root>`: it holds a lock, so there is one for each
root of runs, and ends when the queue is empty. It never imports TensorFlow; each training is a
process in a session of its own, which outlives the runner as well.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock

from vit_keras.errors import SettingError
from vit_keras.runs import run_dir, run_end
from vit_keras.studio.jobs.queue import RUNNING, STUDIO, WAITING, Job, Jobs

SECRETS = ("VIT_KERAS_STUDIO_PASSWORD",)  # environment variables that no training inherits
PAUSE = 5.0  # seconds before writing to a full disk is tried again
POLL = 0.5  # seconds between two checks of a training that another runner started


def ensure(jobs: Jobs) -> None:
    """Start a runner unless one is running or the queue is empty; a second one ends by itself."""
    if next_job(jobs) is None:
        return
    try:
        _lock(jobs).acquire(timeout=0).lock.release()
    except filelock.Timeout:
        return
    with open(jobs.root / STUDIO / "runner.txt", "ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "vit_keras.studio.jobs.runner", str(jobs.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def next_job(jobs: Jobs) -> Job | None:
    """The job that is already running, or the one that has waited longest."""
    found = jobs.all()[::-1]
    return next((job for state in (RUNNING, WAITING) for job in found if job.state == state), None)


def _lock(jobs: Jobs) -> filelock.BaseFileLock:
    """The lock that a runner holds while it runs."""
    return filelock.FileLock(jobs.root / STUDIO / "runner.lock")


def work(root: str) -> None:
    """Run all jobs of the queue, including those that are added in the meantime."""
    # In the background of a shell SIGINT is ignored, and the trainings would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jobs = Jobs(root)
    lock = _lock(jobs)
    while next_job(jobs):  # again without the lock: a job may be added just before its release
        try:
            with lock.acquire(timeout=0):
                while job := next_job(jobs):
                    try:
                        _wait(jobs, job) if job.state == RUNNING else _run(jobs, job)
                    except SettingError as error:  # the disk is full
                        _pause(error)
        except filelock.Timeout:
            return


def _wait(jobs: Jobs, job: Job) -> None:
    """Wait for a training that an earlier runner started."""
    while job.is_alive():
        time.sleep(POLL)
    jobs.mark_finished(job, None)


def _run(jobs: Jobs, job: Job) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    with jobs.changing():
        current = jobs.get(job.id)
        if current is None or current.state != WAITING:
            return  # removed from the queue in the meantime
        jobs.save(current)  # a full disk is found before the training starts
        began = time.time()
        with open(jobs.output(job), "ab") as output:
            process = subprocess.Popen(
                job.arguments,
                cwd=job.cwd if Path(job.cwd).is_dir() else jobs.root,
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            current = jobs.mark_running(current, process.pid)
        except OSError:  # without its pid on record nobody could stop it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    status = process.wait()
    if status < 0 and not current.swept:
        _record_kill(jobs, current, -status, began)
    while True:
        try:
            jobs.mark_finished(current, status)
            return
        except SettingError as error:  # try again: only this process knows the exit status
            _pause(error)


def _record_kill(jobs: Jobs, job: Job, number: int, began: float) -> None:
    """Record for a run why it ended where it could not do so itself.

    Not where the process, which began at that time, was killed before it opened the run: that may
    be one that has finished.
    """
    run, now = Path(job.place), jobs.get(job.id)
    try:
        is_opened = (run / run_dir.LOG).stat().st_mtime >= began
    except OSError:
        return
    if is_opened and (run / run_dir.CONFIG).is_file() and run_end.read_end(run) is None:
        is_asked = now is not None and now.is_kill_asked
        message = "stopped at once in the studio" if is_asked else run_end.killed_by(number)
        run_end.write_end(run, run_end.KILLED, message)


def _pause(error: SettingError) -> None:
    """Report the error and wait before the next try; the page shows it as well."""
    with contextlib.suppress(OSError):  # the log may be on the same full disk
        print(error, flush=True)
    time.sleep(PAUSE)


if __name__ == "__main__":
    work(sys.argv[1])
