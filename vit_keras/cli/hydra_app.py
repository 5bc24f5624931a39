"""From a command line to a checked `Config` by Hydra, with one-line error messages."""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vit_keras import backend
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.launchers import check_launcher
from vit_keras.cli.sweep import Sweep, with_direction
from vit_keras.config import renamed_settings, schema
from vit_keras.config.compose import typed_config
from vit_keras.config.overrides import (
    check_overrides,
    expand_home,
    explain_error,
    split_arguments,
    with_new_stages,
)
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.training import preflight
from vit_keras.training.preflight import load_config
from vit_keras.training.resume import resumed_config

CONF = "pkg://vit_keras.conf"
MAX_RUNS = 1000  # of a grid, each of which is checked before the first starts


def main(
    task: Callable[[Config], Any],
    recipe: str | None = None,
    check: Callable[[Config], None] = lambda config: None,
) -> Callable[[], None]:
    """Turn `task(config)` into a command's main function, which reads `sys.argv` by Hydra.

    Exit status 2 and one line for a wrong setting, 1 for a training that diverged, 130 for Ctrl-C;
    a traceback only for an unexpected error.

    Args:
        task: the work, in a module named as the command.
        recipe: default recipe of the command.
        check: refuses settings that this task cannot use, before Keras is imported.
    """

    def job(composed: DictConfig) -> Any:
        with one_line_errors():  # inside the job too: Hydra adds lines to errors that leave it
            settings = _settings(composed, check)
            backend.import_keras()
            return task(settings)

    @functools.wraps(task)
    def script() -> None:
        # Without this Hydra prints its errors itself and exits with 1, so we could not catch them.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        backend.leave_out_unused()
        schema.register()
        with one_line_errors():
            typed, options, is_sweep = split_arguments(sys.argv[1:])
            words = [expand_home(word) for word in renamed_settings.current_words(typed)]
            check_overrides(words)
            if recipe and not any(word.startswith(("recipe=", "run.resume=")) for word in words):
                words.insert(0, f"recipe={recipe}")
            start = hydra.main(version_base="1.3", config_path=CONF, config_name="config")
            count = check_sweep(words, check) if is_sweep else None
            if is_sweep:
                words = with_direction(words)
            # Hydra ignores overrides after an option, so the options come last.
            sys.argv[1:] = [*with_new_stages(words), *options]
            if is_sweep:
                sweep = Sweep(task.__module__.rpartition(".")[2].replace("_", "-"), words, count)
                sweep.run(start(sweep.run_job))
            else:
                start(job)()

    return script


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """The exit codes of every command, with the errors of Hydra and OmegaConf in one line."""
    with exit_codes():
        try:
            yield
        except (HydraException, OmegaConfBaseException) as error:
            raise SettingError(explain_error(error)) from None


def _settings(composed: DictConfig, check: Callable[[Config], None]) -> Config:
    """The composed settings, typed and checked; those of the run itself if it is resumed."""
    result = typed_config(composed)
    if result.run.resume is not None:
        result = resumed_config(result, HydraConfig.get().overrides.task)
    check(result)
    preflight.check(result)
    run_dir.check_free(result.run)
    return result


def check_sweep(
    words: list[str], check: Callable[[Config], None] = lambda config: None
) -> int | None:
    """Check every run of a `--multirun` grid before the first starts.

    Returns:
        The number of runs; None if a sweeper chooses the values.

    Raises:
        SettingError: one of them cannot be trained, or two are the same.
    """
    check_overrides(words)
    check_launcher(words)
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    if sweeps and any(override.key_or_group == "run.dir" for override in parsed):
        word = next(word for word in words if word.startswith("run.dir="))
        raise SettingError(
            f"{word} is one folder, and --multirun makes several runs; leave it out, or set "
            "run.root, in which each run gets its own folder"
        )
    continuous = [override.input_line for override in sweeps if not override.is_discrete_sweep()]
    if continuous and not any(word.startswith("hydra/sweeper=") for word in words):
        raise SettingError(
            f"{continuous[0]} is an interval, which a grid cannot try; list values, as in 1,2,3, "
            "or search it by hydra/sweeper=optuna"
        )
    if continuous:
        return None  # the sweeper chooses the values during the search
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line or ""]
        for override in parsed
        if not str(override.key_or_group).startswith("hydra")
    ]
    if (runs := math.prod(map(len, choices))) > MAX_RUNS:
        raise SettingError(
            f"--multirun would start {runs:,} runs, more than {MAX_RUNS:,}; list fewer values, "
            "or let hydra/sweeper=optuna try some of them"
        )
    for values in choices:
        if again := next((value for value in values if values.count(value) > 1), None):
            raise SettingError(f"{again} is listed twice and would be trained twice; remove one")
    _check_each(choices, runs, check)
    return runs


def _check_each(choices: list[list[str]], runs: int, check: Callable[[Config], None]) -> None:
    """Refuse a grid of `runs` runs of which one cannot be trained, or two are the same."""
    seen: dict[str, str] = {}
    for number, overrides in enumerate(itertools.product(*choices), start=1):
        pairs = zip(overrides, choices, strict=True)
        varied = " ".join(word for word, values in pairs if len(values) > 1)
        try:
            config = load_config(*overrides)
            check(config)
            run_dir.check_free(config.run)
        except SettingError as error:
            which = f"run {number} of {runs}, {varied}; none was started"
            raise SettingError(f"{error} ({which})" if varied else str(error)) from None
        _check_new(config, varied, seen)


def _check_new(config: Config, varied: str, seen: dict[str, str]) -> None:
    """Refuse a run of a sweep that is the same as an earlier one, whatever its name."""
    run = dataclasses.replace(config.run, dir=None)
    key = repr(dataclasses.replace(config, name="", run=run))
    if key in seen:
        raise SettingError(
            f"{seen[key]} and {varied} train the same run twice; leave one of the values out"
        )
    seen[key] = varied
