"""Send to MLflow what a run directory has and MLflow does not, however often it is called."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit_keras.config.schema import Config
from vit_keras.runs import history, run_end
from vit_keras.runs.archive import files_to_archive
from vit_keras.runs.describe import environment, flatten_settings
from vit_keras.runs.run_dir import (
    BASELINE,
    FOLDS,
    PROGRESS,
    config_of_run,
    read_json,
    read_or_default,
)
from vit_keras.text import first_line
from vit_keras.tracking import store
from vit_keras.tracking.state import FILE, LOCK, TrackingState, locked, read_state

KEY = "vit_keras.key"  # tag by which a run is found
CHANGED = "changed."  # tag of a parameter that a resumption changed: MLflow's are for ever
PARENT = "mlflow.parentRunId"
FAULT = 200  # characters of a message about a failure, which repeats the request
LONGEST = 6000  # characters of a parameter in MLflow
PARAMETERS = 100  # in one request
EPOCHS = 50  # in one request, of 1,000 metrics at most
STATUS = {  # why a training ended -> MLflow's status
    **dict.fromkeys(run_end.COMPLETE, "FINISHED"),
    **dict.fromkeys(run_end.STOPPED, "KILLED"),
}
NOT_SENT = (FILE, LOCK, PROGRESS, BASELINE, FOLDS)  # the last two hold runs of their own


class RunSync:
    """The way of one run directory to MLflow.

    Attributes:
        path: the run directory.
        config: its settings.
        state: what has arrived.
    """

    def __init__(self, path: Path, uri: str | None = None, experiment: str | None = None) -> None:
        """Read a run directory; nothing is sent yet.

        Args:
            path: the run directory.
            uri: of the store; None for where it was sent before, or what its settings say.
            experiment: None for what its settings say.

        Raises:
            SettingError: the directory is no run.
        """
        self.path, self.config = path, config_of_run(str(path))
        asked, kept = uri or self.config.tracking.uri, read_state(path)
        uri = store.absolute_store(asked) if asked else kept.uri if kept else None
        uri = uri or store.store_of(self.config)
        self.state = kept if kept and kept.uri == uri else TrackingState(uri)
        self.experiment = experiment or self.config.tracking.experiment or self.config.name
        self._client: Any = None
        self._is_described = False

    def send(self, is_end: bool = False) -> str:
        """Send what is new.

        Args:
            is_end: also the files, and how the run ended.

        Returns:
            Why not all could be sent; empty if it was.
        """
        fault = ""
        try:
            self._send(is_end)
        except Exception as error:  # of MLflow, the network, a database or a disk
            fault = first_line(error)[:FAULT]
        if fault != self.state.fault:
            self.state.fault = fault
            self.state.write(self.path)
        return fault

    def _send(self, is_end: bool) -> None:
        if self._client is None:
            self._client = store.client(self.state.uri)
        if not self._is_described:
            self._describe()
            self._is_described = True
        self._send_epochs()
        if not is_end:
            return
        self._send_results()
        if self.config.tracking.artifacts:
            self._send_files()
        end = run_end.read_end(self.path)
        status = STATUS.get(end.reason, "FAILED") if end else "KILLED"
        self._client.set_terminated(self.state.run_id, status)
        if parent := self._client.get_run(self.state.run_id).data.tags.get(PARENT):
            self._client.set_terminated(parent, "FINISHED")
        self.state.status = status
        self.state.write(self.path)

    def _describe(self) -> None:
        """Make the run, or go on with it, and send its parameters and tags."""
        from mlflow.entities import RunTag

        self.state.status = ""
        if not self.state.run_id:
            self.state.write(self.path)  # the key, before the run has it
            self.state.run_id = self._create()
            self.state.write(self.path)
        run_id, client = self.state.run_id, self._client
        client.update_run(run_id, status="RUNNING")
        if parent := client.get_run(run_id).data.tags.get(PARENT):
            client.update_run(parent, status="RUNNING")
        self._send_parameters()
        described = read_or_default(environment, self.path, {})
        tags = [RunTag(name, _text(value)) for name, value in described.items()]
        if commit := described.get("git_commit"):
            tags.append(RunTag("mlflow.source.git.commit", commit))
        client.log_batch(run_id, tags=tags)
        if fingerprint := described.get("data_fingerprint"):
            self._send_data_set(str(fingerprint), described)

    def _create(self) -> str:
        """Make the run in MLflow, unless it is there from an attempt without an answer."""
        experiment = store.experiment_id(self._client, self.state.uri, self.experiment)
        tags = {"mlflow.source.name": "vit-keras", "run_dir": str(self.path)}
        name, sweep = self.path.name, self.config.tracking.sweep
        if sweep is not None:
            tags[PARENT] = self._parent(experiment, sweep)
            name = f"{sweep}/{name}"
        return _find_or_create(self._client, experiment, self.state, name, tags)

    def _parent(self, experiment: str, sweep: str) -> str:
        """The run of the sweep, which is kept in the folder that its runs are in."""
        folder, uri = self.path.parent, self.state.uri
        with locked(folder):
            kept = read_state(folder)
            state = kept if kept and kept.uri == uri else TrackingState(uri)
            if not state.run_id:
                state.write(folder)
                state.run_id = _find_or_create(self._client, experiment, state, sweep, {})
                state.write(folder)
        return state.run_id

    def _send_parameters(self) -> None:
        from mlflow.entities import Param

        kept = self._client.get_run(self.state.run_id).data.params
        current = {name: _text(value) for name, value in parameters(self.config).items()}
        new = [Param(name, value) for name, value in current.items() if name not in kept]
        for start in range(0, len(new), PARAMETERS):
            part = new[start : start + PARAMETERS]
            self._client.log_batch(self.state.run_id, params=part)
        for name in current.keys() & kept.keys():
            if current[name] != kept[name]:
                self._client.set_tag(self.state.run_id, f"{CHANGED}{name}", current[name])

    def _send_data_set(self, fingerprint: str, described: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput

        data = self.config.data
        counts = {k: v for k, v in described.items() if k.startswith("images.")}
        one = Dataset(data.name, fingerprint[:36], "local", str(data.path or data.name), None)
        one._profile = _text(counts)
        self._client.log_inputs(self.state.run_id, [DatasetInput(one)])

    def _send_epochs(self) -> None:
        from mlflow.entities import Metric

        rows = history.read_history(self.path)
        times = list(_times(rows, self.state.started))
        while self.state.epochs < len(rows):
            first = self.state.epochs
            part = slice(first, first + EPOCHS)
            metrics = [
                Metric(name, value, at, int(row["epoch"]))
                for row, at in zip(rows[part], times[part], strict=True)
                for name, value in row.items()
                if isinstance(value, float) and name != "epoch"
            ]
            self._client.log_batch(self.state.run_id, metrics=metrics)
            self.state.epochs = min(len(rows), first + EPOCHS)
            self.state.write(self.path)

    def _send_results(self) -> None:
        from mlflow.entities import Metric

        found = read_or_default(read_json, self.path / "metrics.json", {})
        rows = read_or_default(history.read_history, self.path, [])
        by_epoch = rows[0].keys() if rows else ()
        at, step = self.state.started, int(found.get("best_epoch", 0))
        numbers = {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
            if name not in by_epoch  # the median speed, which is no epoch's
        }
        metrics = [Metric(name, value, at, step) for name, value in numbers.items()]
        self._client.log_batch(self.state.run_id, metrics=metrics)

    def _send_files(self) -> None:
        """Every file that is new or has changed since it was sent."""
        for file in files_to_archive(self.path):
            name = file.relative_to(self.path)
            if name.parts[0] in NOT_SENT:
                continue
            found = os.stat(file)
            version = [found.st_mtime_ns, found.st_size]
            if self.state.files.get(name.as_posix()) == version:
                continue
            folder = name.parent.as_posix()
            self._client.log_artifact(
                self.state.run_id, str(file), None if folder == "." else folder
            )
            self.state.files[name.as_posix()] = version
            self.state.write(self.path)


def parameters(config: Config) -> dict[str, Any]:
    """Dotted name -> value of every setting of a run that says how it is trained."""
    found = flatten_settings(config)
    return {name: value for name, value in found.items() if not name.startswith("distribute.")}


def _find_or_create(
    client: Any, experiment: str, state: TrackingState, name: str, tags: dict[str, str]
) -> str:
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{state.key}'", max_results=1)
    if found:
        return found[0].info.run_id
    named = {**tags, KEY: state.key}
    return client.create_run(experiment, state.started, named, name).info.run_id


def _times(rows: list[dict[str, Any]], started: int) -> Iterator[int]:
    """Milliseconds since 1970 at the end of each epoch, by what the epochs before it took."""
    seconds = 0.0
    for row in rows:
        took = row.get("seconds", 0.0)
        seconds += took if isinstance(took, float) else 0.0
        yield started + int(1000 * seconds)


def _text(value: Any) -> str:
    return str(value)[:LONGEST]


def pending(state: TrackingState, path: Path) -> int:
    """Number of epochs of a run that have not arrived."""
    return max(0, len(read_or_default(history.read_history, path, [])) - state.epochs)
