"""`tracking.json` of a run directory: what MLflow has of the run, and why it has no more."""

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from vit_keras.io import atomic

FILE = "tracking.json"
LOCK = ".tracking.lock"


@dataclass
class TrackingState:
    """What was sent.

    Attributes:
        uri: of the store.
        key: by which the run is found there, where the answer to its creation was lost.
        started: when the run began, in milliseconds since 1970; metrics have the time of their
            epoch after it, the same however often they are sent.
        run_id: of MLflow; empty before the run was made there.
        epochs: number of epochs that have arrived.
        files: name -> modification time in ns and size of each file as it arrived.
        status: MLflow's, when all of an ended run had arrived.
        fault: why something could not be sent; empty if all was.
    """

    uri: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: int = field(default_factory=lambda: int(1000 * time.time()))
    run_id: str = ""
    epochs: int = 0
    files: dict[str, list[int]] = field(default_factory=dict)
    status: str = ""
    fault: str = ""

    def write(self, folder: Path) -> None:
        """Write it into a run directory."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        atomic.write_text(folder / FILE, text + "\n", shared=False, flush=False)


def read_state(folder: Path) -> TrackingState | None:
    """The state of the run, or sweep, in a folder; None without one, or where it is damaged."""
    try:
        return TrackingState(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for another process that sends the same, as of a run that was killed and resumed."""
    with filelock.FileLock(folder / LOCK):
        yield
