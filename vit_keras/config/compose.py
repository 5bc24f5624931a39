"""From the words of a command line to a typed `Config`, by Hydra."""

import dataclasses
import functools
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vit_keras.config import renamed_settings, schema
from vit_keras.config.overrides import check_overrides, expand_home, explain_error, with_new_stages
from vit_keras.config.quoting import local_path
from vit_keras.config.schema import Config, setting_names
from vit_keras.errors import SettingError, did_you_mean

# By which images come to the model: a run's own, on whatever data.
PIXELS = (
    "data.image_size",
    "data.resize_mode",
    "data.background",
    "data.bit_depth",
    "data.value_range",
    "data.channels",
    "data.decoder_version",
)
OF_RUN = (*PIXELS, "data.several_labels")  # settings of the data that are a run's own
# The words that OmegaConf takes for true and false.
SWITCH = {
    **dict.fromkeys(("true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0"), False),
}
_COMPOSING = threading.Lock()  # Hydra has one state for the whole process


def compose(*overrides: str) -> Config:
    """The configuration of a command line, before it is checked whether that can be trained.

    Raises:
        SettingError: an override cannot be read, or names no setting.
    """
    schema.register()
    for word in overrides:
        if not isinstance(word, str):
            raise SettingError(f"{word} is no override; give each as a string, 'train.epochs=3'")
    overrides = tuple(map(expand_home, renamed_settings.current_words(overrides)))
    check_overrides(overrides)
    try:
        with _COMPOSING, hydra.initialize_config_module("vit_keras.conf", version_base="1.3"):
            composed = hydra.compose("config", with_new_stages(overrides))
        return typed_config(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(explain_error(error)) from None


def with_data(own: Config, overrides: Sequence[str]) -> Config:
    """A run's settings with other data: `with_data(own, ["data=folder", "data.path=photos"])`.

    The settings of `OF_RUN`, such as those by which images come to the model, stay the run's unless
    they are set by their own name.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    words = list(map(expand_home, renamed_settings.current_words(overrides)))
    for word in words:
        if not re.match(r"data[.=]", word):
            raise SettingError(f"{word} is no setting of the data; write data.path=... or the like")
    check_overrides(words)
    schema.register()
    try:
        with _COMPOSING, hydra.initialize_config_module("vit_keras.conf", version_base="1.3"):
            asked = typed_config(hydra.compose("config", words))
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(explain_error(error)) from None
    result = dataclasses.replace(own, data=dataclasses.replace(own.data))
    for setting in touched_settings(words):
        by_name = any(word.startswith(f"{setting}=") for word in words)
        if by_name or setting not in OF_RUN:
            set_setting(result, setting, get_setting(asked, setting))
    return result


def typed_config(composed: DictConfig) -> Config:
    """The composed tree as our dataclasses, which a `+group.name=value` may have left."""
    result = OmegaConf.to_object(composed)
    tree: Any = OmegaConf.to_container(composed)
    tree["stages"] = None  # their names are free, and OmegaConf holds each to its own settings
    strays = sorted(_leaves(tree) - set(setting_names()))
    if strays or not isinstance(result, Config):
        raise SettingError(f"{strays[0]} is no setting{did_you_mean(strays[0], setting_names())}")
    # It was a switch before it had a third value, and took the words that OmegaConf takes for one.
    word = str(result.augment.flip).lower()
    result.augment.flip = SWITCH.get(word, result.augment.flip)
    if isinstance(result.data.path, str):
        result.data.path = local_path(result.data.path)
    return result


def _leaves(tree: Any, prefix: str = "") -> set[str]:
    """Dotted names of the two levels of a configuration."""
    if not prefix:
        parts = (_leaves(v, f"{k}.") if isinstance(v, dict) else {k} for k, v in tree.items())
        return set().union(*parts)
    return {prefix + name for name in tree}


def touched_settings(overrides: Iterable[str]) -> list[str]:
    """Every setting that the overrides name: `data=mnist` names all of `data.`."""
    parsed = OverridesParser.create().parse_overrides(overrides=list(overrides))
    keys = [override.key_or_group for override in parsed]
    return [
        setting
        for setting in setting_names()
        for key in keys
        if key == "recipe" or setting == key or setting.startswith(f"{key}.")
        if not setting.startswith("run.")
    ]


def get_setting(node: Any, setting: str) -> Any:
    return functools.reduce(getattr, setting.split("."), node)


def set_setting(node: Any, setting: str, value: Any) -> None:
    *groups, name = setting.split(".")
    setattr(functools.reduce(getattr, groups, node), name, value)
