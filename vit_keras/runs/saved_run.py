"""A run that was trained before, opened by what its directory says of itself.

Nothing here imports Keras until the model is asked for.
"""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.runs import history
from vit_keras.runs.run_dir import CONFIG, read_config

if TYPE_CHECKING:
    import keras


MODEL = "best.keras"
TEMPERATURE = "temperature.json"


@dataclass(frozen=True)
class SavedRun:
    """A run directory, read only.

    Attributes:
        path: the directory.
        config: its settings; those that did not exist yet when it was trained have their defaults.
        class_names: one for each logit, in order.
    """

    path: Path
    config: Config
    class_names: list[str]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds; empty of a run that has not ended."""
        return _json(self.path / "metrics.json") if (self.path / "metrics.json").exists() else {}

    @cached_property
    def temperature(self) -> float:
        """What logits are divided by (Guo et al. 2017), as an evaluation found it; 1 before one.

        Raises:
            SettingError: the file that says it is damaged.
        """
        file = self.path / TEMPERATURE
        if not file.is_file():
            return 1.0
        try:
            value = float(_json(file)["temperature"])
        except (ValueError, TypeError, KeyError) as error:
            raise _no_temperature(file, error) from None
        if not 0 < value < math.inf:
            raise _no_temperature(file, f"{value} is no temperature")
        return value

    @property
    def model_file(self) -> Path:
        """Where the model lies.

        Raises:
            SettingError: there is none yet.
        """
        file = self.path / MODEL
        if not file.is_file():
            if history.read(self.path):
                raise SettingError(
                    f"run {self.path} has no {MODEL}, which it once had; put it back, or train "
                    "again"
                )
            raise SettingError(
                f"run {self.path} has no {MODEL}: it was stopped before its first epoch ended; go "
                f"on with it by run.resume={self.path}"
            )
        return file

    @cached_property
    def model(self) -> "keras.Model":
        """The model of the best validation accuracy: (B, X, Y, C) pixels -> (B, classes) logits.

        Raises:
            SettingError: there is none yet, it is damaged, or it has another number of classes.
        """
        import keras

        file = self.model_file
        try:
            model = keras.models.load_model(file, compile=False)
        except Exception as error:  # zipfile's, h5py's and Keras' errors share no base
            raise SettingError(
                f"{file} cannot be opened ({(str(error) or 'no reason given').splitlines()[0]}); "
                "put a whole copy of it back, or train again"
            ) from None
        if model.output_shape[-1] != len(self.class_names):
            raise SettingError(
                f"{file} tells {model.output_shape[-1]} classes apart, and class_mapping.json "
                f"beside it names {len(self.class_names)}; put back the one that belongs there"
            )
        return model


def open_run(directory: str | Path) -> SavedRun:
    """The run in `directory`, wherever it was trained.

    Raises:
        SettingError: the directory is no run, was never begun, is damaged, or is of a newer
            version.
    """
    path = Path(directory).expanduser()
    if not (path / CONFIG).is_file():
        raise SettingError(
            f"run={directory} is not a run: it has no {CONFIG}; name the folder that a training "
            "run printed as its last line"
        )
    config = read_config(path / CONFIG)
    return SavedRun(path.resolve(), config, class_names(path))


def class_names(path: Path) -> list[str]:
    """The names of a run's classes, in order.

    Raises:
        SettingError: it was never begun, or is damaged.
    """
    if not (path / "class_mapping.json").is_file():
        raise SettingError(
            f"run={path} has no class_mapping.json: it was stopped before it had begun; train again"
        )
    mapping = _json(path / "class_mapping.json")
    if not isinstance(mapping, dict) or list(mapping) != [str(i) for i in range(len(mapping))]:
        raise SettingError(
            f"{path / 'class_mapping.json'} is damaged: it is no list of 0, 1, ... with the name "
            "of each class; put a whole copy of it back"
        )
    return [str(name) for name in mapping.values()]


def _no_temperature(file: Path, reason: object) -> SettingError:
    return SettingError(f"{file} is damaged ({reason}); evaluate the run again, or delete the file")


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{file} is damaged ({error}); put a whole copy of it back") from None


def stamps(run: Path) -> tuple[tuple[int, int] | None, ...]:
    """Tell a run's model, and its temperature, from those that are put in their place later."""
    return tuple(_stamp(run / name) for name in (MODEL, TEMPERATURE))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size
