"""A script on a run, started from a page: its command, what it says, and how it ended.

It is a process of its own and goes on if the page is closed; what it makes lies in the run.
"""

import shlex
from collections.abc import Callable
from typing import Any

import streamlit as st

from vit_keras.cli import arguments
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.process import Started, start

EVERY = 1.0  # seconds between two looks


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
        with show_errors():
            check(arguments.read(schema, words))
            st.session_state[key] = start(script, words)
            st.rerun()
    if started is not None and is_busy:
        st.fragment(_follow, run_every=EVERY)(started)
    elif started is not None and started.words == words:
        _ended(started)


def text(script: str, words: list[str]) -> str:
    """As a person would type it."""
    return " ".join(["python", f"scripts/{script}.py", *map(shlex.quote, words)])


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
    st.error(escape_markdown(last or f"It ended with status {status}; what it said is below."))
    if not last:
        st.code(said or "nothing", language=None, wrap_lines=True, height=300)
