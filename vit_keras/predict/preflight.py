"""What can be wrong with a prediction, found before Keras is imported."""

from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.predict import inputs
from vit_keras.runs.saved_run import MODEL, open_run
from vit_keras.validators import check_choice

PREDICTIONS = ("table", "json", "csv")


def check_prediction(settings: Any) -> None:
    """Refuse the settings of a prediction that cannot be made.

    Raises:
        SettingError: a run or file that is none, a model that is damaged, an unknown format.
    """
    saved = open_run(settings.run)
    if fault := zip_files.model_fault(saved.path / MODEL):
        raise SettingError(
            f"run={settings.run} cannot predict: {fault}; name another run, or see what is wrong "
            f"by vit-keras runs describe {settings.run}"
        )
    saved.temperature  # noqa: B018  (reads a file that may be damaged)
    inputs.find_image_files(settings.images)
    prediction_format(settings.format, settings.output)
    if settings.output is not None:
        place = Path(settings.output).expanduser()
        atomic.check_output_file(place, settings.overwrite, "--overwrite")


def prediction_format(format: str | None, output: str | None) -> str:
    """The form that predictions are written in: what is asked for, or what the file ends in."""
    if format is None:
        ending = Path(output or "").suffix.lower().removeprefix(".")
        return ending if ending in PREDICTIONS else "table"
    check_choice("format", format, PREDICTIONS)
    return format
