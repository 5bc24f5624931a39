"""Estimate parameters, memory and time of the chosen settings by `vit-keras estimate`."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO

import streamlit as st

from vit_keras.cli.sweep import PROGRAM
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.command import Command
from vit_keras.studio.jobs.runner import SECRETS
from vit_keras.text import format_duration

UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}  # of `format_duration`, in seconds
ESTIMATE = "estimate"  # session key of the last `RunningEstimate`


@dataclass
class RunningEstimate:
    """A process of `vit-keras estimate` with the overrides it was started with."""

    words: tuple[str, ...]
    process: subprocess.Popen
    output: IO[str]

    def lines(self) -> list[str]:
        """Lines that the process printed, once it has ended."""
        self.output.seek(0)
        return self.output.read().splitlines()


def show(command: Command, runs: int = 1) -> None:
    """Show a button that starts an estimate, and the last estimate of these settings.

    Args:
        command: of the training.
        runs: how many a sweep trains, each like the estimated one.
    """
    words = command.fixed_words()
    if st.button("Estimate memory and time", key="estimate_button", help="runs a few real steps"):
        _start(words)
    estimate: RunningEstimate | None = st.session_state.get(ESTIMATE)
    if estimate is None:
        return
    is_running = estimate.process.poll() is None
    if estimate.words != words:
        if is_running:
            estimate.process.kill()
            del st.session_state[ESTIMATE]
            st.info("The settings have changed; start the estimate again.")
        return
    st.fragment(_show_result, run_every=1.0 if is_running else None)(estimate, is_running, runs)


def _start(words: tuple[str, ...]) -> None:
    previous: RunningEstimate | None = st.session_state.get(ESTIMATE)
    if previous is not None and previous.process.poll() is None:
        previous.process.kill()
    output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        [*PROGRAM, "estimate", *words],
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    st.session_state[ESTIMATE] = RunningEstimate(words, process, output)


def _show_result(estimate: RunningEstimate, was_running: bool, runs: int) -> None:
    with show_errors():
        if estimate.process.poll() is None:
            st.info("Measuring a few real steps: half a minute, more for a large model.")
            if st.button("Cancel", key="cancel_estimate"):
                estimate.process.kill()
                del st.session_state[ESTIMATE]
                st.rerun()
            return
        if was_running:
            st.rerun()
        lines = estimate.lines()
        if estimate.process.returncode == 0:
            rows = [
                f"| {name} | {escape_markdown(value)} |"
                for name, _, value in (line.partition(": ") for line in lines)
                if name in ("parameters", "memory", "time", "speed")
            ]
            if runs > 1:
                rows.append(f"| all {runs} runs | {escape_markdown(_total(lines, runs))} |")
            st.markdown("\n".join(["| estimate | |", "|:--|:--|", *rows]))
        else:
            printed = [line for line in lines if line.strip()] or ["the process was killed"]
            st.error(escape_markdown(printed[-1].removeprefix("error: ")))


def _total(lines: list[str], runs: int) -> str:
    """The time of several runs like the one of an estimate's lines: `about 1 h 20 min`."""
    printed = next(line for line in lines if line.startswith("time: "))
    parts = re.findall(r"(\d+) (d|h|min|s)\b", printed.partition(": ")[2].partition(" = ")[0])
    return f"about {format_duration(runs * sum(int(count) * UNITS[unit] for count, unit in parts))}"
