"""What a sweep's jobs leave in its folder: which job a run directory is of, and how it failed.

A scheduler such as Slurm starts a preempted job again, with the same words. Its record tells that
the run directory, which follows from the number of the job, is its own, and it goes on there.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from vit_keras.config.quoting import quote_override
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import run_dir, run_end

RECORDS = ".jobs"  # in the folder of the sweep
PATIENCE = 60  # seconds in which the job that was preempted has to let go of its run
folder: Path | None = None  # of the sweep that this process started


class SweepFolder(Callback):
    """Hydra calls it where a sweep is started, which may not be where its jobs run."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        global folder
        folder = Path(str(config.hydra.sweep.dir)).absolute()


@dataclass(frozen=True)
class Record:
    """A job.

    Attributes:
        sweep: id of the sweep.
        place: its run directory.
        words: overrides of its command.
        reason: why it failed; empty if it did not, or has not ended.
    """

    sweep: str
    place: str
    words: Sequence[str]
    reason: str = ""

    @property
    def file(self) -> Path:
        place = Path(self.place)
        return place.parent / RECORDS / f"{place.name}.json"


def write(record: Record) -> None:
    atomic.write_text(record.file, json.dumps(asdict(record), indent=2))


def read(folder: Path, sweep: str) -> list[Record]:
    """The records of a sweep, in the order of its jobs."""
    found = [_read(file) for file in (folder / RECORDS).glob("*.json")]
    ours = [one for one in found if one is not None and one.sweep == sweep]
    return sorted(ours, key=lambda one: (len(Path(one.place).name), one.place))


def _read(file: Path) -> Record | None:
    try:
        return Record(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_repeated(record: Record) -> bool:
    """Whether the same job was started before, by the same words."""
    earlier = _read(record.file)
    return earlier is not None and list(earlier.words) == list(record.words)


def words_to_go_on(record: Record) -> list[str]:
    """The overrides by which a job that is started again goes on; empty if it was complete."""
    place = Path(record.place)
    if not (place / run_dir.CONFIG).exists():
        return list(record.words)
    _wait_until_free(place)
    end = run_end.read_end(place)
    if end and end.reason in run_end.COMPLETE:
        return []
    if any(place.glob(run_dir.CHECKPOINTS)):
        # What belongs to the command, and not to the run.
        own = [word for word in record.words if word.startswith("distribute")]
        return [*own, f"run.resume={quote_override(record.place)}"]
    shutil.rmtree(place)  # it was ended before its first epoch
    return list(record.words)


def _wait_until_free(place: Path) -> None:
    """Wait for the process of the earlier attempt, which may still write its last checkpoint."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return run_dir.Run(place).close()
        except SettingError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
