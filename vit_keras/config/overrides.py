"""Overrides on a command line: what can be refused before Hydra reads them, with the way out.

What Hydra and OmegaConf say well themselves is passed on in one line.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vit_keras.config.fields import options, stage_options
from vit_keras.config.schema import Config, StageConfig, setting_names
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io import atomic
from vit_keras.text import first_line

SETTINGS_ALONE = (
    "name",
    "task",
    "pretrained",
    "train",
    "stages",
    "run",
)  # conf/ has no group of these
CHOICES = ("recipe", *(f.name for f in fields(Config) if f.name not in SETTINGS_ALONE))
WITHOUT_STAGES = "write ~stages.head, for each by its name, and set train.epochs"
HYDRAS_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")


def _hydras_options() -> argparse.ArgumentParser:
    """Hydra's command-line flags (hydra.cc/docs/advanced/hydra-command-line-flags)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for flag in ("--help -h", "--hydra-help", "--version", "--run -r", "--multirun -m", "--resolve",
                 "--shell-completion -sc"):  # fmt: skip
        parser.add_argument(*flag.split(), action="store_true")
    for option in ("--package -p", "--config-path -cp", "--config-name -cn", "--config-dir -cd",
                   "--experimental-rerun"):  # fmt: skip
        parser.add_argument(*option.split())
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--info", "-i", nargs="?", const="all")
    parser.error = _refuse_option  # type: ignore[method-assign]  # it would print its usage
    return parser


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str], bool]:
    """(overrides, Hydra's own options, whether --multirun is one of them).

    Raises:
        SettingError: an option that Hydra does not have, or a wrong value of one.
    """
    found, unknown = _hydras_options().parse_known_intermixed_args(arguments)
    if unknown:
        following = arguments[arguments.index(unknown[0]) + 1 :]
        _refuse_dashes(unknown[0], following[0] if following else "...")
    options = [word for word in arguments if word not in found.overrides]
    return found.overrides, options, found.multirun


def _refuse_option(message: str) -> NoReturn:
    raise SettingError(f"{message}; --hydra-help shows every option")


def _refuse_dashes(option: str, following: str) -> NoReturn:
    """Refuse `--epochs 3` and `--epochs=3` with `train.epochs=3` as the way out."""
    name, _, value = option.lstrip("-").partition("=")
    ending = f".{name.replace('-', '_')}"
    named = [item for item in (*CHOICES, *setting_names()) if f".{item}".endswith(ending)]
    meant = " or ".join(f"{item}={value or following}" for item in named)
    example = meant or "such as train.epochs=3"
    raise SettingError(f"{option} is no option; write a setting without dashes, {example}")


def expand_home(word: str) -> str:
    """`run.root=~/runs` with the home directory: neither the shell nor Hydra expands it there."""
    return re.sub(r"(?<==)~(?=/|$)", lambda _: str(Path.home()), word)


def with_new_stages(words: Sequence[str]) -> list[str]:
    """The overrides, with a new `StageConfig` before `+stages.more={epochs: 1}` sets values in it.

    Without it Hydra would put a plain dictionary where the schema has a `StageConfig`, and refuse.
    """
    found = (re.match(r"\+stages\.([\w-]+)=", word) for word in words)
    return [*(f"+stage@stages.{match[1]}=new" for match in found if match), *words]


def check_overrides(words: Sequence[str]) -> None:
    """Refuse what is no `setting=value`.

    Raises:
        SettingError: naming the word and what to write instead.
    """
    parser = OverridesParser.create()
    for word in words:
        name, sign, value = word.partition("=")
        if not re.match(r"[+~]*\w", name) or (not sign and not name.startswith("~")):
            recipes = [
                path.stem for path in (Path(__file__).parents[1] / "conf/recipe").glob("*.yaml")
            ]
            example = f"recipe={name}" if name in recipes else "train.epochs=3"
            raise SettingError(
                f"{word} sets nothing; write setting=value without spaces, such as {example}"
            )
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            reason = str(error).partition(" expecting ")[0].splitlines()[0]
            raise SettingError(
                f"{word} cannot be read: {reason}; write setting=value without spaces, lists as "
                f"{name}=[1,2], and an unusual value in quotes twice, '{name}=\"{value}\"'"
            ) from None
        _check_override(word, override)
    if any(word.startswith("run.resume=") and word != "run.resume=null" for word in words):
        _check_resuming(words)


def _check_resuming(words: Sequence[str]) -> None:
    """Refuse what a run that is resumed keeps: its stages and its folder."""
    for word in words:
        if re.match(r"[+~]*stages\b", word):
            raise SettingError(
                f"{word} cannot be set for a run that is resumed by run.resume, which keeps its "
                "stages; leave it out, or start a new run"
            )
        if word.startswith(("run.dir=", "run.root=")):
            raise SettingError(
                f"{word} has no effect on a run that is resumed by run.resume, which stays where "
                "it is; leave it out"
            )


def _check_override(word: str, override: Override) -> None:
    name, value = str(override.key_or_group), override.value()
    if override.is_delete():
        return _check_deletion(word, name)
    if name in CHOICES and (not value or isinstance(value, int | float)):
        raise SettingError(
            f"{word} names no choice; leave it out, or pick one of vit_keras/conf/{name}/"
        )
    if name == "stages" and value == {}:
        raise SettingError(f"{word} takes no stage away; {WITHOUT_STAGES}")
    if override.is_add() and (stage := re.fullmatch(r"stages\.([\w-]+)\.(\w+)", name)):
        raise SettingError(
            f"{word} sets a part of a new stage; set all of it in one, "
            f"'+stages.{stage[1]}={{{stage[2]}: {value}}}'"
        )
    if value == "":
        raise SettingError(f"{word} has no value; write one after the =, or leave {name} out")
    leaves = [item for item in setting_names() if item != "stages"]  # those have names of their own
    if whole := [item for item in leaves if name.startswith(f"{item}.")]:
        raise SettingError(f"{name} is no setting; {whole[0]} is set as a whole, {whole[0]}=...")
    if name in HYDRAS_FOLDERS:
        atomic.check_folder(word, Path(str(value)))


def _check_deletion(word: str, name: str) -> None:
    """Refuse `~` before a setting, which always has a value; a group's choice can be removed."""
    if name in CHOICES or name.startswith(("hydra", "stages.")):
        return
    if name == "stages":
        raise SettingError(f"{word} cannot be taken away as a whole; {WITHOUT_STAGES}")
    if name not in setting_names():
        raise SettingError(f"{word}: {name} is no setting{did_you_mean(name, setting_names())}")
    default = OmegaConf.select(OmegaConf.structured(Config), name)
    raise SettingError(
        f"{word} cannot take a setting away; leave it out, or write "
        f"{name}={'null' if default is None else default}, its default"
    )


def explain_error(error: Exception) -> str:
    """One line for an error of Hydra's or OmegaConf's, with the nearest name that exists."""
    if isinstance(error, SettingError):
        return str(error)
    text = f"{error}\n{error.__cause__ or ''}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, value = error.missing_cfg_file.rpartition("/")
        return f"{group}={value} is unknown{did_you_mean(value, error.options)}"
    if found := re.search(r"Key '(\w+)' (?:is )?not in|No match in the defaults list", text):
        named = re.search(r"Could not override '([^']+)'|override \+(stages\.[\w-]+)=", text)
        if named and named[2]:
            return _unknown(f"{named[2]}.{found[1]}")
        return _unknown(named[1] if named else found[1])
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key} has no value: {first_line(error)}"
    # OmegaConf ends with lines such as `full_key: model.depth`, which repeat the first.
    lines = [line.strip() for line in re.split(r"\n\s+full_key:", text)[0].splitlines()]
    return "; ".join(line for line in [*lines, _expected(text)] if line)


def _expected(text: str) -> str:
    """The values of the setting that an error of OmegaConf names; empty if it names none."""
    named = re.search(r"Error merging override \+*(?:stages\.[\w-]+\.)?([\w.]+)=", text)
    option = (options() | stage_options()).get(named[1]) if named else None
    return f"use {option.expected}" if option and option.expected else ""


def _unknown(name: str) -> str:
    if stage := re.fullmatch(r"stages\.([\w-]+)\.?(.*)", name):
        return f"{name} is no setting{_stage_hint(*stage.groups())}"
    if leaves := [item for item in setting_names() if item.endswith(f".{name}")]:
        return f"{name} is no setting; did you mean {' or '.join(leaves)}?"
    groups = ["recipe", *(item.name for item in fields(Config))]
    group = f"{name.partition('.')[0]}."
    near = [item for item in setting_names() if item.startswith(group)] or setting_names()
    return f"{name} is no setting{did_you_mean(name, near if '.' in name else groups)}"


def _stage_hint(stage: str, field: str) -> str:
    known = [item.name for item in fields(StageConfig)]
    if stage in known:
        return f"; each stage has its own, such as stages.head.{stage}"
    if field and field not in known:
        return did_you_mean(f"stages.{stage}.{field}", [f"stages.{stage}.{item}" for item in known])
    return (
        f"; there is no stage {stage}, and a new one begins with a plus, "
        f"'+stages.{stage}={{trainable: all, epochs: 5}}'"
    )
