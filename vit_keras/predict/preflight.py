"""Checks of a prediction's settings before Keras is imported."""

from pathlib import Path
from typing import Any

from vit_keras.io import atomic
from vit_keras.predict import engines, inputs
from vit_keras.runs.saved_run import open_run
from vit_keras.validators import check_choice

OUTPUT_FORMATS = ("table", "json", "csv")


def check_prediction(settings: Any) -> None:
    """Refuse settings with which a prediction would fail.

    Raises:
        SettingError: the run or an image does not exist, the model is damaged, the format is
            unknown, the engine cannot be used, or the output cannot be written.
    """
    saved = open_run(settings.run)
    saved.check_model()
    saved.temperature  # noqa: B018  (reads a file that may be damaged)
    inputs.find_image_files(settings.images)
    prediction_format(settings.format, settings.output)
    engines.check_engine(saved, settings.engine)
    if settings.output is not None:
        file = Path(settings.output).expanduser()
        atomic.check_output_file(file, settings.overwrite, "--overwrite")


def prediction_format(format: str | None, output: str | None) -> str:
    """The output format: `format`, otherwise the suffix of `output`, otherwise a table."""
    if format is None:
        suffix = Path(output or "").suffix.lower().removeprefix(".")
        return suffix if suffix in OUTPUT_FORMATS else "table"
    check_choice("format", format, OUTPUT_FORMATS)
    return format
