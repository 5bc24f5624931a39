"""The settings of a pipeline: a YAML file, checked before anything slow. Imports no Keras."""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from vit_keras.config.compose import compose
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.config.yaml_file import read_fields
from vit_keras.errors import SettingError
from vit_keras.export.preflight import backend_name, check_format
from vit_keras.io import atomic
from vit_keras.predict.engines import ONNX
from vit_keras.registry.gate import read_gate
from vit_keras.registry.models import check_name
from vit_keras.runs.listing import ROOT
from vit_keras.tracking import store
from vit_keras.training import preflight
from vit_keras.validators import check_fields, field_types, setting

WORSE, ANY_REFUSAL = QUARANTINE = ("worse", "refused")
PATHS = ("incoming", "data", "runs", "gate")
# Settings of a training that the pipeline decides itself -> what to write instead.
DECIDED = {
    r"recipe=": "write recipe: in its own line",
    r"data=|data\.(name|path|\w+_column|fold)=": "the images are those of incoming",
    r"run\.": "the runs are in runs",
    r"tracking\.uri=": "write registry: in its own line",
    r"train\.folds=": "the gate compares single models",
}


@dataclass(frozen=True)
class PipelineSettings:
    """What a pipeline does. Paths are relative to the current directory.

    Raises:
        SettingError: a value is of another type, or out of its bounds.
    """

    name: str = setting(MISSING, "Of the registered model.")
    incoming: str = setting(MISSING, "New labelled images, a folder for each class.")
    data: str = setting("data", "What has been ingested, a version at a time.")
    runs: str = setting(ROOT, "The runs that are trained.")
    recipe: str = setting("folder", "By which a model is trained.")
    settings: list[str] = setting(list, "Settings of the training, such as train.epochs=5.")
    from_champion: bool = setting(True, "Start from the weights of the champion, if there is one.")
    new_classes: list[str] = setting(list, "Classes that may come up, beside those there are.")
    test_fraction: float = setting(
        0.2,
        "Of the first version, and of the images of a new class: what is tested on for ever.",
        above=0,
        at_most=0.9,
    )
    new_test_fraction: float = setting(
        0.0, "Of each later version: what the test images are extended by.", at_least=0, at_most=0.9
    )
    quarantine: str = setting(
        WORSE,
        "After which refusals new images are set aside: where the challenger is worse than the "
        "champion, or every one.",
        choices=QUARANTINE,
    )
    release: list[str] = setting(list, "Versions to train on although they were set aside.")
    leave_out: list[str] = setting(list, "Versions not to train on.")
    robustness_images: int = setting(
        1000, "Test images for the robustness to corruptions.", at_least=1
    )
    gate: str | None = setting(None, "A file of limits, as of vit-keras promote.", unset="defaults")
    registry: str | None = setting(
        None, "MLflow's store.", unset="MLFLOW_TRACKING_URI, or mlflow.db in runs"
    )
    command: str | None = setting(
        None, "Run with the report as its last argument when a challenger was decided on."
    )

    def __post_init__(self) -> None:
        schema: Any = type(self)
        for name, (kind, is_optional) in field_types(schema).items():
            _check_text(name, getattr(self, name), kind, is_optional)
        check_fields(self)

    @property
    def uri(self) -> str:
        """The address of the registry."""
        return store.absolute_store(self.registry or store.default_store(self.runs))

    def training(self, table: str | Path, run: str | Path) -> Config:
        """The settings of a training on a table of images; not checked against the images."""
        words = [
            *(f"recipe={self.recipe}", "data=csv", f"data.path={quote_override(table)}"),
            *(f"run.root={quote_override(self.runs)}", f"run.dir={quote_override(run)}"),
        ]
        return compose(*words, *self.settings)


def _check_text(name: str, value: Any, kind: Any, is_optional: bool) -> None:
    if kind is str and not isinstance(value, str) and not (is_optional and value is None):
        raise SettingError(f"{name}={value} is no text; write it in quotes, {name}: '{value}'")
    if kind != list[str]:
        return
    if not isinstance(value, list):
        raise SettingError(f"{name}={value} is no list; write {name}: [{value}]")
    for one in value:
        if not isinstance(one, str):
            raise SettingError(f"{name} has {one}, which is no text; write '{one}' in quotes")


def read_settings(file: str | Path) -> PipelineSettings:
    """The settings in a YAML file.

    Raises:
        SettingError: it cannot be read, or has an unknown name or a wrong value.
    """
    no_mapping = "has no settings; write name: and incoming:, a line each"
    found = read_fields(file, PipelineSettings, str(file), no_mapping)
    _check_needed(file, found)
    for name in PATHS:
        if isinstance(found.get(name), str):
            found[name] = os.path.expanduser(found[name])
    try:
        return PipelineSettings(**found)
    except SettingError as error:
        raise SettingError(f"{file}: {error}") from None


def _check_needed(file: str | Path, found: Mapping[str, Any]) -> None:
    for field in fields(PipelineSettings):
        is_needed = field.default is MISSING and field.default_factory is MISSING
        if is_needed and field.name not in found:
            help = str(field.metadata["help"]).removesuffix(".").lower()
            raise SettingError(f"{file}: {field.name} is missing; add it ({help})")


def check(settings: PipelineSettings) -> None:
    """Refuse settings with which a step would fail, before the first one.

    Raises:
        SettingError: naming the setting.
    """
    check_name(settings.name)
    _check_folders(settings)
    store.check_store(settings.uri, "registry")
    check_format(ONNX, backend_name())  # what is registered
    read_gate(settings.gate)
    for word in settings.settings:
        for pattern, way_out in DECIDED.items():
            if re.match(rf"[+~]*(?:{pattern})", word):
                raise SettingError(f"settings has {word}, which the pipeline decides; {way_out}")
    config = settings.training("images.csv", Path(settings.runs) / "new")
    if config.task == MULTILABEL:
        raise SettingError(
            "settings has task=multilabel, which the gate does not compare yet; train and promote "
            "by hand"
        )
    preflight.check_settings(config)


def _check_folders(settings: PipelineSettings) -> None:
    incoming, data = Path(settings.incoming), Path(settings.data)
    if not incoming.is_dir():
        where = "" if incoming.is_absolute() else f" in {Path.cwd()}"
        raise SettingError(
            f"incoming={incoming} is no folder{where}; make it, with a folder for each class"
        )
    one, other = incoming.resolve(), data.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise SettingError(
            f"incoming={incoming} and data={data} are in one another; choose folders beside each "
            "other"
        )
    for name in ("data", "runs"):
        asked = getattr(settings, name)
        atomic.check_folder(f"{name}={asked}", Path(asked))
