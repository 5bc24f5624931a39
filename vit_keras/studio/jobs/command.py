"""Chosen settings as a command line, and the recipes and presets to choose. Imports no Keras."""

import functools
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from vit_keras.cli import hydra_app
from vit_keras.config import renamed_settings
from vit_keras.config.overrides import check_overrides
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config
from vit_keras.data import registry
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.training import preflight

CONF = Path(__file__).parents[2] / "conf"
TRAIN, FINETUNE = "train", "finetune"
GRID, RANDOM, OPTUNA = "Grid search", "Random search", "Optuna"
SWEEPERS = {
    GRID: (),
    RANDOM: ("hydra/sweeper=optuna", "hydra/sweeper/sampler=random"),
    OPTUNA: ("hydra/sweeper=optuna", "hydra/sweeper/sampler=tpe"),
}


@dataclass(frozen=True)
class Recipe:
    """A file of `conf/recipe/`.

    Attributes:
        name: name of the file without its suffix.
        help: the comment at the top of the file.
        data: the data set that it is written for, a name of `conf/data/`.
        handle: of the pretrained model that it starts from; empty from scratch.
    """

    name: str
    help: str
    data: str
    handle: str

    @property
    def is_pretrained(self) -> bool:
        return bool(self.handle)


@functools.cache  # a page is drawn at every click
def recipes() -> tuple[Recipe, ...]:
    """All recipes, sorted by name."""
    return tuple(_read_recipe(file) for file in sorted((CONF / "recipe").glob("*.yaml")))


def default_recipe(is_pretrained: bool, data: str, handle: str = "") -> Recipe:
    """The recipe that is written for a data set, or the first one for this start.

    With a handle one of that pretrained model, if there is one: for the data, or else for files,
    which takes all images.
    """
    found = [recipe for recipe in recipes() if recipe.is_pretrained == is_pretrained]
    of_model = [recipe for recipe in found if recipe.handle == handle]
    data = "folder" if data in registry.OF_FILES else data  # a recipe for files
    for candidates, wanted in ((of_model, data), (of_model if handle else [], "folder")):
        matching = [recipe for recipe in candidates if recipe.data == wanted]
        if matching:
            named = (recipe for recipe in matching if recipe.name.endswith(data))
            return next(named, matching[0])
    return next((recipe for recipe in found if is_pretrained and recipe.data == data), found[0])


def _read_recipe(file: Path) -> Recipe:
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    # A list of mappings with one entry each, such as {"override /data": "folder"}.
    defaults = {name: value for item in content.get("defaults", ()) for name, value in item.items()}
    data = defaults.get("override /data", "digits")
    handle = content.get("pretrained", {}).get("handle") or ""
    return Recipe(file.stem, _top_comment(text), data, handle)


def group_choices(group: str) -> dict[str, str]:
    """The presets of a group of settings, each with the comment at the top of its file."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {file.stem: _top_comment(file.read_text(encoding="utf-8")) for file in files}


def _top_comment(text: str) -> str:
    """The comment lines at the top of a file, without `@package`."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def command_line(command: str, words: Iterable[str]) -> str:
    """A `vit-keras` command as a person would type it."""
    return shlex.join(["vit-keras", command, *words])


@dataclass(frozen=True)
class Command:
    """The command line of a training.

    Attributes:
        name: `train` or `finetune`.
        words: overrides; `a=1,2` in a sweep.
        swept: settings that a sweep varies.
    """

    name: str
    words: tuple[str, ...]
    swept: tuple[str, ...] = ()

    @property
    def all_words(self) -> tuple[str, ...]:
        return (*(("--multirun",) if self.swept else ()), *self.words)

    def fixed_words(self) -> tuple[str, ...]:
        """The overrides that all runs of a sweep share; all of them for a single run."""
        return tuple(
            word for word in self.words if not self._is_swept(word) and not word.startswith("hydra")
        )

    def text(self) -> str:
        """The command for a shell, in the folder that the studio was started in."""
        return command_line(self.name, self.all_words)

    def check(self) -> Config:
        """Check the settings as the command itself does; of a sweep those of each run.

        Returns:
            The settings of the run, or those that the runs of a sweep share.

        Raises:
            SettingError: as the command would report it.
        """
        config = preflight.load_config(*self.fixed_words())
        if self.name == FINETUNE:
            preflight.has_handle(config)
        if self.swept:
            self._check_swept()
            _check_sweep(self.words)
        run_dir.check_free(config.run)
        return config

    def _is_swept(self, word: str) -> bool:
        return any(word.startswith(f"{name}=") for name in self.swept)

    def _check_swept(self) -> None:
        for word in filter(self._is_swept, self.words):
            name, _, value = word.partition("=")
            if "," not in value and "(" not in value:
                raise SettingError(
                    f"{name}={value} is a single value, not a sweep; separate several by commas, "
                    f"such as 1,2,3 ({RANDOM} and {OPTUNA} take interval(1,3) as well), or remove "
                    f"{name} from the settings to vary"
                )


@functools.lru_cache(maxsize=16)  # checks every run, and a page is drawn at every click
def _check_sweep(words: tuple[str, ...]) -> None:
    hydra_app.check_sweep(list(words))


def to_text(value: Any) -> str:
    """The value of a setting as it is typed; empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {to_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(quote_override(to_text(item)) for item in value)}]"
    return str(value)


def override(name: str, kind: str, is_optional: bool, typed: str) -> str:
    """The override `name=value` for a text that was typed or chosen."""
    text = typed.strip()
    if not text and is_optional:
        return f"{name}=null"
    return f"{name}={quote_override(text) if kind == 'text' and text else text}"


def as_typed(words: Iterable[str]) -> dict[str, str]:
    """What one would type for each override, by its name: the inverse of `override`.

    Raises:
        SettingError: a word is no override.
    """
    words = renamed_settings.current_words(list(words))
    check_overrides(words)
    parsed = OverridesParser.create().parse_overrides(overrides=words)
    return {
        str(one.input_line).partition("=")[0]: str(one.input_line).partition("=")[2]
        if one.is_sweep_override()
        else to_text(one.value())
        for one in parsed
    }
