"""Describe one run from its files: settings, architecture, data, stages and environment."""

import json
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from vit_keras.config import stages as config_stages
from vit_keras.config.schema import Config, ModelConfig
from vit_keras.errors import SettingError
from vit_keras.model.architecture import VARIANTS
from vit_keras.runs import history, run_end
from vit_keras.runs.listing import ROOT, find_run
from vit_keras.runs.run_dir import read_json, read_or_default
from vit_keras.runs.run_end import RunEnd
from vit_keras.runs.saved_run import MODEL, model_layers
from vit_keras.runs.status import RunState

ENVIRONMENT = "environment.json"


@dataclass(frozen=True)
class StageSummary:
    """One stage: what was trainable, its number of epochs, and the accuracy reached."""

    name: str
    trainable: str
    epochs: int
    epochs_done: int
    best_val_accuracy: float | None


@dataclass(frozen=True)
class Description:
    """A run; parts that its files do not contain are empty.

    Attributes:
        run: its status and metrics.
        settings: those that differ from the defaults, without the model's and data's.
        architecture: sizes and options that are set, including those of a named variant.
        input_shape: (X, Y, C) of the model's images; None before a model is saved.
        data: data settings that differ from the defaults.
        class_names: in the order of the logits.
        stages: in order; a run without stages has one.
        environment: versions, device, precision, commit, data fingerprint, command.
        files: name -> bytes of each file or sub-folder.
        end: how the training ended, if that is recorded.
    """

    run: RunState
    settings: dict[str, Any]
    architecture: dict[str, Any]
    input_shape: tuple[int, ...] | None
    data: dict[str, Any]
    class_names: list[str]
    stages: list[StageSummary]
    environment: dict[str, Any]
    files: dict[str, int]
    end: RunEnd | None = None


def describe(name: str, root: str | Path = ROOT) -> Description:
    """Describe the run `name` in `root`, or the run in the folder `name`; broken runs included.

    Raises:
        SettingError: there is no such folder.
    """
    run = find_run(name, root)
    config = run.config
    settings = non_default_settings(config) if config else {}
    rest = {k: v for k, v in settings.items() if not k.startswith(("model.", "data.", "stages."))}
    data = {k: v for k, v in settings.items() if k.startswith("data.")}
    if config:
        data = {"data.name": config.data.name, **data}
    return Description(
        run=run,
        settings=rest,
        architecture=_architecture(config.model) if config else {},
        input_shape=input_shape(run.path / MODEL),
        data=data,
        class_names=_class_names(run.path),
        stages=_stages(run),
        environment=read_or_default(environment, run.path, {}),
        files={path.name: size_of(path) for path in sorted(run.path.iterdir())},
        end=run_end.read_end(run.path),
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; symbolic links count as 0."""
    if path.is_symlink():
        return 0
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def _architecture(model: ModelConfig) -> dict[str, Any]:
    """Options that are set; a pretrained file decides the others."""
    values = {item.name: (getattr(model, item.name), item.default) for item in fields(model)}
    own = {name: value for name, (value, default) in values.items() if value != default}
    return {**VARIANTS.get(str(model.variant), {}), **own}


def input_shape(file: Path) -> tuple[int, ...] | None:
    """(X, Y, C) from the configuration inside the model file, without Keras."""
    try:
        return tuple(model_layers(file, "InputLayer")[0]["config"]["batch_shape"][1:])
    except (IndexError, KeyError, TypeError):
        return None


def _class_names(path: Path) -> list[str]:
    try:
        return list(map(str, json.loads((path / "class_mapping.json").read_text("utf-8")).values()))
    except (OSError, ValueError, AttributeError):
        return []


def _stages(run: RunState) -> list[StageSummary]:
    if run.config is None:
        return []
    rows = read_or_default(history.read_history, run.path, [])
    facts = []
    for stage in config_stages.plan(run.config):
        # Runs older than stages have no such column, and one stage.
        own = [row for row in rows if row.get("stage", stage.name) == stage.name]
        reached = max((row["val_accuracy"] for row in own), default=None)
        blocks = "the last block" if stage.blocks == 1 else f"the last {stage.blocks} blocks"
        what = blocks if stage.kind == "last" else stage.kind
        if stage.image_size is not None:
            what += " on images of {} x {} pixels".format(*stage.image_size)
        facts.append(StageSummary(stage.name, what, stage.epochs, len(own), reached))
    return facts


def flatten_settings(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value of every setting, such as `stages.head.epochs`.

    Without `run.*` and `tracking.*`, which say where a run is and not what it is.
    """
    result: dict[str, Any] = {}
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        if name in ("run", "tracking"):
            continue
        if is_dataclass(value):
            result |= flatten_settings(value, f"{name}.")
        elif name == "stages":
            for stage, settings in value.items():
                result |= flatten_settings(settings, f"stages.{stage}.")
        else:
            result[name] = value
    return result


def non_default_settings(config: Config) -> dict[str, Any]:
    """The settings that differ from their defaults."""
    defaults = flatten_settings(Config())
    return {
        name: value
        for name, value in flatten_settings(config).items()
        if name not in defaults or value != defaults[name]
    }


def environment(run: Path) -> dict[str, Any]:
    """Environment of a run, packages as `packages.keras`, and the images of each split likewise.

    It is empty before training started.

    Raises:
        SettingError: `environment.json` is damaged.
    """
    file = run / ENVIRONMENT
    if not file.exists():
        return {}
    try:
        found = read_json(file)
        groups = {"images": found.get("images", {}), "packages": found["packages"]}
        parts = {
            f"{group}.{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"{file} is damaged ({error}); restore an intact copy of it") from None
    return {**{name: value for name, value in found.items() if name not in groups}, **parts}
