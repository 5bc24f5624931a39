"""Open a trained run from its directory. Keras is imported only when the model is loaded."""

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.data.image_input import ImageInput
from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE, model_fault
from vit_keras.runs import history, paths
from vit_keras.runs.abstention import ABSTENTION, Abstention, read_abstention
from vit_keras.runs.run_dir import CONFIG, read_config, read_json, read_paths
from vit_keras.runs.temperature import TEMPERATURE, RunTemperature, read_temperature
from vit_keras.runs.thresholds import THRESHOLDS, RunThresholds, read_thresholds
from vit_keras.text import first_line

if TYPE_CHECKING:
    import keras


MODEL = "best.keras"
PACKAGE = "package.json"  # of a registered model: a run without its Keras files


@dataclass(frozen=True)
class SavedRun:
    """A run directory, read only.

    Attributes:
        path: the directory.
        config: its settings, with its paths as seen from here; settings that are newer than the
            run have their defaults.
        class_names: name of each logit, in order.
    """

    path: Path
    config: Config
    class_names: list[str]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Contents of `metrics.json`; empty for a run that has not finished."""
        file = self.path / "metrics.json"
        return read_json(file) if file.exists() else {}

    @cached_property
    def calibration(self) -> RunTemperature:
        """What its confidences are calibrated by: fitted by an evaluation, 1 before that.

        Raises:
            SettingError: temperature.json is damaged.
        """
        return read_temperature(self.path)

    @property
    def temperature(self) -> float:
        """The number that divides the logits (Guo et al. 2017)."""
        return self.calibration.value

    @cached_property
    def abstention(self) -> Abstention | None:
        """What its predictions abstain by: calibrated by an evaluation, None before that.

        Raises:
            SettingError: abstention.npz is damaged.
        """
        return read_abstention(self.path, self.temperature)

    @property
    def name(self) -> str:
        """The name of its folder, or of the one that a registered model was made of."""
        if self.is_package:
            return str(read_json(self.path / PACKAGE).get("run", self.path.name))
        return self.path.name

    @property
    def is_package(self) -> bool:
        """Whether it is what is registered of a run: exports without the model they are of."""
        return (self.path / PACKAGE).is_file()

    @property
    def is_multilabel(self) -> bool:
        """Whether it was trained by task=multilabel."""
        return self.config.task == MULTILABEL

    @cached_property
    def thresholds(self) -> RunThresholds | None:
        """From which probability on an image gets each of several labels; None of one label.

        Raises:
            SettingError: thresholds.json is damaged.
        """
        return read_thresholds(self.path, self.class_names) if self.is_multilabel else None

    @property
    def decision(self) -> str:
        """What a reader of its predictions should know of how they are decided, in a sentence."""
        return self.calibration.sentence if self.thresholds is None else self.thresholds.sentence

    @property
    def model_file(self) -> Path:
        """Path of the best model.

        Raises:
            SettingError: there is no model yet.
        """
        file = self.path / MODEL
        if not file.is_file():
            if history.read_history(self.path):
                raise SettingError(
                    f"run {self.path} has lost its {MODEL}; restore the file, or train again"
                )
            raise SettingError(
                f"run {self.path} has no {MODEL}: it was stopped before its first epoch ended; "
                f"resume it by run.resume={self.path}"
            )
        return file

    def check_data_path(self) -> None:
        """Refuse a run whose `data.path` is not found.

        Raises:
            SettingError: it is neither here nor where it was when the run was trained.
        """
        if fault := paths.data_fault(self.config, read_paths(self.path)):
            raise SettingError(
                f"run={self.path}: {fault}; bring the data back, or evaluate the run with data=... "
                "data.path=..."
            )

    def check_model(self) -> None:
        """Refuse a missing or damaged model file, without Keras.

        Raises:
            SettingError: the file is missing or damaged.
        """
        if fault := model_fault(self.model_file):
            raise SettingError(
                f"run={self.path} cannot be used: {fault}; name another run, or see its state by "
                f"vit-keras runs describe {self.path}"
            )

    def layer_names(self, class_name: str) -> list[str]:
        """Names of a class of layers in the model file, read without Keras; empty if unknown."""
        return [str(layer["name"]) for layer in model_layers(self.path / MODEL, class_name)]

    @cached_property
    def model(self) -> "keras.Model":
        """The model of the best validation accuracy: (B, X, Y, C) pixels -> (B, classes) logits.

        Raises:
            SettingError: there is no model yet, it is damaged, or its number of classes differs.
        """
        import keras

        file = self.model_file
        try:
            model = keras.models.load_model(file, compile=False)
        except Exception as error:  # errors of zipfile, h5py and Keras share no base class
            raise SettingError(
                f"{file} cannot be opened ({first_line(error)}); "
                "restore an intact copy of it, or train again"
            ) from None
        if model.output_shape[-1] != len(self.class_names):
            raise SettingError(
                f"{file} has {model.output_shape[-1]} classes, and class_mapping.json beside it "
                f"names {len(self.class_names)}; restore the file that belongs to this run"
            )
        # Known to what gets the model alone, such as `save_pretrained`.
        model.image_input = ImageInput.of_run(self.config.data, model.input_shape[1:])
        return model

    @property
    def image_input(self) -> ImageInput:
        """How an image comes to the input of the model."""
        return self.model.image_input


def open_run(directory: str | Path) -> SavedRun:
    """Open the run in `directory`.

    Raises:
        SettingError: the directory is not a run, is damaged, or was written by a newer version.
    """
    path = Path(directory).expanduser()
    if not (path / CONFIG).is_file():
        raise SettingError(
            f"run={directory} is not a run: it has no {CONFIG}; name the folder that a training "
            "run printed as its last line"
        )
    config = paths.located(read_config(path / CONFIG), read_paths(path))
    return SavedRun(path.resolve(), config, class_names(path))


def model_layers(file: Path, class_name: str) -> list[dict[str, Any]]:
    """The entries of a class of layers in the configuration inside a model file, without Keras."""
    try:
        with zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        return [layer for layer in layers if layer["class_name"] == class_name]
    except (*UNREADABLE, TypeError):
        return []


def class_names(path: Path) -> list[str]:
    """Class names of a run, in the order of its logits.

    Raises:
        SettingError: class_mapping.json is missing or damaged.
    """
    if not (path / "class_mapping.json").is_file():
        raise SettingError(
            f"run={path} has no class_mapping.json: it was stopped before training started; train "
            "again"
        )
    mapping = read_json(path / "class_mapping.json")
    if not isinstance(mapping, dict) or list(mapping) != [str(i) for i in range(len(mapping))]:
        raise SettingError(
            f"{path / 'class_mapping.json'} is damaged: it does not map 0, 1, ... to class names; "
            "restore an intact copy of it"
        )
    return [str(name) for name in mapping.values()]


def file_versions(run: Path) -> tuple[tuple[int, int] | None, ...]:
    """Modification time and size of the model and of what is fitted to it, to notice a change."""
    return tuple(_version(run / name) for name in (MODEL, TEMPERATURE, ABSTENTION, THRESHOLDS))


def _version(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
