"""Start a `vit-keras` command in its own process."""

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vit_keras.cli.sweep import PROGRAM
from vit_keras.errors import SettingError
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.runner import SECRETS


@dataclass
class Started:
    """A process with the temporary file of its output, deleted together with this object."""

    words: list[str]
    process: subprocess.Popen
    output: Any = field(repr=False)

    @property
    def printed(self) -> str:
        return live_run.tail(Path(self.output.name))


def start(command: str, words: list[str]) -> Started:
    """Start a command in its own session, so that Ctrl-C does not reach it.

    Raises:
        SettingError: there is no disk space for its output.
    """
    try:
        output = tempfile.NamedTemporaryFile(prefix="studio-", suffix=".txt")  # noqa: SIM115
    except OSError as error:
        raise SettingError(
            f"{tempfile.gettempdir()} cannot be written to ({error.strerror}); free disk space"
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
