"""A command on a run, started from a page: its command line, its output, and how it ended.

It is a process of its own and goes on if the page is closed; its results lie in the run.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from vit_keras.cli import arguments
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.command import command_line
from vit_keras.studio.jobs.process import Started, start

EVERY = 1.0  # seconds between two looks


def show(
    command: str,
    add_arguments: arguments.AddArguments,
    check: Callable[[Any], Any],
    words: list[str],
    title: str,
) -> None:
    """A button that starts `vit-keras <command>` with these words, and how that ended.

    Args:
        command: such as `evaluate`.
        add_arguments: declares its arguments.
        check: refuses wrong settings, without Keras.
        words: of the command line.
        title: of the button.
    """
    st.code(command_line(command, words), language="bash", wrap_lines=True)
    key = f"script {command}"
    started: Started | None = st.session_state.get(key)
    is_busy = started is not None and started.process.poll() is None
    if st.button(title, type="primary", key=f"{key} start", disabled=is_busy):
        with show_errors():
            check(arguments.parse(command, add_arguments, words))
            st.session_state[key] = start(command, words)
            st.rerun()
    if started is not None and is_busy:
        st.fragment(_follow, run_every=EVERY)(started)
    elif started is not None and started.words == words:
        _ended(started)


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
