"""The jobs of `--multirun`: each in a process of its own, so that none ends the others.

A process per job also gives back all of its memory: TensorFlow keeps what XLA has compiled until
the process ends. With a launcher such as Ray or submitit, `run_job` runs on another machine, in a
copy of the sweep, and what became of the job comes back as a file of `job_records`.
"""

import contextlib
import dataclasses
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from vit_keras.cli import job_records, launchers, parent
from vit_keras.cli.exit_codes import CTRL_C
from vit_keras.config.compose import typed_config
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema.tracking import NONE
from vit_keras.errors import SettingError
from vit_keras.logs import print_line
from vit_keras.runs import history, run_dir, run_end
from vit_keras.text import first_line, last_error, one_line

PROGRAM = (sys.executable, "-m", "vit_keras")  # `vit-keras` of this installation
RUNS = ("train", "finetune")  # the commands that write a run directory
OF_JOB = ("run.dir", "tracking.sweep")  # what a job is given beside its own settings
TAIL = 20_000  # bytes of a job's standard error in which its error is looked for
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Sweeper -> the setting of its direction, and the value that looks for the highest score.
DIRECTIONS = {"optuna": ("hydra.sweeper.direction", "maximize")}


def with_direction(words: list[str]) -> list[str]:
    """The overrides of a search, which looks for the best value of `train.monitor`.

    Raises:
        SettingError: they set another direction.
    """
    for sweeper, (setting, value) in DIRECTIONS.items():
        if f"hydra/sweeper={sweeper}" not in words:
            continue
        typed = [word for word in words if word.startswith(f"{setting}=")]
        if not typed:
            return [*words, f"{setting}={value}"]
        if typed != [f"{setting}={value}"]:
            raise SettingError(
                f"{typed[0]} would search for the worst run, as the result of a run is the "
                "higher the better, with train.monitor=val_loss by a change of its sign; leave it "
                f"out, or set {setting}={value}"
            )
    return words


class Sweep:
    """Runs the jobs of a sweep one after another, and reports at the end which failed.

    Attributes:
        command: `train`, `finetune` or another that Hydra reads.
        count: number of jobs; None if the sweeper decides.
        fixed: names of the settings that are typed and equal in all jobs.
        started: jobs so far.
        failed: (folder, reason) of those that failed.
    """

    def __init__(self, command: str, words: list[str], count: int | None) -> None:
        self.command, self.count = command, count
        self.fixed = {_name_of(word) for word in words} - _swept_names(words)
        self.id = secrets.token_hex(8)
        self.started = 0
        self.failed: list[tuple[str, str]] = []
        self.folder: Path | None = None

    def run(self, start: Callable[[], Any]) -> None:
        """Start Hydra, which calls `run_job` for each job.

        Raises:
            SystemExit: with status 1, if a job failed.
        """
        try:
            start()
        except Exception as error:
            self._collect()
            if type(error).__module__.startswith(launchers.MODULES) and self.folder:
                raise SettingError(
                    f"a job of the sweep was lost ({first_line(error)}); the same command with "
                    f"hydra.sweep.dir={self.folder} goes on with it"
                ) from None
            # Optuna finds no best run where all failed, and its grid ends so on a failed run.
            none_is_best = self.failed and len(self.failed) == self.started
            is_search = isinstance(error, ValueError | RuntimeError)
            if not is_search or not (none_is_best or "`Study.stop`" in str(error)):
                raise
        finally:
            self._collect()
            self._report()
        if self.failed:
            sys.exit(1)

    def run_job(self, composed: DictConfig) -> float | None:
        """Run one job to its end.

        Returns:
            The best value of `train.monitor`, of a loss its negative; None if it failed, which
            Optuna takes for a failed trial.
        """
        words, place = job_words(composed)
        self.started += 1
        self.folder = place.parent
        self._print_heading(words)
        record = job_records.Record(self.id, str(place), words)
        status, printed = 0, ""
        is_again = self.command in RUNS and job_records.is_repeated(record)
        job_records.write(record)
        if not is_again:
            status, printed = _run([*PROGRAM, self.command, *words])
        elif rest := job_records.words_to_go_on(record):
            status, printed = _run([*PROGRAM, self.command, *rest])
        if status:
            reason = _reason(status, printed, place)
            self.failed.append((str(place), reason))
            job_records.write(dataclasses.replace(record, reason=reason))
            if self.command in RUNS:
                _keep_reason(place, composed, status, reason)
            return None
        metrics = run_dir.read_or_default(run_dir.read_json, place / "metrics.json", {})
        return history.objective(metrics, history.monitor_of(composed))

    def _print_heading(self, words: list[str]) -> None:
        """`run 2 of 4: optim.learning_rate=0.001`: what tells the job from the others."""
        own = [word for word in words if _name_of(word) not in (*self.fixed, *OF_JOB)]
        number = HydraConfig.get().job.num + 1
        print_line(f"\nrun {number}{_of_all(self.count)}: {' '.join(own or words)}")

    def _collect(self) -> None:
        """What became of the jobs that a launcher has started in other processes."""
        if not self.started and job_records.folder:
            found = job_records.read(job_records.folder, self.id)
            self.started, self.folder = len(found), job_records.folder
            self.failed = [(one.place, one.reason) for one in found if one.reason]

    def _report(self) -> None:
        if self.failed:
            lines = [f"{one_line(place)}: {one_line(reason)}" for place, reason in self.failed]
            head = f"\n{len(self.failed)} of {self.started} failed:"
            print(head, *lines, sep="\n  ", file=sys.stderr)
        if self.command in RUNS and self.folder and self.started > 1:
            print_line(f"\nranked: vit-keras runs --root {shlex.quote(str(self.folder))}")


def _of_all(count: int | None) -> str:
    """The number of all jobs in a heading: of the grid, or of the trials of a search."""
    hydra_config = HydraConfig.get()
    trials = hydra_config.sweeper.get("n_trials")
    is_grid = hydra_config.runtime.choices.get("hydra/sweeper/sampler") == "grid"
    known = [number for number in (trials, count if is_grid or not trials else None) if number]
    return f" of {min(known)}" if known else ""


def _name_of(word: str) -> str:
    return word.partition("=")[0]


def _swept_names(words: list[str]) -> set[str]:
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    return {override.get_key_element() for override in parsed if override.is_sweep_override()}


def job_words(composed: DictConfig) -> tuple[list[str], Path]:
    """The overrides of a job as its own command takes them, and its run directory."""
    hydra_config = HydraConfig.get()
    words = [
        _without_references(word, composed)
        for word in hydra_config.overrides.task
        if not word.startswith("+stage@stages.")  # added by `with_new_stages`, as the job will
    ]
    if any(word.startswith(("run.resume=", "run.dir=")) for word in words):
        return words, Path(composed.run.resume or composed.run.dir)
    place = Path(str(hydra_config.runtime.output_dir))
    words.append(f"run.dir={quote_override(str(place))}")
    if composed.tracking.name != NONE:
        words.append(f"tracking.sweep={quote_override(place.parent.name)}")
    return words, place


def _without_references(word: str, composed: DictConfig) -> str:
    """The override with its value, if that refers to the sweep, as `${hydra:job.num}` does."""
    name = _name_of(word)
    if not re.search(r"\$\{hydra[:.]", word) or OmegaConf.select(composed, name) is None:
        return word
    return f"{name}={quote_override(OmegaConf.select(composed, name))}"


def _run(command: list[str]) -> tuple[int, str]:
    """Run a job -> (exit status, the end of its standard error, which is also passed on).

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C, after the job has ended.
    """
    printed = b""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=parent.environment()
    ) as process:
        assert process.stderr is not None
        with _ended_with(process), _passing_signals_on(process) as received:
            while part := os.read(process.stderr.fileno(), TAIL):
                with contextlib.suppress(OSError):  # the terminal may be gone
                    os.write(2, part)
                printed = (printed + part)[-TAIL:]
            status = process.wait()
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    if received:  # the handlers are as they were: the signal ends this process too
        os.kill(os.getpid(), received[0])
    return status, printed.decode(errors="replace")


@contextlib.contextmanager
def _ended_with(process: subprocess.Popen) -> Iterator[None]:
    """End the job if this process is to leave, as submitit does when a job is preempted."""
    try:
        yield
    except BaseException:
        process.terminate()
        raise


@contextlib.contextmanager
def _passing_signals_on(process: subprocess.Popen) -> Iterator[list[int]]:
    """Pass the signals that end a program on to a job; yields those that came."""
    received: list[int] = []

    def pass_on(number, frame):
        received.append(number)
        # A terminal sends Ctrl-C to the job as well, which takes a second one for "at once".
        if number != signal.SIGINT or not _is_in_foreground():
            process.send_signal(number)

    heard = [number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in heard}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Whether Ctrl-C in the terminal reaches this process."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # there is no terminal
        return False


def _reason(status: int, printed: str, place: Path) -> str:
    if status < 0:
        return run_end.killed_by(-status)
    end = run_end.read_end(place)
    return last_error(printed) or (end.message if end else f"exit status {status}")


def _keep_reason(place: Path, composed: DictConfig, status: int, reason: str) -> None:
    """Write the settings and the reason of a job that could not do so itself."""
    end = run_end.read_end(place)
    if end is not None and status > 0:
        return
    with contextlib.suppress(SettingError, OSError):
        if not (place / run_dir.CONFIG).exists():
            run = run_dir.Run(place)
            config = typed_config(composed)
            config.run.dir = str(place)
            run_dir.write_config(run, config)
            run.close()
    kind = run_end.KILLED if status < 0 else run_end.REFUSED if status == 2 else run_end.ERROR
    run_end.write_end(place, run_end.INTERRUPTED if status == CTRL_C else kind, reason)
