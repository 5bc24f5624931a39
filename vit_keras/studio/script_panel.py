"""A script on a run, started from a page: its command, what it says, and how it ended.

It is a process of its own and goes on if the page is closed; what it makes lies in the run.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras import run_cli
from vit_keras.errors import SettingError
from vit_keras.studio import run_view
from vit_keras.studio.jobs import SCRIPTS
from vit_keras.studio.plain import errors_shown, plain
from vit_keras.studio.runner import SECRETS

EVERY = 1.0  # seconds between two looks


@dataclass
class Started:
    """A process and what it prints; the file is gone when nobody looks any more."""

    words: list[str]
    process: subprocess.Popen
    output: Any = field(repr=False)

    @property
    def said(self) -> str:
        return run_view.tail(Path(self.output.name))


def show(
    script: str, schema: type, check: Callable[[Any], Any], words: list[str], title: str
) -> None:
    """A button that starts `scripts/<script>.py` with these words, and what became of it.

    Args:
        script: its name.
        schema: of its settings.
        check: what refuses those that cannot be, without Keras.
        words: of the command line.
        title: of the button.
    """
    st.code(text(script, words), language="bash", wrap_lines=True)
    key = f"script {script}"
    started: Started | None = st.session_state.get(key)
    is_busy = started is not None and started.process.poll() is None
    if st.button(title, type="primary", key=f"{key} start", disabled=is_busy):
        with errors_shown():
            check(run_cli.read(schema, words))
            st.session_state[key] = start(script, words)
            st.rerun()
    if started is not None and is_busy:
        st.fragment(_follow, run_every=EVERY)(started)
    elif started is not None and started.words == words:
        _ended(started)


def text(script: str, words: list[str]) -> str:
    """As a person would type it."""
    return " ".join(["python", f"scripts/{script}.py", *map(shlex.quote, words)])


def start(script: str, words: list[str]) -> Started:
    """The script's process, in a session of its own.

    Raises:
        SettingError: there is no room for what it prints.
    """
    try:
        output = tempfile.NamedTemporaryFile(prefix="studio-", suffix=".txt")  # noqa: SIM115
    except OSError as error:
        raise SettingError(
            f"{tempfile.gettempdir()} cannot be written to ({error.strerror}); make room there"
        ) from None
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *words],
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    return Started(words, process, output)


def _follow(started: Started) -> None:
    if started.process.poll() is not None:
        st.rerun()
    st.info("At work; importing Keras alone takes some seconds.")
    lines = [line for line in started.said.replace("\r", "\n").splitlines() if line.strip()]
    st.code(lines[-1] if lines else "nothing yet", language=None, wrap_lines=True)


def _ended(started: Started) -> None:
    status, said = started.process.returncode, started.said
    if status == 0:
        st.success("Done.")
        return
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    last = errors[-1].removeprefix("error: ") if errors else ""
    st.error(plain(last or f"It ended with status {status}; what it said is below."))
    if not last:
        st.code(said or "nothing", language=None, wrap_lines=True, height=300)
