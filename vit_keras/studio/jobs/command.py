"""What was chosen, as the command line that does the same. Nothing here imports Keras."""

import functools
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.cli import hydra_app
from vit_keras.config.overrides import quote_override
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.training import preflight

CONF = Path(__file__).parents[2] / "conf"
TRAIN, FINETUNE = "train", "finetune"
SWEEPERS = {
    "grid": (),
    "random": ("hydra/sweeper=optuna", "hydra/sweeper/sampler=random"),
    "Optuna": ("hydra/sweeper=optuna", "hydra/sweeper/sampler=tpe"),
}


@dataclass(frozen=True)
class Recipe:
    """A file of `conf/recipe/`.

    Attributes:
        name: of the file.
        help: the comment at its top.
        data: the data set that it is written for, a name of `conf/data/`.
        is_pretrained: whether it starts from trained weights.
    """

    name: str
    help: str
    data: str
    is_pretrained: bool


def recipes() -> list[Recipe]:
    """Every recipe, by name."""
    return [_recipe(file) for file in sorted((CONF / "recipe").glob("*.yaml"))]


def first_recipe(is_pretrained: bool, data: str) -> Recipe:
    """The one that is written for a data set, or else another one for this start."""
    found = [recipe for recipe in recipes() if recipe.is_pretrained == is_pretrained]
    fitting = [recipe for recipe in found if recipe.data == data]
    named = (recipe for recipe in fitting if recipe.name.endswith(data))
    return next(named, next(iter(fitting), found[0]))


def _recipe(file: Path) -> Recipe:
    text = file.read_text(encoding="utf-8")
    data = re.search(r"override /data: (\w+)", text)
    pretrained = re.search(r"^pretrained:", text, re.MULTILINE)
    return Recipe(file.stem, _comment(text), data[1] if data else "digits", bool(pretrained))


def group_choices(group: str) -> dict[str, str]:
    """The named choices of a group of settings, each with the comment at the top of its file."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {file.stem: _comment(file.read_text(encoding="utf-8")) for file in files}


def _comment(text: str) -> str:
    """The first lines of a file that are a comment, without `@package`."""
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
    """A training as a person would type it.

    Attributes:
        name: `train` or `finetune`.
        words: its settings; `a=1,2` in a sweep.
        swept: the settings that a sweep varies.
    """

    name: str
    words: tuple[str, ...]
    swept: tuple[str, ...] = ()

    @property
    def all_words(self) -> tuple[str, ...]:
        return (*(("--multirun",) if self.swept else ()), *self.words)

    def fixed_words(self) -> tuple[str, ...]:
        """What all runs of a sweep have in common; of a single run every word."""
        return tuple(
            word for word in self.words if not self._is_swept(word) and not word.startswith("hydra")
        )

    def text(self) -> str:
        """To be pasted into a shell, in the folder that the studio was started in."""
        return command_line(self.name, self.all_words)

    def check(self) -> Config:
        """The checked settings, by the checks of the command itself.

        Of a sweep, those that all its runs have, and each of its runs.

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
                    f"{name}={value} is one value, which is no sweep; give several with commas "
                    "between them, such as 1,2,3, or for random and Optuna interval(1,3), or take "
                    f"{name} out of what is varied"
                )


@functools.lru_cache(maxsize=16)  # every run of it, for every look at the page
def _check_sweep(words: tuple[str, ...]) -> None:
    hydra_app.check_sweep(list(words))


def text_of(value: Any) -> str:
    """A value of a setting as one types it; null is nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {text_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(quote_override(text_of(item)) for item in value)}]"
    return str(value)


def word(name: str, kind: str, is_optional: bool, typed: str) -> str:
    """What a person typed or picked for a setting, as a word of the command line."""
    text = typed.strip()
    if not text and is_optional:
        return f"{name}=null"
    return f"{name}={quote_override(text) if kind == 'text' and text else text}"
