"""The pages' side of a worker: asked by one at a time, and started anew when it died."""

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

PATIENCE = 10  # seconds: less than it takes to start another worker is waited for
BUSY = 120  # seconds that a page waits while another one's question is answered


@st.cache_resource(show_spinner=False)
def worker(holds: str) -> "WorkerProcess":
    """The studio's one worker for "models", or for "data": neither waits for the other."""
    return WorkerProcess()


@dataclass(frozen=True)
class Question:
    """What is asked, by whom and when; the empty one is none."""

    asker: str = ""
    task: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    asked: float = 0.0

    def is_in_the_way_of(self, other: "Question") -> bool:
        """Whether the same page asks for something else by now, and has waited for long."""
        return (
            self.asker == other.asker
            and (self.task, self.given) != (other.task, other.given)
            and other.asked - self.asked > PATIENCE
        )


class WorkerProcess:
    """A `vit_keras.studio.worker`, which is started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._asking = self._given_up = Question()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def warm(self, task: str, **given: Any) -> None:
        """Ask without waiting for what comes: it is there, or refused again, when it is needed."""
        threading.Thread(target=self._warm, args=(task, given), daemon=True).start()

    def _warm(self, task: str, given: dict[str, Any]) -> None:
        if self._lock.acquire(blocking=False):  # else whoever is asking warms it
            try:
                self._asked(task, given)
            except SettingError:
                pass
            finally:
                self._lock.release()

    def ask(self, task: str, asker: str = "", **given: Any) -> Any:
        """What the worker's task gives.

        Args:
            asker: whose other question is given up for this one if it takes long: a folder that
                was named by mistake need not be read to its end.

        Raises:
            SettingError: it is refused, it was given up, or the worker died of it.
        """
        question = Question(asker, task, given, time.monotonic())
        if asker and self._asking.is_in_the_way_of(question) and self._process:
            self._given_up = self._asking
            self._process.kill()
        if not self._lock.acquire(timeout=BUSY):
            raise SettingError("the studio is still busy with another question; try again later")
        self._asking = question
        try:
            return self._asked(task, given)
        finally:
            self._asking = Question()
            self._lock.release()

    def _asked(self, task: str, given: dict[str, Any]) -> Any:
        question = json.dumps({"task": task, "given": given}) + "\n"
        # A worker may have been killed since; one that dies of the question again is told of.
        line = self._line(question)
        if not line and self._asking is self._given_up:
            raise SettingError("another question was asked instead")
        line = line or self._line(question)
        if not line:
            assert self._process is not None
            raise SettingError(
                f"the studio's process for models and data ended while it was at this (status "
                f"{self._process.wait()}), and a second one as well: killed from outside, or for "
                "want of memory; close what else runs, and try again"
            )
        said = json.loads(line)
        if "refused" in said:
            raise SettingError(said["refused"])
        return said["result"]

    def _line(self, question: str) -> str:
        """The worker's answer; nothing if it died."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
            line: str = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # an answer that nobody read would be the next question's
            process.kill()
            raise
        if not line:
            process.wait()
        return line

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vit_keras.studio.worker.server"],
                env={name: value for name, value in os.environ.items() if name not in SECRETS},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is the studio's; the worker ends with its input
            )
        return self._process
