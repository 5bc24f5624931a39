"""What works the queue off, one training after another, whatever becomes of the studio.

A process of its own, `python -m vit_keras.studio.runner <root>`: it holds a lock, so that there is
one for each root of runs, and ends when nothing is left to do. It never imports TensorFlow; each
training is a process again, in a session of its own, which also outlives the runner.
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
from vit_keras.studio.jobs.queue import RUNNING, STUDIO, WAITING, Job, Jobs

SECRETS = ("VIT_KERAS_STUDIO_PASSWORD",)  # of the studio's environment, none of a training's
PAUSE = 5.0  # seconds until a full disk is tried again
GLANCE = 0.5  # seconds between two looks at a training that another runner began


def ensure(jobs: Jobs) -> None:
    """Start a runner unless there is one, or nothing is to be done; a second one ends by itself."""
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
    """One that runs already, or else the one that waits longest."""
    found = jobs.all()[::-1]
    return next((job for state in (RUNNING, WAITING) for job in found if job.state == state), None)


def _lock(jobs: Jobs) -> filelock.BaseFileLock:
    """Held by the runner as long as it works."""
    return filelock.FileLock(jobs.root / STUDIO / "runner.lock")


def work(root: str) -> None:
    """Run every job that there is, and those that come meanwhile."""
    # Started in the background of a shell, Ctrl-C is ignored, and what we start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jobs = Jobs(root)
    lock = _lock(jobs)
    while next_job(jobs):  # looked at again without the lock: one may come before it is given up
        try:
            with lock.acquire(timeout=0):
                while job := next_job(jobs):
                    try:
                        _wait(jobs, job) if job.state == RUNNING else _run(jobs, job)
                    except SettingError as error:  # no room for a record
                        _pause(error)
        except filelock.Timeout:
            return


def _wait(jobs: Jobs, job: Job) -> None:
    """Wait for a training that a runner before this one began."""
    while job.is_alive():
        time.sleep(GLANCE)
    jobs.over(job, None)


def _run(jobs: Jobs, job: Job) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    with jobs.changing():
        current = jobs.get(job.id)
        if current is None or current.state != WAITING:
            return  # taken back meanwhile
        jobs.keep(current)  # or it would be started, and nobody could note that it was
        with open(jobs.output(job), "ab") as output:
            process = subprocess.Popen(
                job.command,
                cwd=job.cwd if Path(job.cwd).is_dir() else jobs.root,
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            current = jobs.begun(current, process.pid)
        except OSError:  # without a record nobody could stop it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    status = process.wait()
    while True:
        try:
            jobs.over(current, status)
            return
        except SettingError as error:  # its exit status is known here alone
            _pause(error)


def _pause(error: SettingError) -> None:
    """Until it may be tried again; the page says what is wrong as well."""
    with contextlib.suppress(OSError):  # where it would be said there may be no room either
        print(error, flush=True)
    time.sleep(PAUSE)


if __name__ == "__main__":
    work(sys.argv[1])
