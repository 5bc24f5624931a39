"""Let a process of its own send a run to MLflow while this one trains it."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from vit_keras.config.schema import Config
from vit_keras.config.schema.tracking import NONE
from vit_keras.logs import log
from vit_keras.runs.run_dir import Run
from vit_keras.text import one_line
from vit_keras.tracking.state import read_state

QUIET, WAIT = 3, 57  # seconds at the end of a training for what is still to be sent


class Follower:
    """Tells the process that sends a run of each epoch; never waits for it while the run trains."""

    def __init__(self, run: Path) -> None:
        self.run, self._reported = run, _fault(run)  # one of before may be over
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vit_keras.tracking.sender", str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the training
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)

    def epoch_ended(self) -> None:
        """Let it send the newest epoch, and report where it could not send the ones before."""
        with contextlib.suppress(OSError):  # it has ended, or has lines enough to read
            os.write(self._pipe.fileno(), b"\n")
        self._report()

    def close(self) -> None:
        """Let it send the rest, and wait for that, but not for long."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        later = f"vit-keras track {shlex.quote(str(self.run))} sends the rest"
        try:
            status = self._wait()
        except subprocess.TimeoutExpired:
            log.info("tracking: still sending to MLflow; if it is cut off, %s", later)
            return
        except KeyboardInterrupt:
            log.info("tracking: not waited for; if not all was sent, %s", later)
            raise
        self._report()
        if status:
            log.warning("WARNING: not all of this run is in MLflow: %s", later)
        elif state := read_state(self.run):
            log.info("tracking: MLflow has this run as %s (%s)", state.run_id, state.uri)

    def _wait(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(QUIET)
        log.info("tracking: sending the rest of the run to MLflow; Ctrl-C does not wait for it")
        return self._process.wait(WAIT)

    def _report(self) -> None:
        fault = _fault(self.run)
        if fault and not self._reported:
            log.warning(
                "WARNING: MLflow cannot be reached (%s); the training goes on, and what was not "
                "sent is sent later",
                one_line(fault),
            )
        self._reported = fault


def _fault(run: Path) -> str:
    state = read_state(run)
    return state.fault if state else ""


@contextlib.contextmanager
def followed(run: Run, config: Config) -> Iterator[Follower | None]:
    """A `Follower` of `run` in this context; None if its settings track nothing."""
    if config.tracking.name == NONE or not run.is_writer:
        yield None
        return
    follower = Follower(run.path)
    try:
        yield follower
    finally:
        follower.close()
