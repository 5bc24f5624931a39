"""Checks of an explanation's settings before Keras is imported."""

import re
from pathlib import Path
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data import decode, registry
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io.atomic import output_folder
from vit_keras.runs.run_dir import FOLDS
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.text import counted

EXPLANATION = "explanation.json"  # a folder that has this file is an explanation


def check_explanation(settings: Any) -> None:
    """Refuse settings with which an explanation would fail.

    Raises:
        SettingError: the run, the image, the class, the layer or the output folder cannot be used.
    """
    saved, _ = open_run_and_folder(settings.run, settings.image, settings.output)
    if settings.target is not None:
        class_index(saved, settings.target)
    if settings.layer is not None:
        check_layer_of(saved, settings.layer)
    index = test_index(settings.image)
    if index is not None:
        _check_index(saved.config.data, index)
    else:
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
    # A leading dot is valid in the name of a file, but would hide the folder; and the temporary
    # name of the folder is longer than its own, which a name of 250 bytes does not allow.
    readable = re.sub(r"^\.+|\s+", "_", name).encode()[:200].decode(errors="ignore")
    default = saved.path / "explanations" / readable
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


def check_layer_of(saved: SavedRun, layer: str) -> None:
    """Refuse a block that the run's model does not have, as far as that is known without Keras."""
    if saved.config.train.folds is not None:
        raise SettingError(
            f"layer={layer} is a block of one model, and run={saved.path} is an ensemble; leave "
            f"it out, or explain one of its members, such as run={saved.path / FOLDS / '1'}"
        )
    if blocks := saved.layer_names("EncoderBlock"):
        check_layer_name(layer, blocks, "this run's model")


def check_layer_name(layer: str, blocks: list[str], model: str) -> None:
    """Refuse a name that no block of the model has."""
    if layer not in blocks:
        raise SettingError(f"layer={layer} is not a block of {model}{did_you_mean(layer, blocks)}")


def _check_index(config: DataConfig, index: int) -> None:
    """Refuse an index that the test split cannot have, as far as that is known from its files."""
    counts = registry.image_counts(config)
    if counts is None or config.classes is not None:
        return
    # A test split that is drawn from the training images has about a fifth of them.
    is_drawn = "test" not in counts
    most = counts["train"] // 4 if is_drawn else counts["test"]
    most = min(most, config.limit or most)
    if index >= most:
        size = counted(counts["train"] if is_drawn else most, "image[s]")
        size = f"about a fifth of {size}" if is_drawn else size
        raise SettingError(f"image={index} is more than the test split has, which is {size}")


def class_index(saved: SavedRun, target: str | int) -> int:
    """The index of a class that is named or numbered."""
    names, text = saved.class_names, str(target)
    if text in names and not isinstance(target, int):
        return names.index(text)
    if not text.isdecimal() or int(text) >= len(names):
        raise SettingError(f"target={target} is not a class of this run{did_you_mean(text, names)}")
    return int(text)
