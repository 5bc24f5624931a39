"""A `vit-keras` command in a process of its own."""

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.queue import PROGRAM
from vit_keras.studio.jobs.runner import SECRETS


@dataclass
class Started:
    """A process and what it prints; the file is gone when nobody looks any more."""

    words: list[str]
    process: subprocess.Popen
    output: Any = field(repr=False)

    @property
    def said(self) -> str:
        return live_run.tail(Path(self.output.name))


def start(command: str, words: list[str]) -> Started:
    """The command's process, in a session of its own.

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
        [*PROGRAM, command, *words],
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    return Started(words, process, output)
