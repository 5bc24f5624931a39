"""Run a command on a run from a page: show its command line, its output, and how it ended.

The command runs in its own process, which continues if the page is closed, and writes its results
into the run.
"""

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from vit_keras.cli import arguments
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.command import command_line
from vit_keras.studio.jobs.process import Started, start

REFRESH_SECONDS = 1.0


def show(
    command: str,
    add_arguments: arguments.AddArguments,
    check: Callable[[Any], Any],
    words: list[str],
    title: str,
    is_next: bool = True,
) -> bool:
    """Show a button that starts `vit-keras <command> <words>`, and the outcome.

    Args:
        command: such as `evaluate`.
        add_arguments: declares the arguments of the command.
        check: refuses wrong settings, without importing Keras.
        words: arguments of the command line.
        title: label of the button.
        is_next: whether it is the button to click next, which is red.

    Returns:
        Whether results that are there already may be shown: nothing with these words failed.
    """
    # Without a language: the colour that options such as `--data` have in Bash lacks contrast.
    st.code(command_line(command, words), language=None, wrap_lines=True)
    key = f"script {command}"
    started: Started | None = st.session_state.get(key)
    is_busy = started is not None and started.process.poll() is None
    look: Literal["primary", "secondary"] = "primary" if is_next else "secondary"
    if st.button(title, type=look, key=f"{key} start", disabled=is_busy):
        with show_errors():
            check(arguments.parse(command, add_arguments, words))
            st.session_state[key] = start(command, words)
            st.rerun()
    if started is not None and is_busy:
        st.fragment(_show_progress, run_every=REFRESH_SECONDS)(started)
    elif started is not None and started.words == words:
        return _show_outcome(started)
    return started is None or started.words != words


def _show_progress(started: Started) -> None:
    if started.process.poll() is not None:
        st.rerun()
    st.info("Running; importing Keras alone takes some seconds.")
    lines = [line for line in started.printed.replace("\r", "\n").splitlines() if line.strip()]
    st.code(lines[-1] if lines else "no output yet", language=None, wrap_lines=True)


def _show_outcome(started: Started) -> bool:
    """Show how a command ended; whether it succeeded."""
    status, printed = started.process.returncode, started.printed
    if status == 0:
        st.success("Done.")
        return True
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    last = errors[-1].removeprefix("error: ") if errors else ""
    st.error(escape_markdown(last or f"The command failed with status {status}; its output:"))
    if not last:
        st.code(printed or "no output", language=None, wrap_lines=True, height=300)
    return False
