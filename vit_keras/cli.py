"""From a command line to a checked `Config`: Hydra, with errors that a person can act on."""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vit_keras import checks, config, quiet, run
from vit_keras.config import Config, setting_names
from vit_keras.errors import DivergedError, SettingError, nearest
from vit_keras.overrides import at_home, check_words, explain, split_words, with_new_stages

CONF = "pkg://vit_keras.conf"
MOST_RUNS = 1000  # of a grid, each of which is checked before the first starts
_COMPOSING = threading.Lock()  # Hydra has one state for the whole process


def main(
    task: Callable[[Config], Any],
    recipe: str | None = None,
    check: Callable[[Config], None] = lambda config: None,
) -> Callable[[], None]:
    """Make `task(config)` a script's main function; `recipe` is picked where none is named.

    `check` refuses, before Keras is imported, what this task besides cannot do. What the task
    gives is what a sweeper that searches, such as Optuna's, looks for the best of.

    Exit status 2 and one line for a setting that cannot work, 1 for a training that failed, 130
    for Ctrl-C; a traceback only for what nobody foresaw.
    """

    diverged: list[DivergedError] = []

    def job(composed: DictConfig) -> Any:
        with one_line_errors():  # inside the job too: Hydra adds lines to what leaves it
            settings = _settings(composed, check)
            quiet.import_keras()
            try:
                return task(settings)
            except DivergedError as error:  # the other runs of a sweep go on
                print(f"error: {error}", file=sys.stderr)
                diverged.append(error)
        return 0.0  # the worst that a sweeper which looks for the best can be told

    @functools.wraps(task)
    def script() -> None:
        # Hydra would print its errors itself and exit with 1; this way they reach us.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        config.register()
        with one_line_errors():
            typed, options, is_sweep = split_words(sys.argv[1:])
            words = [at_home(word) for word in typed]
            check_words(words)
            if recipe and not any(word.startswith(("recipe=", "run.resume=")) for word in words):
                words.insert(0, f"recipe={recipe}")
            if is_sweep:
                check_sweep(words)
            # Hydra reads no word after an option among them.
            sys.argv[1:] = [*with_new_stages(words), *options]
            hydra.main(version_base="1.3", config_path=CONF, config_name="config")(job)()
        if diverged:
            sys.exit(1)

    return script


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End a script with one line and status 2 for a setting that cannot work, 130 for Ctrl-C."""
    try:
        yield
    except (SettingError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def load_config(*overrides: str) -> Config:
    """The checked configuration of a command line: `load_config("recipe=mnist", "train.epochs=3")`.

    With `"data=arrays"`, of a training on data that `train_model(config, data=...)` is given.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    result = compose(*overrides)
    if result.data.name == "arrays":
        checks.settings(result)  # the rest when `train_model` gets the arrays
    else:
        checks.check(result)
    return result


def compose(*overrides: str) -> Config:
    """As `load_config`, before it is checked whether that can be trained.

    Raises:
        SettingError: an override cannot be read, or names no setting.
    """
    config.register()
    for word in overrides:
        if not isinstance(word, str):
            raise SettingError(f"{word} is no override; give each as a string, 'train.epochs=3'")
    overrides = tuple(map(at_home, overrides))
    check_words(overrides)
    try:
        with _COMPOSING, hydra.initialize_config_module("vit_keras.conf", version_base="1.3"):
            composed = hydra.compose("config", with_new_stages(overrides))
        result = _typed(composed)
        return result if result.run.resume is None else _resumed(result, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(explain(error)) from None


def with_data(own: Config, overrides: Sequence[str]) -> Config:
    """A run's settings with other data: `with_data(own, ["data=folder", "data.path=photos"])`.

    How images come to the model, `data.image_size` and `data.fit`, stays the run's unless it is set
    by its own name.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    words = list(map(at_home, overrides))
    for word in words:
        if not re.match(r"data[.=]", word):
            raise SettingError(f"{word} is no setting of the data; write data.path=... or the like")
    check_words(words)
    config.register()
    try:
        with _COMPOSING, hydra.initialize_config_module("vit_keras.conf", version_base="1.3"):
            asked = _typed(hydra.compose("config", words))
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(explain(error)) from None
    result = dataclasses.replace(own, data=dataclasses.replace(own.data))
    for setting in _touched(words):
        by_name = any(word.startswith(f"{setting}=") for word in words)
        if by_name or setting not in ("data.image_size", "data.fit"):
            _set(result, setting, _get(asked, setting))
    return result


def _settings(composed: DictConfig, check: Callable[[Config], None]) -> Config:
    """What Hydra composed, typed and checked; a resumed run's own settings if it is one."""
    result = _typed(composed)
    hydra_config = HydraConfig.get()
    if result.run.resume is not None:
        result = _resumed(result, hydra_config.overrides.task)
    elif hydra_config.mode == RunMode.MULTIRUN and not result.run.dir:
        result.run.dir = hydra_config.runtime.output_dir
    check(result)
    checks.check(result)
    run.check_free(result.run)
    return result


def _typed(composed: DictConfig) -> Config:
    """The composed tree as our dataclasses, which a `+group.name=value` may have left."""
    result = OmegaConf.to_object(composed)
    tree: Any = OmegaConf.to_container(composed)
    tree["stages"] = None  # their names are free, and OmegaConf holds each to its own settings
    strays = sorted(_leaves(tree) - set(setting_names()))
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


def check_sweep(words: list[str]) -> None:
    """Check every run of a `--multirun` grid before the first starts.

    Raises:
        SettingError: one of them cannot be trained.
    """
    check_words(words)
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    if sweeps and any(override.key_or_group == "run.dir" for override in parsed):
        raise SettingError(
            f"{next(word for word in words if word.startswith('run.dir='))} is one folder, and "
            "--multirun makes several runs; leave it out, or set run.root, under which each gets "
            "a folder of its own"
        )
    drawn = [override.input_line for override in sweeps if not override.is_discrete_sweep()]
    if drawn and not any(word.startswith("hydra/sweeper=") for word in words):
        raise SettingError(
            f"{drawn[0]} has no end of values to try; name some, as in 1,2,3, or search in it by "
            "hydra/sweeper=optuna"
        )
    if drawn:
        return  # the sweeper's plugin draws as it goes
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line or ""]
        for override in parsed
        if not str(override.key_or_group).startswith("hydra")
    ]
    if (runs := math.prod(map(len, choices))) > MOST_RUNS:
        raise SettingError(
            f"--multirun makes {runs:,} runs of this, more than {MOST_RUNS:,}; name fewer values, "
            "or let hydra/sweeper=optuna try some of them"
        )
    for values in choices:
        if again := next((value for value in values if values.count(value) > 1), None):
            raise SettingError(f"{again} is given twice, and would be trained twice; leave one out")
    for overrides in itertools.product(*choices):
        run.check_free(load_config(*overrides).run)
