"""Checkpoints for an exact resume: the complete state of a run after an epoch, or within one.

Keras' own `save_weights` restores neither seed generators nor an unbuilt optimizer, so every
variable of the model and of the optimizer is stored, in order, with the history so far.
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.logs import log
from vit_keras.runs.checkpoint_name import Position
from vit_keras.runs.run_dir import CHECKPOINTS, Run, damaged_checkpoints

MAX_CHECKPOINTS = 2  # the newest, and the one before in case the newest is damaged
METRICS = "metrics/"  # before the name of what a metric adds up over an epoch
# Keras numbers an unnamed object by how many of its class were made before it in this process.
_AUTOMATIC = re.compile(r"(?<=seed_generator)_\d+")


def save_checkpoint(
    run: Run, epoch: int, model: keras.Model, state: dict[str, Any], step: int = 0, steps: int = 0
) -> None:
    """Write `checkpoint/epoch-<epoch>.npz`, then delete all but the newest `MAX_CHECKPOINTS`.

    Args:
        run: the run directory.
        epoch: the number of epochs that are done.
        model: compiled, with its optimizer built.
        state: what else to keep, as JSON.
        step: that are done of the next epoch, of `steps`; its metrics are kept too.
    """
    variables = _variables(model)
    if step:
        variables, state = variables | _metrics(model), {**state, "step": step}
    arrays = {key: keras.ops.convert_to_numpy(value) for key, value in variables.items()}
    with run.atomic_write(f"checkpoint/{Position(epoch, step, steps).file_name}") as path:
        # Under "kept", a name of the file format: the names of the others, and the history.
        header = {"names": list(arrays), "state": state}
        np.savez(path, kept=np.array(json.dumps(header)), **arrays)
    for old in _newest_first(run)[MAX_CHECKPOINTS:]:
        old.unlink()


class Checkpoint(NamedTuple):
    """A checkpoint in memory: variable values and the history up to it."""

    path: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps that are done of the epoch in progress; 0 after an epoch."""
        return self.state.get("step", 0)

    @property
    def stage(self) -> str:
        """Name of the stage that was trained."""
        return self.state.get("stage") or self.state["rows"][-1]["stage"]


def load_latest(run: Run) -> Checkpoint | None:
    """The newest intact checkpoint, or None before the first one.

    A damaged file (by its zip checksums) is skipped with a warning.

    Raises:
        SettingError: all of them are damaged.
    """
    found = _newest_first(run)
    for path in found:
        try:
            return Checkpoint(path, *_read(path))
        except UNREADABLE as error:
            log.warning("checkpoint %s is damaged (%s); trying the one before", path.name, error)
    if found:
        raise damaged_checkpoints(run.path)
    return None


def restore_checkpoint(source: Checkpoint, model: keras.Model) -> None:
    """Assign the values of `source` to `model`, which is compiled and has its optimizer built.

    Raises:
        SettingError: the checkpoint is of another model or optimizer.
    """
    arrays = {k: v for k, v in source.arrays.items() if not k.startswith(METRICS)}
    _assign(_variables(model), arrays, source.path)


def restore_metrics(source: Checkpoint, model: keras.Model) -> None:
    """Assign what the metrics of `model` had added up when its epoch was interrupted."""
    arrays = {k: v for k, v in source.arrays.items() if k.startswith(METRICS)}
    if len(model.metrics_variables) < len(arrays):
        # On TensorFlow, Keras builds metrics in the first step.
        outputs = keras.ops.zeros((1, model.vit.output_shape[-1]))
        model.compute_metrics(None, None, {"targets": outputs, "logits": outputs})
    _assign(_metrics(model), arrays, source.path)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"checksum of {damaged}")
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("kept")))
    if list(arrays) != header["names"]:  # the archive's own directory has no checksum
        raise ValueError("its directory")
    return arrays, header["state"]


def _assign(variables: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> None:
    shapes = {key: tuple(value.shape) for key, value in variables.items()}
    found = {key: value.shape for key, value in arrays.items()}
    for key in [*shapes, *found]:
        if shapes.get(key) != found.get(key):
            raise SettingError(
                f"{path} does not fit this model: {key} is {found.get(key, 'absent')} there and "
                f"{shapes.get(key, 'absent')} here; resume with the run's own config.yaml"
            )
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _variables(model: keras.Model) -> dict[str, Any]:
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}/{index:04d}/{_AUTOMATIC.sub('', variable.path)}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(_of_training(model, variables))
    }


def _metrics(model: keras.Model) -> dict[str, Any]:
    return {f"{METRICS}{i:04d}": variable for i, variable in enumerate(model.metrics_variables)}


def _of_training(model: keras.Model, variables: list[Any]) -> list[Any]:
    """Without those of metrics, which are reset each epoch and made by the first call, and of the
    teacher, which never change."""
    teacher = getattr(model, "teacher", None)
    others = model.metrics if teacher is None else [*model.metrics, teacher]
    left_out = {id(variable) for other in others for variable in other.variables}
    return [variable for variable in variables if id(variable) not in left_out]


def _newest_first(run: Run) -> list[Path]:
    return sorted(run.path.glob(CHECKPOINTS), reverse=True)
