"""Parameters, memory and time of what is chosen: `vit-keras estimate`, in its own process."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO

import streamlit as st

from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.command import Command
from vit_keras.studio.jobs.queue import PROGRAM
from vit_keras.studio.jobs.runner import SECRETS

KEPT = "estimate"  # in the session


@dataclass
class Measuring:
    """An estimate that was asked for, and of which words."""

    words: tuple[str, ...]
    process: subprocess.Popen
    output: IO[str]

    def lines(self) -> list[str]:
        """What it printed, once it has ended."""
        self.output.seek(0)
        return self.output.read().splitlines()


def show(command: Command) -> None:
    """A button, and what the last press of it gave for this command."""
    words = command.fixed_words()
    if st.button("Estimate memory and time", key="estimate_button", help="a few real steps"):
        _begin(words)
    measuring: Measuring | None = st.session_state.get(KEPT)
    if measuring is None:
        return
    is_running = measuring.process.poll() is None
    if measuring.words != words:  # of settings that are not those any more
        if is_running:
            measuring.process.kill()
            del st.session_state[KEPT]
            st.info("The settings are others now; ask for the estimate again.")
        return
    st.fragment(_result, run_every=1.0 if is_running else None)(measuring, is_running)


def _begin(words: tuple[str, ...]) -> None:
    before: Measuring | None = st.session_state.get(KEPT)
    if before is not None and before.process.poll() is None:
        before.process.kill()
    output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        [*PROGRAM, "estimate", *words],
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    st.session_state[KEPT] = Measuring(words, process, output)


def _result(measuring: Measuring, was_running: bool) -> None:
    with show_errors():
        if measuring.process.poll() is None:
            st.info("Measuring a few real steps: half a minute, more for a large model.")
            if st.button("Cancel", key="cancel_estimate"):
                measuring.process.kill()
                del st.session_state[KEPT]
                st.rerun()
            return
        if was_running:
            st.rerun()
        lines = measuring.lines()
        if measuring.process.returncode == 0:
            found = [line.partition(": ") for line in lines]
            known = [part for part in found if part[0] in ("parameters", "memory", "time", "speed")]
            rows = [f"| {what} | {escape_markdown(much)} |" for what, _, much in known]
            st.markdown("\n".join(["| estimate | |", "|:--|:--|", *rows]))
        else:
            said = [line for line in lines if line.strip()] or ["it was ended from outside"]
            st.error(escape_markdown(said[-1].removeprefix("error: ")))
