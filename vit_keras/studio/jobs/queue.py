"""The queue of trainings: one record per job, in a folder that outlives every process.

    <root>/.studio/jobs/<id>/job.json     the command, its state and how it ended
                             output.txt   what it printed

A record is written atomically and changed under one lock: several tabs, the runner and a restarted
studio may all read it. Nothing here imports Keras.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import filelock
import psutil

from vit_keras.cli.sweep import PROGRAM
from vit_keras.config.quoting import quote_override
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import run_dir

# Script in the job records of earlier versions -> the command that replaced it.
COMMANDS = {"train_scratch": "train", "finetune_hub": "finetune"}
STUDIO = ".studio"  # the folder under the runs' root
WAITING, RUNNING = "waiting", "running"
STOPPED, KILLED = "stopped", "killed"  # by the studio; from outside
SAME_START = 5  # seconds that the system clock may have been adjusted by
LOST = "lost"  # ended unobserved, with an incomplete run


@dataclass(frozen=True)
class Job:
    """One training, or a sweep of several.

    Attributes:
        id: increases in the order of the queue.
        command: `train` or `finetune`.
        words: its command line, without the run directory.
        place: the run directory, or of a sweep the folder of its runs.
        swept: the settings that a sweep varies; of a single run none.
        cwd: the folder that it is started in.
        state: waiting, running, finished, stopped, killed, failed or lost.
        pid: of the process, which leads its own group.
        started: start time of that process, which tells it from a later one with the same pid.
        ended: time at which it ended.
        is_kill_asked: whether somebody has asked to end it without waiting for its batch.
    """

    id: str
    command: str
    words: tuple[str, ...]
    place: str
    swept: tuple[str, ...]
    cwd: str
    state: str = WAITING
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    is_kill_asked: bool = False

    @property
    def is_over(self) -> bool:
        return self.state not in (WAITING, RUNNING)

    @property
    def name(self) -> str:
        return Path(self.place).name

    @property
    def has_begun(self) -> bool:
        """Whether its process was started, or an earlier one in the same run directory."""
        return self.pid is not None or (Path(self.place) / run_dir.CONFIG).exists()

    @property
    def arguments(self) -> list[str]:
        """The command line of the process, with the reserved run directory."""
        if any(word.startswith("run.resume=") for word in self.words):
            return [*PROGRAM, self.command, *self.words]
        where = "hydra.sweep.dir" if self.swept else "run.dir"
        return [
            *PROGRAM,
            self.command,
            *(word for word in self.words if not word.startswith("run.dir=")),
            f"{where}={quote_override(self.place)}",
        ]

    def is_alive(self) -> bool:
        """Whether the process still runs; a later one with the same pid does not count."""
        if self.pid is None or self.started is None:
            return False
        started = start_of(self.pid)
        return started is not None and abs(started - self.started) < SAME_START


class Jobs:
    """The jobs of one root of runs."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.folder = self.root / STUDIO / "jobs"
        self.lock = filelock.FileLock(self.root / STUDIO / "lock", timeout=10)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock that every change of a record needs.

        Raises:
            SettingError: the folder cannot be written to, as when the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.lock:
                yield
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            way_out = "free some space there, or " if is_full else ""
            raise SettingError(
                f"run.root={self.root} cannot be written to ({error.strerror or error}); {way_out}"
                "start the studio with another --root"
            ) from None

    def check_writable(self) -> None:
        """Refuse a disk that no record can be written to, such as a full one.

        Raises:
            SettingError: as `changing`.
        """
        with self.changing():
            probe = self.folder.with_name(".probe")
            probe.write_text("probe\n" * 100, encoding="utf-8")
            probe.unlink()

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        found = (self.get(path.name) for path in self.folder.glob("*"))
        return sorted((job for job in found if job), key=lambda job: job.id, reverse=True)

    def get(self, name: str) -> Job | None:
        """The job of this id; None if there is none, or its record is damaged."""
        try:
            record = json.loads((self.folder / name / "job.json").read_text(encoding="utf-8"))
            if "script" in record:  # written by an earlier version
                record["command"] = COMMANDS[record.pop("script")]
            record.setdefault("is_kill_asked", False)  # likewise
            job = Job(**{item.name: record[item.name] for item in fields(Job)})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return replace(job, words=tuple(job.words), swept=tuple(job.swept))

    def output(self, job: Job) -> Path:
        return self.folder / job.id / "output.txt"

    def add(
        self,
        command: str,
        words: tuple[str, ...],
        name: str,
        swept: tuple[str, ...] = (),
        place: str | None = None,
    ) -> Job:
        """Append a new job to the queue.

        Args:
            name: name of the run; its directory `<root>/<name>-<time>` is created at once.
            place: an existing run directory to use instead.

        Raises:
            SettingError: another job that is not over has the same directory.
        """
        with self.changing():
            if place is None:
                place = str(run_dir.make_run_dir(f"{name}-sweep" if swept else name, self.root))
            place = str(Path(place).absolute())
            for other in self.all():
                if not other.is_over and other.place == place:
                    raise SettingError(
                        f"run.dir={place} belongs to a training that is already {other.state}; "
                        "wait for it, or choose another run.dir"
                    )
            identity = f"{time.time_ns():020d}"
            job = Job(identity, command, tuple(words), place, tuple(swept), os.getcwd())
            self.save(job)
        return job

    def resume(self, job: Job) -> Job:
        """Append the same run to the queue again, to continue from its last checkpoint.

        Raises:
            SettingError: it cannot be resumed.
        """
        if job.swept and job.has_begun:
            raise SettingError(f"{job.name} is a sweep; resume each of its runs by run.resume")
        if not (Path(job.place) / run_dir.CONFIG).exists():  # it never started
            return self.add(job.command, job.words, job.name, job.swept, place=job.place)
        words = (f"run.resume={quote_override(job.place)}",)
        return self.add(job.command, words, job.name, place=job.place)

    def stop(self, job: Job) -> None:
        """Send Ctrl-C: a training ends after its batch, to be resumed; a waiting job is removed.

        A second Ctrl-C does not wait for the batch.
        """
        with self.changing():
            current = self.get(job.id)
            if current and current.state == WAITING:
                self.save(replace(current, state=STOPPED, ended=time.time()))
            elif current and current.is_alive():
                os.kill(int(current.pid or 0), signal.SIGINT)

    def kill(self, job: Job) -> None:
        """Kill a training and every process that it started; it is stopped then."""
        with self.changing():
            current = self.get(job.id)
            if current and current.is_alive():
                with contextlib.suppress(OSError):  # also where the disk is full
                    self.save(replace(current, is_kill_asked=True))
                os.killpg(int(current.pid or 0), signal.SIGKILL)

    def remove(self, job: Job) -> None:
        """Remove a job that is over from the list; its run is kept."""
        with self.changing():
            current = self.get(job.id)
            if current is None or not current.is_over:
                return
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
            with contextlib.suppress(OSError):
                Path(job.place).rmdir()  # fails unless it is empty: never used

    def mark_running(self, job: Job, pid: int) -> Job:
        job = replace(job, state=RUNNING, pid=pid, started=start_of(pid))
        self.save(job)
        return job

    def mark_finished(self, job: Job, status: int | None) -> None:
        """Record how a job ended; its run directory decides if the exit status is None."""
        with self.changing():
            current = self.get(job.id)
            if current is None:
                return  # removed from the list
            state = _outcome(status) if status is not None else _state_of_run(current)
            if current.is_kill_asked and state in (KILLED, LOST):
                state = STOPPED
            self.save(replace(current, state=state, ended=time.time()))

    def save(self, job: Job) -> None:
        """Write a record atomically; the caller holds the lock of `changing`."""
        text = json.dumps(asdict(job), indent=2) + "\n"
        atomic.write_text(self.folder / job.id / "job.json", text, shared=False)


def _outcome(status: int) -> str:
    """The final state for an exit status, which is negative when a signal ended the process."""
    known = {0: "finished", 130: STOPPED, -signal.SIGINT: STOPPED}
    return known.get(status, KILLED if status < 0 else "failed")


def _state_of_run(job: Job) -> str:
    """The final state of a job whose exit status is unknown."""
    metrics = Path(job.place) / "metrics.json"
    if not job.swept and metrics.exists() and metrics.stat().st_mtime >= (job.started or 0):
        return "finished"
    return LOST


def start_of(pid: int) -> float | None:
    """Start time of a process; None if it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
