"""What there is to see of a job, read from its files; any of them may be gone or half a run's."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from vit_keras.config import renamed_settings
from vit_keras.errors import SettingError
from vit_keras.runs import history, tables
from vit_keras.runs.run_dir import CONFIG, PROGRESS, SAMPLES, read_json, read_or_default
from vit_keras.studio.jobs.queue import Job, Jobs

TAIL = 20_000  # bytes of a log that are shown
# What the last lines of a training that failed may hold -> the way out.
WAYS_OUT = {
    "No space left on device": "make room on the disk, then go on with it",
    "MemoryError": "lower train.batch_size or data.image_size, and start anew",
    "ResourceExhausted": "lower train.batch_size or data.image_size, and start anew",
    "OOM when allocating": "lower train.batch_size or data.image_size, and start anew",
}


@dataclass(frozen=True)
class RunView:
    """A run directory as it stands.

    Attributes:
        path: the directory.
        rows: of `history.csv`, numbers as numbers.
        progress: of the epoch that is trained; empty between runs.
        metrics: of one that has ended.
        samples: images' labels, and what was predicted epoch by epoch.
    """

    path: Path
    rows: list[dict[str, Any]]
    progress: dict[str, Any]
    metrics: dict[str, Any]
    samples: dict[str, Any]

    @property
    def share(self) -> float:
        """Of all epochs that is done, 0 to 1."""
        if self.metrics:
            return 1.0
        epochs = self.progress.get("epochs")
        if not epochs:
            return 0.0
        done = self.progress["epoch"] - 1 + self.progress["step"] / max(1, self.progress["steps"])
        return min(1.0, done / epochs)


def view(path: Path) -> RunView:
    """What the directory has by now."""
    rows = read_or_default(history.read_history, path, [])
    return RunView(path, rows, *(_json(path / n) for n in (PROGRESS, "metrics.json", SAMPLES)))


def runs_of(job: Job) -> list[Path]:
    """The run directory of a job; of a sweep those that were begun, in order."""
    place = Path(job.place)
    if not job.swept:
        return [place]
    found = [path for path in place.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def failure_message(jobs: Jobs, job: Job) -> str:
    """What became of a job that is over and did not finish, and the way out."""
    last = _last_error(tail(jobs.output(job)))
    way = next((f"; {way}" for sign, way in WAYS_OUT.items() if sign in last), "")
    goes_on = (
        "Each of its runs that had begun can be gone on with by run.resume on the command line."
        if job.swept
        else "Resume goes on from the last whole epoch, as if nothing had been."
    )
    if job.state == "stopped":
        return f"Stopped. {goes_on}"
    if job.state == "killed":
        return (
            "The training's process was killed, by Kill, from outside, or by the system for want "
            f"of memory. {goes_on} If it was memory, start anew with a smaller train.batch_size. "
        ) + last
    if job.state == "lost":
        return (
            "The training's process is gone, and nobody saw how it ended: killed from outside, or "
            f"the machine was restarted. {goes_on} {last}{way}"
        )
    return (last or "The training failed and said nothing; the log has the rest.") + way


def _last_error(text: str) -> str:
    """The script's own error line, or the last one of a traceback."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if said:
        return said[-1]
    return lines[-1] if lines and "Traceback (most recent call last)" in text else ""


def tail(file: Path) -> str:
    """The end of a text file; nothing if it is not there."""
    try:
        with open(file, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            text = stream.read().decode("utf-8", errors="replace")
            return re.sub(r"\x1b\[[0-9;]*m", "", text)  # colours of a terminal
    except OSError:
        return ""


def _json(file: Path) -> dict[str, Any]:
    content = read_or_default(read_json, file, {})
    return content if isinstance(content, dict) else {}


def settings_of(path: Path, names: tuple[str, ...]) -> list[str]:
    """What a run's `config.yaml` says of some settings; nothing where it cannot be read."""
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path / CONFIG))
        loaded = OmegaConf.create(
            renamed_settings.current_tree(tree) if isinstance(tree, dict) else {}
        )
    except (OSError, yaml.YAMLError, SettingError):
        return [""] * len(names)
    return [tables.format_setting(OmegaConf.select(loaded, name)) for name in names]
