"""Status of a run directory: finished, running, stopped, failed or broken, with the reason.

Imports no Keras and writes nothing.
"""

import contextlib
import os
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import model_fault
from vit_keras.runs import history, run_end
from vit_keras.runs.checkpoint_name import newest_position
from vit_keras.runs.run_dir import (
    CONFIG,
    LOCK,
    Run,
    read_config,
    read_json,
    read_or_default,
    read_paths,
)
from vit_keras.runs.run_end import RunEnd
from vit_keras.runs.saved_run import MODEL, SavedRun, class_names
from vit_keras.text import counted

# State -> what it means.
STATES = {
    "finished": "trained and evaluated on the test split",
    "running": "locked by a training process",
    "stopped": "at least one epoch is done and its best model is saved",
    "started": "stopped before its first epoch ended",
    "failed": "ended by an error, such as a loss that is not finite",
    "empty": "an empty folder",
    "broken": "a run with missing or damaged files",
    "no run": "any other folder",
}
_TRYING = threading.Lock()  # a second thread that tries a run's lock would find it locked
GOES_ON = "run.resume goes on from there"
# Files and folders that training writes: a folder with one of them is, or was, a run.
TRACES = (MODEL, "last.keras", "checkpoint", "history.csv", "class_mapping.json", run_end.END)


@dataclass(frozen=True)
class RunState:
    """Status of one folder.

    Attributes:
        name: path relative to the folder of runs.
        path: the folder.
        state: a key of `STATES`.
        reason: why it is broken, how far training got, or why it ended.
        config: its settings; None if they cannot be read.
        metrics: name -> value, from `metrics.json`, or from the history of an unfinished run.
        trained: when its training ended, or last wrote something: seconds since 1970.
        fingerprint: of the images and labels; empty if it is not recorded.
        data_path: absolute path of its data when it was trained, if `data.path` is a relative one.
    """

    name: str
    path: Path
    state: str
    reason: str = ""
    config: Config | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    trained: float = 0.0
    fingerprint: str = ""
    data_path: str = ""

    @property
    def is_run(self) -> bool:
        """Whether it is, or was to be, a run, and not some other folder."""
        return self.state not in ("empty", "no run")

    @property
    def is_usable(self) -> bool:
        """Whether its metrics can be ranked; those of an overfitting check cannot."""
        is_real = self.config is None or not self.config.train.overfit_batches
        return is_real and self.state in ("finished", "running", "stopped", "failed")


def run_status(path: Path, name: str, full_check: bool = False) -> RunState:
    """Status of the folder `path`.

    Args:
        path: the folder.
        name: name of the result.
        full_check: read a model file to its end even if it is large; see `zip_files.model_fault`.
    """
    config = None
    facts: dict[str, Any] = {}
    try:
        facts["trained"] = _time_trained(path)
        if not os.path.isfile(path / CONFIG):  # False also where access is denied
            return RunState(name, path, *_status_without_config(path), **facts)
        config = read_config(path / CONFIG)
        facts |= _data_facts(path)
        state, reason = _status_with_config(path, config, full_check)
        return RunState(name, path, state, reason, config, _metrics(path, config), **facts)
    except SettingError as error:
        return RunState(name, path, "broken", _short_reason(error, path), config, **facts)
    except RecursionError:  # one hostile file must not stop the listing of the others
        text = "one of its files is nested too deeply"
        return RunState(name, path, "broken", text, config, **facts)


def _time_trained(path: Path) -> float:
    """When the training ended, or its newest file was written; 0 if there is none."""
    end = run_end.read_end(path)
    with contextlib.suppress(ValueError):
        if end is not None:
            return datetime.strptime(end.time, run_end.TIME).timestamp()
    times = [0.0]
    for name in (CONFIG, "metrics.json", *TRACES):
        with contextlib.suppress(OSError):
            times.append(os.stat(path / name).st_mtime)
    return max(times)


def _data_facts(path: Path) -> dict[str, str]:
    """The fingerprint and the absolute path of the data, where they are recorded."""
    recorded = read_or_default(_fingerprint, path, "")
    return {"fingerprint": recorded, "data_path": str(read_paths(path).get("data.path") or "")}


def _fingerprint(path: Path) -> str:
    file = path / "environment.json"
    content = read_json(file) if file.is_file() else {}
    return str(content.get("data_fingerprint", "")) if isinstance(content, dict) else ""


def _status_without_config(path: Path) -> tuple[str, str]:
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        return "no run", f"cannot be read ({error.strerror})"
    if is_locked(path):
        return "running", "starting"
    if (end := run_end.read_end(path)) and end.is_failure:
        return "failed", end.cause
    if not names:
        return "empty", ""
    if all(name == LOCK or name.startswith(".new-") for name in names):
        return "started", "stopped before its settings were written"
    return "broken" if names & {*TRACES} else "no run", f"it has no {CONFIG}"


def _status_with_config(path: Path, config: Config, full_check: bool) -> tuple[str, str]:
    """State and reason of a run with readable settings.

    Raises:
        SettingError: the run is broken.
    """
    last, total = newest_position(path), stages.total_epochs(config)
    end = run_end.read_end(path)
    has_ended, has_model = (path / "metrics.json").exists(), (path / MODEL).exists()
    done = len(history.read_history(path))
    if is_locked(path):
        return "running", f"epoch {min(done + 1, total)} of {total}"
    if not (has_ended or has_model) and not (last and last.epochs):
        if last:  # stopped in the middle of its first epoch
            return _unfinished(end, last.text(total), GOES_ON, "started")
        return _unfinished(end, "before its first epoch ended", "run.resume restarts it", "started")
    saved = SavedRun(path.resolve(), config, class_names(path))
    fault = model_fault(path / MODEL, full_check)
    if fault and (
        has_ended or has_model
    ):  # without either it was killed before the first model was written
        raise SettingError(fault)
    saved.decision  # noqa: B018  (reads files that may be damaged)
    if has_ended and (end is None or end.reason in run_end.COMPLETE):
        return "finished", _finish(config, end)
    if not last:
        lost = "no usable checkpoint to resume from"
        return _unfinished(end, f"after {done} of {counted(total, 'epoch[s]')}", lost, "stopped")
    way_on = GOES_ON if last.step else "run.resume continues it"
    return _unfinished(end, last.text(total, between="at"), way_on, "stopped")


def _finish(config: Config, end: RunEnd | None) -> str:
    """What is to be known of a run that has finished; mostly nothing."""
    if config.train.overfit_batches:
        batches = counted(config.train.overfit_batches, "training batch[es]")
        return f"validated on its {batches}"
    if end is not None and end.reason == run_end.EARLY_STOPPING:
        return end.cause.partition(":")[0]
    return ""


def _unfinished(end: RunEnd | None, point: str, way_on: str, state: str) -> tuple[str, str]:
    """State and reason of a run that did not come to its end.

    Args:
        end: what is recorded of it; nothing after SIGKILL, or by an earlier version.
        point: how far it came.
        way_on: how to go on, where that can help.
        state: unless it failed.
    """
    if end is None or end.reason in run_end.COMPLETE:
        return state, f"stopped {point}, no reason recorded (killed?); {way_on}"
    reason = f"{end.cause}, {point}" + (f"; {way_on}" if end.is_resumable else "")
    return "failed" if end.is_failure else state, reason


def is_locked(path: Path) -> bool:
    """Whether a process has locked the run in `path`."""
    if not os.path.exists(os.path.join(path, LOCK)):  # acquiring the lock would create the file
        return False
    with _TRYING:
        try:
            Run(path).close()
        except SettingError:
            return True
        except OSError:  # owned by another user: cannot be known
            return False
    return False


def _metrics(path: Path, config: Config) -> dict[str, float]:
    """Metrics of `metrics.json`, or of the history of a run that has not finished."""
    if (path / "metrics.json").exists():
        found = SavedRun(path.resolve(), config, []).metrics
        if not isinstance(found, dict):
            raise SettingError(
                f"{path / 'metrics.json'} is damaged: it does not map names to numbers"
            )
        is_figure = {k: isinstance(v, int | float) for k, v in found.items()}
        return {name: value for name, value in found.items() if is_figure[name]}
    rows = history.read_history(path)
    if not rows:
        return {}
    asked = history.monitor_of(config)
    monitor = asked if asked in rows[0] else history.ACCURACY
    best = history.best_epoch(rows, monitor)
    reached = next(row for row in rows if row["epoch"] == best)
    return {
        "best_val_accuracy": reached["val_accuracy"],
        f"best_{monitor}": reached[monitor],
        "best_epoch": int(best),
        "epochs": len(rows),
        **{f"{name}_images": n for name, n in image_counts(path).items() if name == "validation"},
    }


def image_counts(path: Path) -> dict[str, int]:
    """Images of each split; empty before a run's data are read, and of an early version's run."""
    return read_or_default(_image_counts, path, {})


def _image_counts(path: Path) -> dict[str, int]:
    found = read_json(path / "environment.json").get("images", {})
    return {str(name): int(count) for name, count in found.items()}


def _short_reason(error: SettingError, path: Path) -> str:
    """The error without the path, which the listing shows beside it, and without the advice."""
    text, _, _ = str(error).partition("; ")
    for place in (f"{path}/", f"{path.resolve()}/"):
        text = text.removeprefix(place)
    return text.replace(f"run={path} has", "it has", 1)
