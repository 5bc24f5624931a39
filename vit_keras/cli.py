"""From a command line to a checked `Config`: Hydra, with errors that a person can act on."""

import contextlib
import functools
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vit_keras import checks, config, quiet, run
from vit_keras.config import Config, setting_names
from vit_keras.errors import DivergedError, SettingError, nearest

GROUPS = tuple(item.name for item in fields(Config) if item.name not in ("name", "run"))
CONF = "pkg://vit_keras.conf"


def main(task: Callable[[Config], Any]) -> Callable[[], None]:
    """Make `task(config)` a script's main function.

    Exit status 2 and one line for a setting that cannot work, 1 for a training that failed, 130
    for Ctrl-C; a traceback only for what nobody foresaw.
    """

    diverged: list[DivergedError] = []

    def job(composed: DictConfig) -> None:
        with _one_line_errors():  # inside the job too: Hydra adds lines to what leaves it
            settings = _settings(composed)
            quiet.import_keras()
            try:
                task(settings)
            except DivergedError as error:  # the other runs of a sweep go on
                print(f"error: {error}", file=sys.stderr)
                diverged.append(error)

    @functools.wraps(task)
    def script() -> None:
        # Hydra would print its errors itself and exit with 1; this way they reach us.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        config.register()
        with _one_line_errors():
            sys.argv[1:] = [_at_home(word) for word in sys.argv[1:]]
            words = _overrides(sys.argv[1:])
            _check_words(words)
            if {"-m", "--multirun"} & set(sys.argv):
                _check_sweep(words)
            hydra.main(version_base="1.3", config_path=CONF, config_name="config")(job)()
        if diverged:
            sys.exit(1)

    return script


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (SettingError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def load_config(*overrides: str) -> Config:
    """The checked configuration of a command line: `load_config("recipe=mnist", "train.epochs=3")`.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    config.register()
    for word in overrides:
        if not isinstance(word, str):
            raise SettingError(f"{word} is no override; give each as a string, 'train.epochs=3'")
    overrides = tuple(map(_at_home, overrides))
    _check_words(overrides)
    try:
        with hydra.initialize_config_module("vit_keras.conf", version_base="1.3"):
            composed = hydra.compose("config", list(overrides))
        result = _typed(composed)
        if result.run.resume is not None:
            result = _resumed(result, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(explain(error)) from None
    checks.check(result)
    return result


def _at_home(word: str) -> str:
    """`run.root=~/runs` with the home directory, which neither a shell nor Hydra puts there."""
    return re.sub(r"(?<==)~(?=/|$)", lambda _: str(Path.home()), word)


def _overrides(arguments: list[str]) -> list[str]:
    """The words of a command line that set something: no options of Hydra's, nor their values."""
    before = ["", *arguments]
    is_switch = {"", "-m", "--multirun"}
    return [
        word
        for last, word in zip(before, arguments, strict=False)
        if not word.startswith("-") and (not last.startswith("-") or last in is_switch)
    ]


def _check_words(overrides: Iterable[str]) -> None:
    """Refuse what is no `setting=value`, in words of ours and not of Hydra's grammar."""
    parser = OverridesParser.create()
    for word in overrides:
        name, sign, value = word.partition("=")
        if not name or (not sign and not name.startswith("~")):
            recipes = [path.stem for path in (Path(__file__).parent / "conf/recipe").glob("*.yaml")]
            example = f"recipe={name}" if name in recipes else "train.epochs=3"
            raise SettingError(f"{word} sets nothing; write setting=value, such as {example}")
        if value in ("null", "") and name in ("recipe", *GROUPS):  # composes a run without one
            raise SettingError(
                f"{word} names no choice; leave it out, or pick one of vit_keras/conf/{name}/"
            )
        try:
            parser.parse_override(word)
        except HydraException:
            raise SettingError(
                f"{word} cannot be read; put an unusual value in quotes twice, "
                f"'{name}=\"{value}\"', and a list in brackets, {name}=[1,2]"
            ) from None


def _settings(composed: DictConfig) -> Config:
    """What Hydra composed, typed and checked; a resumed run's own settings if it is one."""
    result = _typed(composed)
    hydra_config = HydraConfig.get()
    if result.run.resume is not None:
        result = _resumed(result, hydra_config.overrides.task)
    elif hydra_config.mode == RunMode.MULTIRUN and result.run.dir is None:
        result.run.dir = hydra_config.runtime.output_dir
    checks.check(result)
    run.check_free(result.run)
    return result


def _typed(composed: DictConfig) -> Config:
    """The composed tree as our dataclasses, which a `+group.name=value` may have left."""
    result = OmegaConf.to_object(composed)
    strays = sorted(_leaves(OmegaConf.to_container(composed)) - set(setting_names()))
    if strays or not isinstance(result, Config):
        raise SettingError(f"{strays[0]} is no setting{nearest(strays[0], setting_names())}")
    return result


def _leaves(tree: Any, prefix: str = "") -> set[str]:
    """Dotted names of the two levels of a configuration."""
    if not prefix:
        parts = (_leaves(v, f"{k}.") if isinstance(v, dict) else {k} for k, v in tree.items())
        return set().union(*parts)
    return {prefix + name for name in tree}


def _resumed(asked: Config, overrides: Iterable[str]) -> Config:
    """The settings of the run to resume, with what was asked for besides, which has to agree."""
    result = run.config_of(str(asked.run.resume))
    touched = _touched(overrides)
    if {"data.name", "data.classes"} & set(touched):
        new, old = checks.class_count(asked.data), checks.class_count(result.data)
        if new != old:
            raise SettingError(
                f"data.name={asked.data.name} data.classes={asked.data.classes} has {new} classes, "
                f"the model of run.resume={asked.run.resume} has {old}; leave them out or start a "
                "new run"
            )
    for setting in touched:
        _set(result, setting, _get(asked, setting))
    result.run.resume = asked.run.resume
    run.check_resumable(result)
    return result


def _touched(overrides: Iterable[str]) -> list[str]:
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


def _get(node: Any, setting: str) -> Any:
    return functools.reduce(getattr, setting.split("."), node)


def _set(node: Any, setting: str, value: Any) -> None:
    *groups, name = setting.split(".")
    setattr(functools.reduce(getattr, groups, node), name, value)


def _check_sweep(words: list[str]) -> None:
    """Check every run of a `--multirun` grid before the first starts."""
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    if any(not override.is_discrete_sweep() for override in sweeps):
        return  # an interval: the sweeper's plugin draws from it as it goes
    if sweeps and any(override.key_or_group == "run.dir" for override in parsed):
        raise SettingError(
            f"{next(word for word in words if word.startswith('run.dir='))} is one folder, and "
            "--multirun makes several runs; leave it out, or set run.root, under which each gets "
            "a folder of its own"
        )
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line or ""]
        for override in parsed
        if not str(override.key_or_group).startswith("hydra")
    ]
    for overrides in itertools.product(*choices):
        load_config(*overrides)


def explain(error: Exception) -> str:
    """One line for an error of Hydra's or OmegaConf's, with the nearest name that exists."""
    if isinstance(error, SettingError):
        return str(error)
    text = f"{error}\n{error.__cause__ or ''}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, value = error.missing_cfg_file.rpartition("/")
        return f"{group}={value} is unknown{nearest(value, error.options)}"
    if found := re.search(r"Key '(\w+)' (?:is )?not in|No match in the defaults list", text):
        named = re.search(r"Could not override '([^']+)'", text)
        name = named[1] if named else found[1]
        groups = ["recipe", *(item.name for item in fields(Config))]
        group = f"{name.partition('.')[0]}."
        if leaves := [item for item in setting_names() if item.endswith(f".{name}")]:
            return f"{name} is no setting; did you mean {' or '.join(leaves)}?"
        near = [item for item in setting_names() if item.startswith(group)] or setting_names()
        return f"{name} is no setting{nearest(name, near if '.' in name else groups)}"
    if wrong := re.search(r"Error merging override (\S+)\n(?:\S+: )?(.+)", text):
        return f"{wrong[1]} does not fit: {wrong[2]}"
    return re.sub(r"\s*\n\s*", "; ", text.strip())
