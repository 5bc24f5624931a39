"""What can be wrong with an evaluation, found before Keras is imported."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vit_keras import validators
from vit_keras.config import compose
from vit_keras.config.schema import Config
from vit_keras.data import registry, splits
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.io.atomic import check_folder
from vit_keras.model import architecture_checks
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.text import abbreviated_list
from vit_keras.training import preflight
from vit_keras.validators import check_choice

EVALUATION = "evaluation.json"  # the mark of an evaluation's folder
TEST, ALL = SPLITS = ("test", "all")  # which images of the data


def check_evaluation(settings: Any) -> None:
    """Refuse the settings of an evaluation that cannot be made.

    Raises:
        SettingError: a run, data, sizes or a folder that cannot be.
    """
    saved = evaluable(settings.run, settings.sizes, settings.output)
    config = settings_of(saved, settings.data)
    check_split(saved, settings.split, is_own=is_own_place(saved, config))
    check_data(saved, config)


def evaluable(run: str | Path, sizes: Sequence[int], output: str | Path | None) -> SavedRun:
    """The run, which has a model, is not being trained, and can be written to; and so can `output`.

    Raises:
        SettingError: it is not so, or the model cannot take images of such sizes.
    """
    saved = open_run(run)
    check_folder(f"run={run}", saved.path)
    saved.model_file  # noqa: B018  refuses a run without one
    Run(saved.path).close()  # refuses a run that another process holds
    atomic.check_output_folder(place(saved, output), EVALUATION)
    if saved.config.pretrained.handle is None:  # else only the model knows
        check_sizes(sizes, preflight.architecture(saved.config.model).patch_size)
    return saved


def place(saved: SavedRun, output: str | Path | None, other_data: str = "") -> Path:
    """Where an evaluation goes; one on other data never to where the run's own does."""
    own = saved.path / (f"evaluation-{other_data}" if other_data else "evaluation")
    return own if output is None else Path(output).expanduser().absolute()


def is_own_place(saved: SavedRun, config: Config) -> bool:
    """Whether images come from where the run's did, however many of them, cut or chosen."""
    places = {
        # Of a set of TFDS another version, or another configuration, has the same images.
        (re.split("[:/]", data.name)[0], os.path.realpath(Path(data.path or "").expanduser()))
        for data in (saved.config.data, config.data)
    }
    return len(places) == 1


def check_split(saved: SavedRun, split: str, is_own: bool) -> None:
    """Refuse a split that there is none of, and to measure a run on what it was trained on."""
    check_choice("split", split, SPLITS)
    if split == ALL and is_own:
        raise SettingError(
            f"split=all would measure run={saved.path} on the images that it was trained on; name "
            "other data besides, such as data=folder data.path=..., or leave split=all out"
        )


def check_sizes(sizes: Sequence[int], patch_size: int) -> None:
    """Refuse image sizes that patches of this size do not cover."""
    for side in sizes:
        if side < 1 or side % patch_size:
            fitting = validators.join_options(validators.multiples_around(max(side, 1), patch_size))
            raise SettingError(
                f"sizes={side} is no multiple of the model's patch size, {patch_size}; use "
                f"{fitting}"
            )
        if (side // patch_size) ** 2 > architecture_checks.MAX_PATCHES:
            raise SettingError(
                f"sizes={side} makes more than {architecture_checks.MAX_PATCHES:,} patches of "
                f"{patch_size}; use a smaller one"
            )


def settings_of(saved: SavedRun, overrides: Sequence[str]) -> Config:
    """The run's settings, with the data that it is evaluated on.

    Raises:
        SettingError: an override that cannot be.
    """
    if not overrides:
        return saved.config
    config = compose.with_data(saved.config, overrides)
    if config.data.image_size is None:
        config.data.image_size = _own_size(saved.config)
    return config


def _own_size(config: Config) -> list[int] | None:
    """The size that the run's images had, if that is known without them."""
    try:
        return list(splits.image_size(config.data))
    except SettingError:
        return None


def check_data(saved: SavedRun, config: Config) -> None:
    """Refuse data that are not there, or that have other classes.

    Raises:
        SettingError: naming the setting and the way out.
    """
    if config.data.name == "arrays":
        raise SettingError(
            f"run={saved.path} was trained on what a Python program gave it (data.name=arrays); "
            "evaluate it there, by vit_keras.evaluate_run(run, data=...), or name other data, such "
            "as data=npz data.path=..."
        )
    preflight.check_settings(Config(data=config.data))
    registry.image_counts(config.data)
    names = registry.class_names(config.data)
    if names is None:  # of a set that is still to be downloaded
        return
    if config.data.classes is not None:
        names = [names[index] for index in splits.class_indices(config.data.classes, names)]
    check_classes(saved, names, f"data.name={config.data.name}")


def check_classes(saved: SavedRun, names: list[str], source: str) -> None:
    """Refuse data whose classes are not the run's, one by one in order."""
    own = saved.class_names
    if names == own:
        return
    lacking, besides = ([n for n in a if n not in b] for a, b in ((own, names), (names, own)))
    differences = [f"lacks {abbreviated_list(lacking)}"] if lacking else []
    differences += [f"has {abbreviated_list(besides)} besides"] if besides else []
    differences = differences or [f"has them in another order, {abbreviated_list(names)}"]
    chosen = f"data.classes=[{','.join(own)}]" if len(own) <= 20 else "data.classes"
    way_out = "use data of the same classes" if lacking else f"choose the run's by '{chosen}'"
    raise SettingError(
        f"{source} has not the classes of run={saved.path}: it {' and '.join(differences)}; "
        f"{way_out}"
    )
