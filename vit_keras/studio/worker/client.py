"""Call the tasks of a worker process from a page: one request at a time, restarted if it dies."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.studio.jobs.runner import SECRETS

CANCEL_AFTER = 10  # seconds; an older request is cancelled: a new worker starts in less time
LOCK_TIMEOUT = 120  # seconds that a page waits while the request of another one is processed


@st.cache_resource(show_spinner=False)
def worker(name: str) -> "WorkerProcess":
    """The worker of the studio for "models" or for "data"; neither waits for the other."""
    return WorkerProcess()


@dataclass(frozen=True)
class Request:
    """A task with its arguments, the session that sent it and when; empty if there is none."""

    session: str = ""
    task: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0

    def is_replaced_by(self, other: "Request") -> bool:
        """Whether `other` is a different, much later request of the same session."""
        return (
            self.session == other.session
            and (self.task, self.arguments) != (other.task, other.arguments)
            and other.time - self.time > CANCEL_AFTER
        )


class WorkerProcess:
    """A `vit_keras.studio.worker.server` process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._current = self._cancelled = Request()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def warm_up(self, task: str, **arguments: Any) -> None:
        """Call a task in the background and drop its result; a later call then is fast."""
        threading.Thread(target=self._warm_up, args=(task, arguments), daemon=True).start()

    def _warm_up(self, task: str, arguments: dict[str, Any]) -> None:
        if self._lock.acquire(blocking=False):  # else the current request starts the worker
            try:
                self._call(task, arguments)
            except SettingError:
                pass
            finally:
                self._lock.release()

    def call(self, task: str, session: str = "", **arguments: Any) -> Any:
        """Call a task of the worker and return its result.

        Args:
            session: a long request of the same session with other arguments is cancelled: a folder
                that was named by mistake need not be read to its end.

        Raises:
            SettingError: the task failed, it was cancelled, or the worker died.
        """
        request = Request(session, task, arguments, time.monotonic())
        if session and self._current.is_replaced_by(request) and self._process:
            self._cancelled = self._current
            self._process.kill()
        if not self._lock.acquire(timeout=LOCK_TIMEOUT):
            raise SettingError("the studio is still busy with another request; try again later")
        self._current = request
        try:
            return self._call(task, arguments)
        finally:
            self._current = Request()
            self._lock.release()

    def _call(self, task: str, arguments: dict[str, Any]) -> Any:
        request = json.dumps({"task": task, "arguments": arguments}) + "\n"
        # The worker may have been killed since the last request, so it gets a second try.
        line = self._send(request)
        if not line and self._current is self._cancelled:
            raise SettingError("cancelled by a newer request of this page")
        line = line or self._send(request)
        if not line:
            assert self._process is not None
            raise SettingError(
                f"the studio's worker process died twice during this request (status "
                f"{self._process.wait()}), killed from outside or out of memory; close other "
                "programs, and try again"
            )
        response = json.loads(line)
        if "error" in response:
            raise SettingError(response["error"])
        return response["result"]

    def _send(self, request: str) -> str:
        """Send one line and return the line of the response; empty if the worker died."""
        process = self._running_process()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line: str = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # an unread response would be taken for that of the next request
            process.kill()
            raise
        if not line:
            process.wait()
        return line

    def _running_process(self) -> subprocess.Popen:
        if self._process is not None and self._process.poll() is not None:
            with contextlib.suppress(BrokenPipeError), self._process:
                self._process = None  # leaving the block closes the pipes of the dead process
        if self._process is None:
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "vit_keras.studio.worker.server"],
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            # Ctrl-C is meant for the studio; the worker ends when its input is closed.
            start_new_session=True,
        )
