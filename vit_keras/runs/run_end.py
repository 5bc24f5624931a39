"""Why a training ended: `end.json` of a run directory, and a line of its `train.log`.

It is written at every end but SIGKILL, after which there is none, and removed when the run is
resumed. Imports no Keras.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from vit_keras.errors import DivergedError, ProcessLostError, ResourceError, SettingError
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.runs.run_dir import PROGRESS, Run
from vit_keras.text import first_line

END = "end.json"
TIME = "%Y-%m-%dT%H:%M:%S%z"
FINISHED, EARLY_STOPPING = COMPLETE = ("finished", "early stopping")
INTERRUPTED, SIGNAL, KILLED = STOPPED = ("interrupted", "signal", "killed")
DIVERGED, OUT_OF_MEMORY, REFUSED = AGAIN = ("diverged", "out of memory", "refused")
ERROR = "error"  # any other exception, such as of a full disk
SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # of a cluster's time limit, of a closed terminal


@dataclass(frozen=True)
class RunEnd:
    """How a training ended.

    Attributes:
        reason: one of the words above.
        message: in a line, with the way out where there is one.
        time: when, in ISO 8601.
    """

    reason: str
    message: str = ""
    time: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the training itself failed, and was not stopped from outside."""
        return self.reason not in (*COMPLETE, *STOPPED)

    @property
    def is_resumable(self) -> bool:
        """Whether resuming can help: a run that diverged would do so again, by equal numbers."""
        return self.reason not in (*COMPLETE, *AGAIN)

    @property
    def cause(self) -> str:
        """The message without its way out."""
        return self.message.partition("; ")[0]


def read_end(run: Path) -> RunEnd | None:
    """How the run ended; None if it was not recorded, or the file is damaged."""
    try:
        content = json.loads((run / END).read_text(encoding="utf-8"))
        return RunEnd(*(str(content[name]) for name in ("reason", "message", "time")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_end(run: Path, reason: str, message: str) -> None:
    """Write `end.json`; on a disk that is full the run has none."""
    end = RunEnd(reason, message, time.strftime(TIME))
    with contextlib.suppress(OSError):
        text = json.dumps(asdict(end), indent=2, ensure_ascii=False)
        atomic.write_text(run / END, text + "\n", shared=False)


def killed_by(number: int) -> str:
    """The message of a training that a signal has killed."""
    name = signal.Signals(number).name
    return f"killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def reason_of(error: BaseException) -> tuple[str, str]:
    """(reason, message) of an exception that ends a training."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "stopped by Ctrl-C"
    if isinstance(error, ProcessLostError):
        return KILLED, str(error)
    if isinstance(error, DivergedError):
        return DIVERGED, str(error)
    if isinstance(error, ResourceError):
        return OUT_OF_MEMORY, str(error)
    if isinstance(error, SettingError):
        return REFUSED, str(error)
    kind, text = type(error).__name__, first_line(error)
    message = kind if text == kind else f"{kind}: {text}"
    return (OUT_OF_MEMORY if isinstance(error, MemoryError) else ERROR), message


@contextlib.contextmanager
def recorded(run: Run, describe: Callable[[], tuple[str, str]]) -> Iterator[None]:
    """Record how the training in this context ends.

    Args:
        run: its directory, in which `train.log` is being written.
        describe: gives (reason, message) of a training that came to its end.
    """
    if not run.is_writer:
        yield
        return
    (run.path / END).unlink(missing_ok=True)
    try:
        with _signals_recorded(run):
            yield
    except BaseException as error:
        reason, message = reason_of(error)
        _record(run, reason, message)
        if reason == ERROR:
            log.debug("traceback:", exc_info=error)
        raise
    _record(run, *describe())


def _record(run: Run, reason: str, message: str) -> None:
    write_end(run.path, reason, message)
    log.debug("ended: %s: %s", reason, message)


@contextlib.contextmanager
def _signals_recorded(run: Run) -> Iterator[None]:
    """Record a signal that ends the process, and then let it do so."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets handlers in the main thread alone
        return
    before = {
        number: handler
        for number in SIGNALS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }

    def record(number, frame):
        _record(run, SIGNAL, f"ended by {signal.Signals(number).name}")
        (run.path / PROGRESS).unlink(missing_ok=True)
        signal.signal(number, before[number])
        os.kill(os.getpid(), number)

    for number in before:
        signal.signal(number, record)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
