"""What can be wrong with an explanation, prediction or export, found before Keras is imported."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from vit_keras import archives, decode, image_files, whole_file, whole_folder
from vit_keras.errors import SettingError, nearest, one_of
from vit_keras.formats import FORMATS
from vit_keras.saved_run import MODEL, SavedRun, open_run

EXPLANATION = "explanation.json"
EXPORT = "export.json"
PREDICTIONS = ("table", "json", "csv")


def check_explanation(settings: Any) -> None:
    """Refuse the settings of an explanation that cannot be made.

    Raises:
        SettingError: a run, image, class or folder that is none.
    """
    saved, _ = explanation_place(settings.run, settings.image, settings.output)
    if settings.target is not None:
        target_index(saved, settings.target)
    if image_number(settings.image) is None:
        decode.read(Path(settings.image), (8, 8), saved.config.data.fit)


def explanation_place(
    run: str | Path, image: str | Path | int, output: str | Path | None
) -> tuple[SavedRun, Path]:
    """The run, and where the pictures go: `output`, or a folder of the run; checked."""
    saved, number = open_run(run), image_number(image)
    name = f"test-{number}" if number is not None else Path(str(image)).stem
    # A folder may be called as a file may, but a dot in front would hide it.
    place = saved.path / "explanations" / re.sub(r"^\.+|\s+", "_", name)
    return saved, _free(place if output is None else output, EXPLANATION)


def image_number(image: str | Path | int) -> int | None:
    """A number in the test split, or None for a file; `./7` is a file whose name is a number."""
    if isinstance(image, int) or str(image).isdecimal():
        return int(str(image))
    if not Path(image).is_file():
        raise SettingError(
            f"image={image} is no file; name an image, or give a number of the run's test split"
        )
    return None


def target_index(saved: SavedRun, target: str | int) -> int:
    """The number of a class given by name or by number."""
    names, text = saved.class_names, str(target)
    if text in names and not isinstance(target, int):
        return names.index(text)
    if not text.isdecimal() or int(text) >= len(names):
        raise SettingError(f"target={target} is no class of this run{nearest(text, names)}")
    return int(text)


def check_prediction(settings: Any) -> None:
    """Refuse the settings of a prediction that cannot be made.

    Raises:
        SettingError: a run or file that is none, a model that is damaged, an unknown format.
    """
    saved = open_run(settings.run)
    if fault := archives.model_fault(saved.path / MODEL):
        raise SettingError(
            f"run={settings.run} cannot predict: {fault}; name another run, or see what is wrong "
            f"by scripts/runs.py describe {settings.run}"
        )
    saved.temperature  # noqa: B018  (reads a file that may be damaged)
    image_files.found(settings.images)
    prediction_format(settings.format, settings.output)
    if settings.output is not None:
        place = Path(settings.output).expanduser()
        whole_file.check_free(place, settings.overwrite, "overwrite=true")


def prediction_format(format: str | None, output: str | None) -> str:
    """The form that predictions are written in: what is asked for, or what the file ends in."""
    if format is None:
        ending = Path(output or "").suffix.lower().removeprefix(".")
        return ending if ending in PREDICTIONS else "table"
    one_of("format", format, PREDICTIONS)
    return format


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
    one_of("format", format, FORMATS)
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
    return saved, _free(saved.path / "export" / format if output is None else output, EXPORT)


def _free(place: str | Path, mark: str) -> Path:
    folder = Path(place).expanduser().absolute()
    whole_folder.check_replaceable(folder, mark)
    return folder
