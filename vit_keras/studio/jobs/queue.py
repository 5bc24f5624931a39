"""Trainings that were asked for: a record each, in a folder that outlives every process.

    <root>/.studio/jobs/<id>/job.json     what is to be run, and what became of it
                             output.txt   what it printed

A record is whole or absent, and changed under one lock: several tabs, the runner and a studio that
was started again may all look at it. Nothing here imports Keras.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import filelock
import psutil

from vit_keras.config.overrides import quote_override
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir

SCRIPTS = Path(__file__).parents[3] / "scripts"
STUDIO = ".studio"  # the folder under the runs' root
WAITING, RUNNING = "waiting", "running"
SAME = 5  # seconds that the clock may have been set by between two looks at one process
LOST = "lost"  # it ended while nobody looked, and its run is not whole


@dataclass(frozen=True)
class Job:
    """One training, or a sweep of several.

    Attributes:
        id: in the order of asking.
        script: `train_scratch` or `finetune_hub`.
        words: its command line, without the word that says where the run goes.
        place: the run directory, or of a sweep the folder of its runs.
        swept: the settings that a sweep varies; of a single run none.
        cwd: the folder that it is started in.
        state: waiting, running, finished, stopped, killed, failed or lost.
        pid: of the process, which leads its own group.
        started: when that process did, by the system's clock; tells it from a later one of its pid.
        ended: when it did.
    """

    id: str
    script: str
    words: tuple[str, ...]
    place: str
    swept: tuple[str, ...]
    cwd: str
    state: str = WAITING
    pid: int | None = None
    started: float | None = None
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        return self.state not in (WAITING, RUNNING)

    @property
    def name(self) -> str:
        return Path(self.place).name

    @property
    def command(self) -> list[str]:
        """What is run: the script that a person would type, and the folder that was kept free."""
        if any(word.startswith("run.resume=") for word in self.words):
            return [sys.executable, str(SCRIPTS / f"{self.script}.py"), *self.words]
        where = "hydra.sweep.dir" if self.swept else "run.dir"
        return [
            *(sys.executable, str(SCRIPTS / f"{self.script}.py")),
            *(word for word in self.words if not word.startswith("run.dir=")),
            f"{where}={quote_override(self.place)}",
        ]

    def is_alive(self) -> bool:
        """Whether its process is still there, and not another one of the same number."""
        if self.pid is None or self.started is None:
            return False
        started = start_of(self.pid)
        return started is not None and abs(started - self.started) < SAME


class Jobs:
    """The jobs of one root of runs."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.folder = self.root / STUDIO / "jobs"
        self.lock = filelock.FileLock(self.root / STUDIO / "lock", timeout=10)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else changes a record in here.

        Raises:
            SettingError: the folder cannot be written to, as when the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.lock:
                yield
        except OSError as error:
            raise SettingError(
                f"run.root={self.root} cannot be written to ({error.strerror or error}); free some "
                "space there, or start the studio with another --root"
            ) from None

    def check_room(self) -> None:
        """Refuse a disk that records cannot be written to.

        Raises:
            SettingError: as `changing`.
        """
        with self.changing():
            probe = self.folder.with_name(".probe")
            probe.write_text("room\n" * 100, encoding="utf-8")
            probe.unlink()

    def all(self) -> list[Job]:
        """Every job, the newest first; one whose process is gone is settled."""
        found = (self.get(path.name) for path in self.folder.glob("*"))
        return sorted((job for job in found if job), key=lambda job: job.id, reverse=True)

    def get(self, name: str) -> Job | None:
        """The job of this id; None if there is none, or its record is damaged."""
        try:
            kept = json.loads((self.folder / name / "job.json").read_text(encoding="utf-8"))
            job = Job(**{item.name: kept[item.name] for item in fields(Job)})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return replace(job, words=tuple(job.words), swept=tuple(job.swept))

    def output(self, job: Job) -> Path:
        return self.folder / job.id / "output.txt"

    def add(
        self,
        script: str,
        words: tuple[str, ...],
        name: str,
        swept: tuple[str, ...] = (),
        place: str | None = None,
    ) -> Job:
        """A new job at the end of the queue.

        Args:
            name: of the run; its directory is `<root>/<name>-<time>` and kept free for it.
            place: the run directory, where it is not to be a new one.

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
                        f"run.dir={place} belongs to a training that is {other.state} already; "
                        "wait for it, or choose another run.dir"
                    )
            identity = f"{time.time_ns():020d}"
            job = Job(identity, script, tuple(words), place, tuple(swept), os.getcwd())
            self.keep(job)
        return job

    def resume(self, job: Job) -> Job:
        """The same run again at the end of the queue, from where it was left.

        Raises:
            SettingError: it cannot go on.
        """
        if job.swept:
            raise SettingError(f"{job.name} is a sweep; go on with each of its runs by run.resume")
        if not (Path(job.place) / run_dir.CONFIG).exists():  # it never began
            return self.add(job.script, job.words, job.name, place=job.place)
        words = (f"run.resume={quote_override(job.place)}",)
        return self.add(job.script, words, job.name, place=job.place)

    def stop(self, job: Job) -> None:
        """Ctrl-C: the training ends with its batch and can be resumed; one that waits is left out.

        A second one does not wait for the batch.
        """
        with self.changing():
            current = self.get(job.id)
            if current and current.state == WAITING:
                self.keep(replace(current, state="stopped", ended=time.time()))
            elif current and current.is_alive():
                os.kill(int(current.pid or 0), signal.SIGINT)

    def kill(self, job: Job) -> None:
        """End a training at once, and whatever it started."""
        with self.changing():
            current = self.get(job.id)
            if current and current.is_alive():
                os.killpg(int(current.pid or 0), signal.SIGKILL)

    def forget(self, job: Job) -> None:
        """Take a job that is over off the list; its run stays."""
        with self.changing():
            current = self.get(job.id)
            if current is None or not current.is_over:
                return
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
            with contextlib.suppress(OSError):
                Path(job.place).rmdir()  # only one that was kept free and never used

    def begun(self, job: Job, pid: int) -> Job:
        job = replace(job, state=RUNNING, pid=pid, started=start_of(pid))
        self.keep(job)
        return job

    def over(self, job: Job, status: int | None) -> None:
        """Note what a job came to; without its exit status, by what its run says."""
        with self.changing():
            if self.get(job.id) is None:
                return  # forgotten
            state = _outcome(status) if status is not None else _seen(job)
            self.keep(replace(job, state=state, ended=time.time()))

    def keep(self, job: Job) -> None:
        """Write a record, whole; for who may change it."""
        folder = self.folder / job.id
        folder.mkdir(exist_ok=True)
        temporary = folder / ".new-job.json"
        temporary.write_text(json.dumps(asdict(job), indent=2) + "\n", encoding="utf-8")
        temporary.replace(folder / "job.json")


def _outcome(status: int) -> str:
    """What an ended job came to, by its exit status; of one that a signal ended it is negative."""
    known = {0: "finished", 130: "stopped", -signal.SIGINT: "stopped"}
    return known.get(status, "killed" if status < 0 else "failed")


def _seen(job: Job) -> str:
    """How a run ended that nobody waited for."""
    metrics = Path(job.place) / "metrics.json"
    if not job.swept and metrics.exists() and metrics.stat().st_mtime >= (job.started or 0):
        return "finished"
    return LOST


def start_of(pid: int) -> float | None:
    """When a process started; None if it is gone, or dead and only waited for."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
