"""One run, described: settings, model, data, stages and what it ran on, from its own files.

The settings of a run as flat names, and what it ran on: to be described and compared.
"""

import json
import zipfile
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from vit_keras.config import stages as config_stages
from vit_keras.config.schema import Config, ModelConfig
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.model.architecture import VARIANTS
from vit_keras.runs import history
from vit_keras.runs.listing import ROOT, find_run
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.status import RunState


@dataclass(frozen=True)
class StageFacts:
    """One stage: what trained, for how long, and what was reached."""

    name: str
    trains: str
    epochs: int
    epochs_done: int
    best_val_accuracy: float | None


@dataclass(frozen=True)
class Description:
    """A run; what its files do not say is empty.

    Attributes:
        run: its state and figures.
        settings: those that differ from what they are unless set, the model's and data's aside.
        architecture: the sizes and switches that are set, those of a named variant too.
        input_shape: (X, Y, C) of the model's images, None before there is a model.
        data: the settings of the data that are set.
        class_names: in order.
        stages: in order; one where none are set.
        environment: versions, device, precision, commit, fingerprint of the data, command.
        files: name -> bytes of everything in the folder, a folder's in one.
    """

    run: RunState
    settings: dict[str, Any]
    architecture: dict[str, Any]
    input_shape: tuple[int, ...] | None
    data: dict[str, Any]
    class_names: list[str]
    stages: list[StageFacts]
    environment: dict[str, Any]
    files: dict[str, int]


def describe(name: str, root: str | Path = ROOT) -> Description:
    """Describe the run called `name` in `root`, or in the folder `name`; also one that is broken.

    Raises:
        SettingError: there is no such folder.
    """
    run = find_run(name, root)
    config = run.config
    settings = chosen(config) if config else {}
    rest = {k: v for k, v in settings.items() if not k.startswith(("model.", "data.", "stages."))}
    data = {k: v for k, v in settings.items() if k.startswith("data.")}
    if config:
        data = {"data.name": config.data.name, **data}
    return Description(
        run=run,
        settings=rest,
        architecture=_architecture(config.model) if config else {},
        input_shape=_input_shape(run.path / MODEL),
        data=data,
        class_names=_class_names(run.path),
        stages=_stages(run),
        environment=_if_whole(environment, run.path, {}),
        files={path.name: size_of(path) for path in sorted(run.path.iterdir())},
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links count for nothing."""
    if path.is_symlink():
        return 0
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def _architecture(model: ModelConfig) -> dict[str, Any]:
    """As it is set: of pretrained weights, the file says the rest."""
    values = {item.name: (getattr(model, item.name), item.default) for item in fields(model)}
    own = {name: value for name, (value, default) in values.items() if value != default}
    return {**VARIANTS.get(str(model.variant), {}), **own}


def _input_shape(file: Path) -> tuple[int, ...] | None:
    """(X, Y, C), as the model's own configuration has it: Keras is not needed for that."""
    try:
        with zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        shape = next(x["config"]["batch_shape"] for x in layers if x["class_name"] == "InputLayer")
        return tuple(shape[1:])
    except (*UNREADABLE, TypeError, StopIteration):
        return None


def _class_names(path: Path) -> list[str]:
    try:
        return list(map(str, json.loads((path / "class_mapping.json").read_text("utf-8")).values()))
    except (OSError, ValueError, AttributeError):
        return []


def _stages(run: RunState) -> list[StageFacts]:
    if run.config is None:
        return []
    rows = _if_whole(history.read, run.path, [])
    facts = []
    for stage in config_stages.plan(run.config):
        # Runs from before there were stages have no such column, and one stage.
        own = [row for row in rows if row.get("stage", stage.name) == stage.name]
        reached = max((row["val_accuracy"] for row in own), default=None)
        what = f"the last {stage.blocks} blocks" if stage.kind == "last" else stage.kind
        facts.append(StageFacts(stage.name, what, stage.epochs, len(own), reached))
    return facts


def _if_whole(read: Any, path: Path, otherwise: Any) -> Any:
    """What `read` reads, or `otherwise` where it is damaged: the run's state says that."""
    try:
        return read(path)
    except SettingError:
        return otherwise


ENVIRONMENT = "environment.json"


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """`{"data.name": "digits", ..., "stages.head.epochs": 5}`, but for where the run was put."""
    result: dict[str, Any] = {}
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        if name == "run":
            continue
        if is_dataclass(value):
            result |= flat(value, f"{name}.")
        elif name == "stages":
            for stage, settings in value.items():
                result |= flat(settings, f"stages.{stage}.")
        else:
            result[name] = value
    return result


def chosen(config: Config) -> dict[str, Any]:
    """The settings that differ from what they are unless set."""
    defaults = flat(Config())
    return {
        name: value
        for name, value in flat(config).items()
        if name not in defaults or value != defaults[name]
    }


def environment(run: Path) -> dict[str, Any]:
    """What the run ran on, its packages as `packages.keras`; empty before it had begun.

    Raises:
        SettingError: `environment.json` is damaged.
    """
    file = run / ENVIRONMENT
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        packages = {f"packages.{name}": version for name, version in found["packages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"{file} is damaged ({error}); put a whole copy of it back") from None
    return {**{name: value for name, value in found.items() if name != "packages"}, **packages}
