"""Where the files that a run's settings name are, from whatever directory the run is opened.

`config.yaml` has each path as it was typed. For those that are relative, `paths.json` beside it has
the absolute path; it is written with `config.yaml`, at the start of a training or of a resumption.
"""

import copy
import os
from typing import Any

from vit_keras.config.schema import Config

PATHS = "paths.json"
SETTINGS = ("data.path", "data.tfds_dir", "pretrained.handle", "train.teacher")


def absolute_paths(config: Config) -> dict[str, str]:
    """Setting -> absolute path, of each that names something by a relative path."""
    named = {setting: _get(config, setting) for setting in SETTINGS}
    return {  # a pretrained.handle or a train.teacher can also be an address
        setting: os.path.abspath(path)
        for setting, path in named.items()
        if path and not os.path.isabs(path) and os.path.exists(path)
    }


def located(config: Config, kept: dict[str, str]) -> Config:
    """The settings with each relative path as the absolute one, where that still exists.

    A path that means the same from here stays as it was typed, and so does one that has moved.

    Args:
        config: as `config.yaml` has it.
        kept: the content of `paths.json`.
    """
    result = copy.deepcopy(config)
    for setting in SETTINGS:
        path, typed = kept.get(setting), _get(config, setting)
        if path and typed and os.path.exists(path) and os.path.abspath(typed) != path:
            _set(result, setting, path)
    return result


def as_typed(
    config: Config, earlier: Config, kept: dict[str, str]
) -> tuple[Config, dict[str, str]]:
    """The settings to store in a run that is resumed, and its `paths.json`.

    A path that still names the same stays as it was typed at first.

    Args:
        config: to be stored.
        earlier: what `config.yaml` has.
        kept: what `paths.json` has.
    """
    result, paths = copy.deepcopy(config), absolute_paths(config)
    for setting in SETTINGS:
        value = _get(config, setting)
        if value and setting in kept and os.path.abspath(value) == kept[setting]:
            _set(result, setting, _get(earlier, setting))
            paths[setting] = kept[setting]
    return result, paths


def data_fault(config: Config, kept: dict[str, str]) -> str:
    """Both places where a relative `data.path` was looked for; empty if it is in one of them."""
    path = config.data.path
    if not path or "data.path" not in kept or os.path.exists(path):
        return ""
    return (
        f"data.path={path} is neither {os.path.abspath(path)} nor {kept['data.path']}, where the "
        "run was trained"
    )


def _get(config: Config, setting: str) -> Any:
    group, name = setting.split(".")
    return getattr(getattr(config, group), name)


def _set(config: Config, setting: str, value: Any) -> None:
    group, name = setting.split(".")
    setattr(getattr(config, group), name, value)
