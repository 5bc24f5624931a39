"""What can be wrong with an explanation, prediction or export, found before Keras is imported."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.export.formats import FORMATS
from vit_keras.io import atomic
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.validators import check_choice

EXPORT = "export.json"


def check_export(settings: Any) -> None:
    """Refuse the settings of an export that cannot be made.

    Raises:
        SettingError: an unknown format, a library that is not installed, a run or folder that is
            none.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    export_place(settings.run, settings.format, settings.output, backend)


def export_place(
    run: str | Path, format: str, output: str | Path | None, backend: str
) -> tuple[SavedRun, Path]:
    """The run, and where the export goes: `output`, or `<run>/export/<format>`; checked."""
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
            "opens the run as well, whatever it was trained on"
        )
    saved = open_run(run)
    return saved, atomic.output_folder(
        saved.path / "export" / format if output is None else output, EXPORT
    )
