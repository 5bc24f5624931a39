"""Checks of an explanation's settings before Keras is imported."""

import re
from pathlib import Path
from typing import Any

from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io.atomic import output_folder
from vit_keras.runs.saved_run import SavedRun, open_run

EXPLANATION = "explanation.json"  # a folder that has this file is an explanation


def check_explanation(settings: Any) -> None:
    """Refuse settings with which an explanation would fail.

    Raises:
        SettingError: the run, the image, the class or the output folder cannot be used.
    """
    saved, _ = open_run_and_folder(settings.run, settings.image, settings.output)
    if settings.target is not None:
        class_index(saved, settings.target)
    if test_index(settings.image) is None:
        data = saved.config.data
        decode.read(Path(settings.image), (8, 8), data.resize_mode, PixelOptions.of(data))


def open_run_and_folder(
    run: str | Path, image: str | Path | int, output: str | Path | None
) -> tuple[SavedRun, Path]:
    """The run, and the checked output folder: `output`, or `<run>/explanations/<image>`."""
    saved, index = open_run(run), test_index(image)
    saved.check_model()
    if index is not None:
        saved.check_data_path()
    name = f"test-{index}" if index is not None else Path(str(image)).stem
    # A leading dot is valid in the name of a file, but would hide the folder.
    default = saved.path / "explanations" / re.sub(r"^\.+|\s+", "_", name)
    return saved, output_folder(default if output is None else output, EXPLANATION)


def test_index(image: str | Path | int) -> int | None:
    """An index in the test split, or None for a file; `./7` is a file with a number as its name."""
    if isinstance(image, int) or str(image).isdecimal():
        return int(str(image))
    if not Path(image).is_file():
        raise SettingError(
            f"image={image} is not a file; name an image, or an index of the run's test split"
        )
    return None


def class_index(saved: SavedRun, target: str | int) -> int:
    """The index of a class that is named or numbered."""
    names, text = saved.class_names, str(target)
    if text in names and not isinstance(target, int):
        return names.index(text)
    if not text.isdecimal() or int(text) >= len(names):
        raise SettingError(f"target={target} is not a class of this run{did_you_mean(text, names)}")
    return int(text)
