"""What a folder is, as a run: finished, in progress, stopped or broken, and for what reason.

Nothing here imports Keras, and nothing is written.
"""

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import model_fault
from vit_keras.runs import history
from vit_keras.runs.run_dir import CHECKPOINTS, CONFIG, LOCK, Run, read_config
from vit_keras.runs.saved_run import MODEL, SavedRun, class_names

# The states of a folder, and what each means.
STATES = {
    "finished": "trained, and measured on the test split",
    "in progress": "held by a training process",
    "stopped": "an epoch or more is done, and the model of the best one is there",
    "begun": "stopped before its first epoch ended",
    "empty": "a folder without anything in it",
    "broken": "a run that cannot be used as it is",
    "no run": "something else",
}
# What a run leaves; a folder with one of these is a run, or was one.
TRACES = (MODEL, "last.keras", "checkpoint", "history.csv", "class_mapping.json")


@dataclass(frozen=True)
class RunState:
    """One folder.

    Attributes:
        name: its path within the folder of runs.
        path: where it is.
        state: a key of `STATES`.
        reason: why it is broken, or how far it has come.
        config: its settings; None if they cannot be read.
        metrics: name -> figure, as `metrics.json` has it, else by its history so far.
    """

    name: str
    path: Path
    state: str
    reason: str = ""
    config: Config | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether it has figures that can be believed."""
        is_real = self.config is None or not self.config.train.overfit_batches
        return is_real and self.state in ("finished", "in progress", "stopped")


def run_status(path: Path, name: str, whole: bool = False) -> RunState:
    """What the folder `path` is.

    Args:
        path: the folder.
        name: what the result is called.
        whole: also read a large model to its end; see `archives.model_fault`.
    """
    config = None
    try:
        if not os.path.isfile(path / CONFIG):  # or it may not be asked
            return RunState(name, path, *_without_config(path))
        config = read_config(path / CONFIG)
        state, reason = _with_config(path, config, whole)
        return RunState(name, path, state, reason, config, _metrics(path, config))
    except SettingError as error:
        return RunState(name, path, "broken", _in_short(error, path), config)
    except RecursionError:  # of a file nested without end; others are to be listed all the same
        return RunState(name, path, "broken", "a file of it is nested too deep", config)


def _without_config(path: Path) -> tuple[str, str]:
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        return "no run", f"cannot be looked into ({error.strerror})"
    if is_held(path):
        return "in progress", "about to begin"
    if not names:
        return "empty", ""
    if all(name == LOCK or name.startswith(".new-") for name in names):
        return "begun", "stopped before its settings were written"
    return "broken" if names & {*TRACES} else "no run", f"it has no {CONFIG}"


def _with_config(path: Path, config: Config, whole: bool) -> tuple[str, str]:
    """Its state and the reason.

    Raises:
        SettingError: it is broken.
    """
    last, total = _last_epoch(path), stages.total_epochs(config)
    has_ended, has_model = (path / "metrics.json").exists(), (path / MODEL).exists()
    done = len(history.read(path))
    if is_held(path):
        return "in progress", f"epoch {min(done + 1, total)} of {total}"
    if not (last or has_ended or has_model):
        return "begun", "stopped before its first epoch ended; run.resume starts it again"
    saved = SavedRun(path.resolve(), config, class_names(path))
    fault = model_fault(path / MODEL, whole)
    if fault and (has_ended or has_model):  # else it was killed before it wrote the first one
        raise SettingError(fault)
    saved.temperature  # noqa: B018  (reads a file that may be damaged)
    if has_ended:
        tried = config.train.overfit_batches
        return "finished", f"validated on its {tried} training batches" if tried else ""
    if not last:
        return "stopped", f"after {done} of {total} epochs; no whole checkpoint to go on from"
    return "stopped", f"at epoch {last} of {total}; run.resume goes on"


def is_held(path: Path) -> bool:
    """Whether a process holds the run in `path`."""
    if not (path / LOCK).exists():  # asking for it would make it
        return False
    try:
        Run(path).close()
    except SettingError:
        return True
    except OSError:  # somebody else's, who may hold it or not
        return False
    return False


def _last_epoch(path: Path) -> int:
    """The epoch of the newest whole checkpoint, from 1 on; 0 without one."""
    for file in sorted(path.glob(CHECKPOINTS), reverse=True):
        number = file.stem.removeprefix("epoch-")
        if number.isdecimal() and zipfile.is_zipfile(file):
            return int(number)
    return 0


def _metrics(path: Path, config: Config) -> dict[str, float]:
    """Of one that has ended, what `metrics.json` has; of another, what its history says."""
    if (path / "metrics.json").exists():
        found = SavedRun(path.resolve(), config, []).metrics
        if not isinstance(found, dict):
            raise SettingError(f"{path / 'metrics.json'} is damaged: it is no list of figures")
        is_figure = {k: isinstance(v, int | float) for k, v in found.items()}
        return {name: value for name, value in found.items() if is_figure[name]}
    rows = history.read(path)
    if not rows:
        return {}
    best = history.best_epoch(rows)
    return {
        "best_val_accuracy": next(row["val_accuracy"] for row in rows if row["epoch"] == best),
        "best_epoch": int(best),
        "epochs": len(rows),
    }


def _in_short(error: SettingError, path: Path) -> str:
    """What is wrong: not where, which is beside it, and not the way out."""
    text, _, _ = str(error).partition("; ")
    for place in (f"{path}/", f"{path.resolve()}/"):
        text = text.removeprefix(place)
    return text.replace(f"run={path} has", "it has", 1)
