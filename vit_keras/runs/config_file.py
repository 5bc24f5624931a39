"""Read the settings of a run from its `config.yaml`.

A file as a run writes it is read by libyaml, in a tenth of the time that OmegaConf takes. Whatever
does not fit the schema exactly goes to OmegaConf, which converts it or says what is wrong.
"""

import functools
import re
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Union

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from vit_keras.config import renamed_settings
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.text import first_line

CONFIG = "config.yaml"
WORDS = {"true": True, "false": False}


def read_config(file: Path) -> Config:
    """The settings in a run's `config.yaml`.

    One of an older version lacks those that came later: their defaults, or what
    `renamed_settings.BEFORE` has, are what it did.

    Raises:
        SettingError: the file is damaged, or has settings that this version does not know.
    """
    try:
        return _read_plain(file)
    except Exception:  # YAML's errors, and those of reading, share no base
        return _read_any(file)


def _read_any(file: Path) -> Config:
    """By OmegaConf: whatever it can convert to the types of the schema."""
    try:
        loaded: Any = OmegaConf.load(file)
        _check_end(loaded)
        settings: Any = OmegaConf.to_container(loaded)
        return OmegaConf.to_object(
            OmegaConf.merge(_schema(), renamed_settings.current_tree(settings))
        )  # type: ignore
    except ConfigKeyError as error:
        raise SettingError(
            f"{file} has {error.full_key}, which this version does not know: the run is of a newer "
            "one; install that (pip install --upgrade vit-keras-lab)"
        ) from None
    except Exception as error:  # YAML's and OmegaConf's errors share no base
        raise SettingError(
            f"{file} is damaged ({first_line(error)}); restore an intact copy of it"
        ) from None


def _check_end(tree: Any) -> None:
    if "resume" not in tree.get("run", {}):  # the last line that is written
        raise ValueError("its end is missing")


@functools.cache
def _schema() -> Any:
    return OmegaConf.structured(Config)  # takes as long as all else that is done to read a run


def _read_plain(file: Path) -> Config:
    """As `_read_any`, of a file with exactly the types of the schema.

    Raises:
        Exception: the file has anything else.
    """
    tree = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    _check_end(tree)
    return build(Config, renamed_settings.current_tree(tree))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's safe loader, where it is installed, that refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        result = super().construct_mapping(node, deep)
        if len(result) != len(node.value):
            raise ValueError("a key is there twice")
        return result


# As in OmegaConf, 1e-3 is a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def build(schema: type, tree: dict[str, Any]) -> Any:
    """A dataclass of settings from plain values; what is missing has its default.

    Raises:
        TypeError: a value is not of the type of its setting, or a setting is not known.
    """
    known = _converters(schema)
    return schema(**{name: known[name](value) for name, value in tree.items()})


@functools.cache
def _converters(schema: type) -> dict[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(schema)
    return {item.name: _converter(hints[item.name]) for item in fields(schema)}


def _converter(kind: Any) -> Callable[[Any], Any]:
    """What checks and copies a value of an annotated type."""
    if is_dataclass(kind):
        return lambda value: build(typing.cast(type, kind), _of_type(value, dict))
    if kind is Any:
        return _plain
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (_converter(one) for one in of if one is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is list:
        item = _converter(of[0])
        return lambda value: [item(one) for one in _of_type(value, list)]
    if origin is dict:
        item = _converter(of[1])
        return lambda value: {_of_type(k, str): item(v) for k, v in _of_type(value, dict).items()}
    if kind is float:
        return lambda value: float(value) if type(value) is int else _of_type(value, float)
    if kind is bool:  # `renamed_settings` has the words of a command line
        return lambda value: _of_type(WORDS.get(value, value), bool)
    return lambda value: _of_type(value, kind)


def _of_type(value: Any, kind: Any) -> Any:
    # A reference such as ${name}, and ??? for a missing value, are OmegaConf's.
    if type(value) is not kind or (kind is str and ("${" in value or value == "???")):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _plain(value: Any) -> Any:
    """A copy of what YAML has for a setting of several types."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_of_type(key, str): _plain(one) for key, one in value.items()}
    if value is None or type(value) in (bool, int, float):
        return value
    return _of_type(value, str)


def changed_values(settings: Any) -> dict[str, Any]:
    """The values of a dataclass of settings that are no defaults, as `build` takes them."""
    result: dict[str, Any] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if value == default and type(value) is type(default):
            continue
        if is_dataclass(value):
            result[item.name] = changed_values(value)
        elif item.name == "stages":
            result[item.name] = {name: changed_values(stage) for name, stage in value.items()}
        else:
            result[item.name] = value
    return result
