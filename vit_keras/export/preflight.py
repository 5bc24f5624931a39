"""Checks of an export's settings before Keras is imported."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.export.formats import FORMATS
from vit_keras.io import atomic
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.validators import check_choice

EXPORT = "export.json"  # a folder that has this file is an export


def check_export(settings: Any) -> None:
    """Refuse settings with which an export would fail.

    Raises:
        SettingError: the format is unknown, a library is not installed, or the run or the output
            folder cannot be used.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    open_run_and_folder(settings.run, settings.format, settings.output, backend)


def open_run_and_folder(
    run: str | Path, format: str, output: str | Path | None, backend: str
) -> tuple[SavedRun, Path]:
    """The run, and the checked output folder: `output`, or `<run>/export/<format>`.

    Raises:
        SettingError: as `check_export`.
    """
    check_choice("format", format, FORMATS)
    packages = FORMATS[format].packages.items()
    missing = [name for name, module in packages if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingError(
            f"format={format} needs {' and '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}"
        )
    if FORMATS[format].needs_tensorflow and backend != "tensorflow":
        raise SettingError(
            f"KERAS_BACKEND={backend} cannot write format={format}; set it to tensorflow, which "
            "opens runs of every backend"
        )
    saved = open_run(run)
    saved.check_model()
    default = saved.path / "export" / format
    return saved, atomic.output_folder(default if output is None else output, EXPORT)
