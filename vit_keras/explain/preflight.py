"""What can be wrong with an explanation, found before Keras is imported."""

import re
from pathlib import Path
from typing import Any

from vit_keras.data import decode
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io.atomic import output_folder
from vit_keras.runs.saved_run import SavedRun, open_run

EXPLANATION = "explanation.json"


def check_explanation(settings: Any) -> None:
    """Refuse the settings of an explanation that cannot be made.

    Raises:
        SettingError: a run, image, class or folder that is none.
    """
    saved, _ = explanation_place(settings.run, settings.image, settings.output)
    if settings.target is not None:
        target_index(saved, settings.target)
    if image_number(settings.image) is None:
        decode.read(Path(settings.image), (8, 8), saved.config.data.resize_mode)


def explanation_place(
    run: str | Path, image: str | Path | int, output: str | Path | None
) -> tuple[SavedRun, Path]:
    """The run, and where the pictures go: `output`, or a folder of the run; checked."""
    saved, number = open_run(run), image_number(image)
    name = f"test-{number}" if number is not None else Path(str(image)).stem
    # A folder may be called as a file may, but a dot in front would hide it.
    place = saved.path / "explanations" / re.sub(r"^\.+|\s+", "_", name)
    return saved, output_folder(place if output is None else output, EXPLANATION)


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
        raise SettingError(f"target={target} is no class of this run{did_you_mean(text, names)}")
    return int(text)
