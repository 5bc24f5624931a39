"""Read the progress, metrics and log of a job from its files, any of which may be missing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from vit_keras.config import renamed_settings
from vit_keras.errors import SettingError
from vit_keras.runs import history, run_dir, run_end, tables
from vit_keras.runs.checkpoint_name import newest_position
from vit_keras.runs.run_dir import CONFIG, PROGRESS, SAMPLES, read_json, read_or_default
from vit_keras.runs.run_end import RunEnd
from vit_keras.runs.status import image_counts
from vit_keras.studio.jobs.queue import KILLED, RUNNING, STOPPED, Job, Jobs
from vit_keras.text import last_error

TAIL = 20_000  # bytes of a log that are shown
OUT_OF_MEMORY = "lower train.batch_size or data.image_size, and start a new training"
# Part of the last line of a failed training -> what to do.
REMEDIES = {
    "No space left on device": "free disk space, then resume it",
    "MemoryError": OUT_OF_MEMORY,
    "ResourceExhausted": OUT_OF_MEMORY,
    "OOM when allocating": OUT_OF_MEMORY,
}


@dataclass(frozen=True)
class RunView:
    """The present content of a run directory; a part that is missing is empty.

    Attributes:
        path: the directory.
        rows: rows of `history.csv`, one per epoch.
        progress: epoch and step that are being trained.
        metrics: metrics of a finished run.
        samples: labels of the sample images, and their predictions by epoch.
        end: how it ended, if that is recorded.
        images: number of each split.
    """

    path: Path
    rows: list[dict[str, Any]]
    progress: dict[str, Any]
    metrics: dict[str, Any]
    samples: dict[str, Any]
    end: RunEnd | None = None
    images: Mapping[str, int] = field(default_factory=dict)

    @property
    def fraction_done(self) -> float:
        """Fraction of all epochs that is done, 0 to 1."""
        if self.metrics:
            return 1.0
        epochs = self.progress.get("epochs")
        if not epochs:
            return 0.0
        done = self.progress["epoch"] - 1 + self.progress["step"] / max(1, self.progress["steps"])
        return min(1.0, done / epochs)


def view(path: Path) -> RunView:
    """Read a run directory."""
    rows = read_or_default(history.read_history, path, [])
    progress, metrics, samples = (_json(path / n) for n in (PROGRESS, "metrics.json", SAMPLES))
    end, images = run_end.read_end(path), image_counts(path)
    return RunView(path, rows, progress, metrics, samples, end, images)


def runs_of(job: Job) -> list[Path]:
    """The run directory of a job, or those of a sweep that have started, in order.

    Of `train.folds`, those of the folds that have started, and that of their ensemble at the end.
    """
    place = Path(job.place)
    if not job.swept:
        folds = run_dir.fold_dirs(place)
        is_whole = not folds or (place / "metrics.json").is_file()
        return [*folds, *([place] if is_whole else [])]
    found = [path for path in place.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def is_finishing(job: Job) -> bool:
    """Whether the result of a running job is written, and only its process has yet to end."""
    place = Path(job.place)
    if job.state != RUNNING or job.swept or run_dir.baseline_dir(place).is_dir():
        return False  # other runs of the same process may follow
    end = run_end.read_end(place)
    return end is not None and end.reason in run_end.COMPLETE


def failure_message(jobs: Jobs, job: Job) -> str:
    """Why a job that is over did not finish, and what to do."""
    if job.state == STOPPED and not job.has_begun:
        return "Taken out of the queue before it began. Start it puts it back."
    last = last_error(tail(jobs.output(job)))
    remedy = next((f"; {remedy}" for part, remedy in REMEDIES.items() if part in last), "")
    resume = (
        "Resume each run that had started by run.resume on the command line."
        if job.swept
        else f"Resume {_from_where(Path(job.place))}, with the same result as without an "
        "interruption."
    )
    if job.state == STOPPED:
        lost = " at once, without the steps since the last checkpoint" if job.is_kill_asked else ""
        return f"Stopped{lost}. {resume}"
    end = None if job.swept else run_end.read_end(Path(job.place))
    if end is not None and end.reason == run_end.SIGNAL:
        return f"The training was {end.message}. {resume}"
    if job.state == KILLED:
        return (
            "The training was killed from outside, or because memory ran out. "
            f"{resume} If memory ran out, start a new training with a smaller train.batch_size. "
        ) + last
    if job.state == "lost":
        return (
            "The training's process ended unobserved: it was killed from outside, or the machine "
            f"was restarted. {resume} {last}{remedy}"
        )
    last = last or (end.message if end else "")
    return (last or "The training failed without an error message; see the log.") + remedy


def _from_where(run: Path) -> str:
    """How a run that has ended goes on: from its last checkpoint, if there is one."""
    position = newest_position(run)
    if position is None:
        return "continues" if run_dir.fold_dirs(run) else "begins it again from the start"
    if position.step:
        where = f"in epoch {position.epochs + 1}, after step {position.step} of {position.steps}"
        return f"continues {where}"
    return f"continues after epoch {position.epochs}"


def tail(file: Path) -> str:
    """The end of a text file without terminal colors; empty if there is no file."""
    try:
        with open(file, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            text = stream.read().decode("utf-8", errors="replace")
            return re.sub(r"\x1b\[[0-9;]*m", "", text)
    except OSError:
        return ""


def _json(file: Path) -> dict[str, Any]:
    content = read_or_default(read_json, file, {})
    return content if isinstance(content, dict) else {}


def settings_of(path: Path, names: tuple[str, ...]) -> list[str]:
    """Values of some settings in the `config.yaml` of a run; empty if it cannot be read."""
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path / CONFIG))
        loaded = OmegaConf.create(
            renamed_settings.current_tree(tree) if isinstance(tree, dict) else {}
        )
    except (OSError, yaml.YAMLError, SettingError):
        return [""] * len(names)
    return [tables.format_setting(OmegaConf.select(loaded, name)) for name in names]
