"""The words of a command line, before and after Hydra: what is wrong with one, in words of ours."""

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser  # the one list of Hydra's own options
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vit_keras.config.schema import Config, StageConfig, setting_names
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io import atomic

SETTINGS_ALONE = (
    "name",
    "pretrained",
    "train",
    "stages",
    "run",
)  # of which conf/ holds no named choices
CHOICES = ("recipe", *(f.name for f in fields(Config) if f.name not in SETTINGS_ALONE))
WITHOUT_STAGES = "write ~stages.head, for each by its name, and set train.epochs"
HYDRAS_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")

# What Hydra's grammar stumbles over -> what was meant; matched with the word after it, below it.
SLIPS = {
    r"([^=]+)==+([^=\n]+)\n.*": r"one = is enough; write \1=\2",
    r"(\S+=(?:\S*,|\[[^\]\s]*))\n([^=]+)": r"the space makes two words of it; write \1\2",
    r"([^=]+=[^\n]+?),+\n.*": r"the comma at its end is too much; write \1",
}
# What OmegaConf says of a value -> what would do instead.
WAYS_OUT = {
    "nterpolation": "write ${...} around the name of another setting, such as ${train.seed}",
    "missing mandatory": "give it a value, or leave it out",
    "not Optional": "give it a value, or leave it out",
    "to Integer": "use a whole number",
    "to Float": "use a number",
    "to string": "use a word, or text in quotes",
    "valid bool": "use true or false",
    "of StageConfig": "write a new stage whole, '+stages.more={trainable: all, epochs: 5}'",
    "ListConfig": "use a list in brackets, such as [0,1]",
}


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str], bool]:
    """(words that set something, Hydra's own options, whether --multirun is one of them).

    Raises:
        SettingError: an option that Hydra does not have, or not so.
    """
    parser = get_args_parser()
    parser.error = _refuse_option  # type: ignore[method-assign]  # it would print its usage
    found, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        following = arguments[arguments.index(unknown[0]) + 1 :]
        _refuse_dashes(unknown[0], following[0] if following else "...")
    options = [word for word in arguments if word not in found.overrides]
    return found.overrides, options, found.multirun


def _refuse_option(message: str) -> NoReturn:
    raise SettingError(f"{message}; --hydra-help shows every option")


def _refuse_dashes(option: str, following: str) -> NoReturn:
    """`--epochs 3` and `--epochs=3` are to be `train.epochs=3`."""
    name, _, value = option.lstrip("-").partition("=")
    ending = f".{name.replace('-', '_')}"
    named = [item for item in (*CHOICES, *setting_names()) if f".{item}".endswith(ending)]
    meant = " or ".join(f"{item}={value or following}" for item in named)
    example = meant or "such as train.epochs=3"
    raise SettingError(f"{option} is no option; write a setting without dashes, {example}")


def expand_home(word: str) -> str:
    """`run.root=~/runs` with the home directory, which neither a shell nor Hydra puts there."""
    return re.sub(r"(?<==)~(?=/|$)", lambda _: str(Path.home()), word)


def with_new_stages(words: Sequence[str]) -> list[str]:
    """Before `+stages.more={epochs: 1}`, the word by which Hydra makes a stage to set that in.

    On its own it would put a plain dictionary where the schema has a `StageConfig`, and refuse.
    """
    found = (re.match(r"\+stages\.([\w-]+)=", word) for word in words)
    return [*(f"+stage@stages.{match[1]}=new" for match in found if match), *words]


def check_overrides(words: Sequence[str]) -> None:
    """Refuse what is no `setting=value`, in words of ours and not of Hydra's grammar.

    Raises:
        SettingError: naming the word and what to write instead.
    """
    parser = OverridesParser.create()
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        name, sign, _ = word.partition("=")
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
        except HydraException:
            raise SettingError(f"{word} cannot be read; {_meant(word, following)}") from None
        _check_override(word, override)
    staged = [word for word in words if re.match(r"[+~]*stages\b", word)]
    if staged and any(word.startswith("run.resume=") for word in words):
        raise SettingError(
            f"{staged[0]} cannot be said to a run that goes on by run.resume, which keeps its "
            "stages; leave it out, or start a new run"
        )


def _meant(word: str, following: str) -> str:
    for pattern, hint in SLIPS.items():
        if slip := re.fullmatch(pattern, f"{word}\n{following}"):
            return slip.expand(hint)
    name, _, value = word.partition("=")
    return (
        f"put an unusual value in quotes twice, '{name}=\"{value}\"', and a list in brackets, "
        f"{name}=[1,2]"
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
    if value == "":
        raise SettingError(f"{word} has no value; write one after the =, or leave {name} out")
    leaves = [item for item in setting_names() if item != "stages"]  # those have names of their own
    if whole := [item for item in leaves if name.startswith(f"{item}.")]:
        raise SettingError(f"{name} is no setting; {whole[0]} is set as a whole, {whole[0]}=...")
    if name in HYDRAS_FOLDERS:
        atomic.check_folder(word, Path(str(value)))


def _check_deletion(word: str, name: str) -> None:
    """Only a choice can be left out by `~`: a setting has its default, or none."""
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
    if absent := re.search(
        r"Could not delete from config. '(stages\.[\w-]+)' does not exist", text
    ):
        return (
            f"~{absent[1]} takes nothing away: this recipe has no such stage; its file in "
            "vit_keras/conf/recipe/ has their names"
        )
    if wrong := re.search(r"Error merging override (\S+)\n(?:\S+: )?(.+)", text):
        return f"{wrong[1]} does not fit: {wrong[2].rstrip('.')}{_way_out(wrong[2])}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        reason = str(error).splitlines()[0]
        return f"{error.full_key} has no value: {reason}{_way_out(reason)}"
    return re.sub(r"\s*\n\s*", "; ", text.strip())


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


def _way_out(reason: str) -> str:
    return next((f"; {way}" for said, way in WAYS_OUT.items() if said in reason), "")


WORDS_OF_YAML = ("null", "true", "false", "nan", "inf")  # that are no text


def quote_override(value: Any) -> str:
    """A text as a value of Hydra's grammar: as it is, or in quotes."""
    text = os.path.expanduser(str(value))  # within quotes nobody else would
    if re.fullmatch(r"[\w./:-]+", text, re.ASCII) and text.lower() not in WORDS_OF_YAML:
        return text
    # Backslashes count twice before a quote, and there alone.
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), text)
    return f'"{escaped}"'
