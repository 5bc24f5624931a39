"""Checks of an export's settings before Keras is imported."""

import importlib.util
import os
from collections.abc import Mapping
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
    open_run_and_folder(settings.run, settings.format, settings.output, backend_name())


def backend_name() -> str:
    """The backend that Keras has, or will have when it is imported."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def open_run_and_folder(
    run: str | Path, format: str, output: str | Path | None, backend: str
) -> tuple[SavedRun, Path]:
    """The run, and the checked output folder: `output`, or `<run>/export/<format>`.

    Raises:
        SettingError: as `check_export`.
    """
    check_format(format, backend)
    saved = open_run(run)
    saved.check_model()
    default = export_folder(saved, format)
    return saved, atomic.output_folder(default if output is None else output, EXPORT)


def export_folder(saved: SavedRun, format: str) -> Path:
    """Where the exports of a run are, unless another folder is named."""
    return saved.path / "export" / format


def check_format(format: str, backend: str, setting: str = "format") -> None:
    """Refuse a format that is unknown, or cannot be written here.

    Args:
        format: one of `FORMATS`.
        backend: of Keras.
        setting: what the messages name.

    Raises:
        SettingError: naming the packages to install, or the backend.
    """
    check_choice(setting, format, FORMATS)
    if missing := missing_packages(FORMATS[format].packages):
        raise SettingError(
            f"{setting}={format} needs {' and '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}"
        )
    if FORMATS[format].needs_tensorflow and backend != "tensorflow":
        raise SettingError(
            f"KERAS_BACKEND={backend} cannot write {setting}={format}; set it to tensorflow, which "
            "opens runs of every backend"
        )


def missing_packages(packages: Mapping[str, str]) -> list[str]:
    """Of packages {name for pip: name to import}, those that are not installed."""
    return [name for name, module in packages.items() if importlib.util.find_spec(module) is None]
