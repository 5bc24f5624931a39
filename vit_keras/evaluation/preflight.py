"""Checks of an evaluation's settings before Keras is imported."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vit_keras import validators
from vit_keras.config import compose
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config, DataConfig
from vit_keras.data import registry, splits
from vit_keras.data.readers import layout_names
from vit_keras.errors import SettingError
from vit_keras.evaluation.other_images import find_other_images
from vit_keras.io import atomic
from vit_keras.io.atomic import check_folder
from vit_keras.model import architecture_checks
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.text import abbreviated_list
from vit_keras.training import preflight
from vit_keras.validators import check_choice

EVALUATION = "evaluation.json"  # a folder that has this file is an evaluation
ERRORS = "errors"  # its folder of small images that were classified wrongly
TEST, ALL = SPLITS = ("test", "all")


def check_evaluation(settings: Any) -> None:
    """Refuse settings with which an evaluation would fail.

    Raises:
        SettingError: the run, the data, an image size or the output folder cannot be used.
    """
    saved = open_evaluable_run(settings.run, settings.sizes, settings.output)
    check_task(saved, settings.sizes, settings.flip, settings.ood, settings.map)
    config = evaluation_config(saved, settings.data)
    check_split(saved, settings.split, uses_training_source(saved, config))
    check_data(saved, config)
    find_other_images(saved, settings.ood)


def open_evaluable_run(
    run: str | Path, sizes: Sequence[int], output: str | Path | None
) -> SavedRun:
    """Open a run that has a model, is not being trained, and can be written to, as can `output`.

    Raises:
        SettingError: one of these fails, or the model cannot take images of such sizes.
    """
    saved = open_run(run)
    check_folder(f"run={run}", saved.path)
    saved.check_model()
    Run(saved.path).close()  # refuses a run that another process has locked
    atomic.check_output_folder(evaluation_folder(saved, output), EVALUATION)
    # Without Keras the patch size of pretrained weights is unknown.
    if saved.config.pretrained.handle is None:
        own = _training_image_size(saved.config) if sizes else None
        patch_size = preflight.architecture(saved.config.model).patch_size
        check_sizes(sizes, patch_size, own or (1, 1))
    return saved


def check_task(
    saved: SavedRun,
    sizes: Sequence[int],
    flip: bool,
    ood: str | None = None,
    map: bool = False,
) -> None:
    """Refuse what is measured of runs with one label alone."""
    if not saved.is_multilabel:
        return
    switches = {"flip": flip, "map": map}
    asked = {"sizes": sizes and sizes[0], "ood": ood}
    asked |= {name: "true" for name, is_on in switches.items() if is_on}
    for name, value in asked.items():
        if value:
            raise SettingError(
                f"{name}={value} is not measured of several labels (run={saved.path} is of "
                "task=multilabel); leave it out"
            )


def evaluation_folder(saved: SavedRun, output: str | Path | None, other_data: str = "") -> Path:
    """The folder of an evaluation: `output`, or by default a folder of the run.

    `other_data` names data that the run was not trained on, which get their own default.
    """
    default = saved.path / (f"evaluation-{other_data}" if other_data else "evaluation")
    return default if output is None else Path(output).expanduser().absolute()


def uses_training_source(saved: SavedRun, config: Config) -> bool:
    """Whether `config` reads images from the source of the run, in whatever number or split."""
    sources = {
        # Another version or configuration of a TFDS data set has the same images.
        (re.split("[:/]", data.name)[0], os.path.realpath(Path(data.path or "").expanduser()))
        for data in (saved.config.data, config.data)
    }
    return len(sources) == 1


def check_split(saved: SavedRun, split: str, is_training_data: bool) -> None:
    """Refuse an unknown split, and an evaluation on the images that the run was trained on."""
    check_choice("split", split, SPLITS)
    if split == ALL and is_training_data:
        raise SettingError(
            f"split=all would measure run={saved.path} on the images that it was trained on; name "
            "other data, such as data=folder data.path=..., or omit split=all"
        )


def check_sizes(heights: Sequence[int], patch_size: int, own: tuple[int, int]) -> None:
    """Refuse image sizes that patches of `patch_size` do not cover exactly, or by too many.

    Args:
        heights: of the images.
        patch_size: of the model.
        own: (height, width) of the model's images, whose proportion those of other heights have.
    """
    for height in heights:
        if own[0] == own[1]:
            validators.check_patch_multiple("sizes", (height, height), patch_size)
        else:
            _check_proportion(height, patch_size, own)
        if math.prod(size_of_height(height, own)) > architecture_checks.MAX_PATCHES * patch_size**2:
            raise SettingError(
                f"sizes={height} makes more than {architecture_checks.MAX_PATCHES:,} patches of "
                f"{patch_size}; use a smaller one"
            )


def size_of_height(height: int, own: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image in the proportion of the model's own size."""
    return height, height * own[1] // own[0]


def _check_proportion(height: int, patch_size: int, own: tuple[int, int]) -> None:
    """Refuse a height with which patches do not cover the image in both axes."""
    rows, columns = (side // math.gcd(*own) for side in own)  # the proportion in lowest terms
    step = rows * math.lcm(*(patch_size // math.gcd(patch_size, side) for side in (rows, columns)))
    if height % step:
        raise SettingError(
            f"sizes={height} is the height of images of {height}x{height * own[1] / own[0]:g} "
            f"pixels (the model's own are of {own[0]}x{own[1]}), which patches of {patch_size} do "
            f"not cover; use {validators.join_options(validators.multiples_around(height, step))}"
        )


def evaluation_config(saved: SavedRun, overrides: Sequence[str]) -> Config:
    """The run's settings, with the data that it is evaluated on.

    Raises:
        SettingError: an override is invalid.
    """
    if not overrides:
        return saved.config
    config = compose.with_data(saved.config, overrides)
    if config.data.image_size is None:
        own = _training_image_size(saved.config)
        config.data.image_size = own and list(own)
    return config


def _training_image_size(config: Config) -> tuple[int, int] | None:
    """The image size of the training data; None if it is unknown without the images."""
    try:
        return splits.image_size(config.data)
    except SettingError:
        return None


def check_data(saved: SavedRun, config: Config) -> None:
    """Refuse data that do not exist, or whose classes are not the run's.

    Raises:
        SettingError: naming the setting and the way out.
    """
    if config.data.name == "arrays":
        raise SettingError(
            f"run={saved.path} was trained on arrays of a Python program (data.name=arrays); "
            "evaluate it there, by vit_keras.evaluate_run, or name other data, such "
            "as data=npz data.path=..."
        )
    preflight.check_settings(Config(task=config.task, data=config.data))
    if config.data.path == saved.config.data.path:
        saved.check_data_path()
    registry.image_counts(config.data)
    names = registry.class_names(config.data)
    if names is None:  # of a data set that is not downloaded yet
        return
    if config.data.classes is not None:
        names = [names[index] for index in splits.class_indices(config.data.classes, names)]
    check_classes(saved, names, config.data)


def check_classes(saved: SavedRun, names: list[str], data: DataConfig) -> None:
    """Refuse data whose class names are not the run's, in the same order.

    With `data.missing_classes=allow` the data may lack some of them, and have them in any order.
    """
    expected, allows = saved.class_names, data.missing_classes == "allow"
    names = spelled_as(expected, names)
    if names == expected or (allows and {*names} <= {*expected}):
        return
    missing = [name for name in expected if name not in names]
    additional = [name for name in names if name not in expected]
    differences = []
    if missing:
        differences.append(f"lacks {abbreviated_list(missing)}")
    if additional:
        differences.append(f"adds {abbreviated_list(additional)}")
    if not differences:
        differences.append(f"has them in another order, {abbreviated_list(names)}")
    raise SettingError(
        f"data.name={data.name} does not have the classes of run={saved.path}: it "
        f"{' and '.join(differences)}; {_way_out(expected, names)}"
    )


def spelled_as(expected: list[str], names: list[str]) -> list[str]:
    """The names, those of `expected` in its Unicode form: early runs kept that of the disk."""
    own = {layout_names.class_name(name): name for name in expected}
    return [own.get(layout_names.class_name(name), name) for name in names]


def _way_out(expected: list[str], names: list[str]) -> str:
    common = [name for name in expected if name in names]
    setting = f"data.classes=[{','.join(map(quote_override, common))}]"
    choice = f"'{setting}'" if len(common) <= 20 else "data.classes"
    if len(common) == len(expected):
        return f"select the run's by {choice}"
    if len(common) == len(names):
        return "add them, or set data.missing_classes=allow to evaluate on the others"
    if len(common) < 2:
        return "use data of the same classes"
    return f"use data of the same classes, or those of both by {choice} data.missing_classes=allow"
