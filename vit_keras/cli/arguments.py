"""The command line of a script that works on a run: words of `setting=value`, and nothing else.

What can be set is a dataclass whose fields say in their metadata what they are for; one of them may
take the words that set nothing, such as files. Hydra is for what makes a run; here there are no
groups to choose from, and paths may hold any character.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from vit_keras import backend
from vit_keras.cli import hydra_app
from vit_keras.errors import SettingError, did_you_mean

Settings = TypeVar("Settings")


def setting(help: str, default: Any = MISSING) -> Any:
    """A field of a class of settings; without a default, it has to be given."""
    return field(default=default, metadata={"help": help})


def free_words(help: str) -> Any:
    """A field for all words that set nothing, one or more."""
    return field(metadata={"help": help, "is_free": True})


def group_words(help: str) -> Any:
    """A field for the words of a group of a run's configuration, such as `data.limit=100`."""
    return field(default=(), metadata={"help": help, "is_group": True})


@dataclass
class EvaluateSettings:
    """Measure a run's model on its test split, and write a report."""

    run: str = setting("the folder of a training run")
    data: tuple[str, ...] = group_words(
        "data.path=... or the like: what differs from the run's data"
    )
    split: str = setting("test, or all: every image of data that it was not trained on", "test")
    sizes: tuple[int, ...] = setting("image sizes that it is tried at besides, as 24,48", ())
    images: int = setting("how many test images it is tried on corrupted", 1000)
    output: str | None = setting("the folder to make; <run>/evaluation", None)


@dataclass
class ExplainSettings:
    """Draw what a run's model looks at in one image."""

    run: str = setting("the folder of a training run")
    image: str = setting("an image file, or a number: that image of the run's test split")
    target: str | None = setting("the class whose relevance is drawn; the predicted one", None)
    layer: str | None = setting("the block whose heads are drawn; the last one", None)
    output: str | None = setting("the folder to make; <run>/explanations/<image>", None)


@dataclass
class ExportSettings:
    """Write a run's model for another program: uint8 pixels in, probabilities out."""

    run: str = setting("the folder of a training run")
    format: str = setting("tf_saved_model, onnx, onnx_int8, litert, openvino or keras_int8")
    output: str | None = setting("the folder to make; <run>/export/<format>", None)
    images: int = setting("how many test images the file is compared with Keras on", 200)


@dataclass
class PredictSettings:
    """Say which classes images are of."""

    run: str = setting("the folder of a training run")
    images: tuple[str, ...] = free_words("files, folders or globs, without a name before them")
    top_k: int = setting("how many classes each image gets, the likeliest first", 3)
    format: str | None = setting("table, json or csv; what output ends in, or a table,", None)
    flip: bool = setting("average over the image and its mirror image", False)
    output: str | None = setting("the file to write; standard output", None)
    overwrite: bool = setting("replace the file if it is there", False)


def main(
    schema: type[Settings], check: Callable[[Settings], Any], task: Callable[[Settings], Any]
) -> Callable[[], None]:
    """Make `task(settings)` a script's main function.

    `check` refuses, before Keras is imported, what cannot work. Exit status 2 and one line for a
    setting that cannot, 130 for Ctrl-C, as in the training scripts.
    """

    def script() -> None:
        with hydra_app.one_line_errors():
            if {"-h", "--help"} & set(sys.argv[1:]):
                print(usage(schema))
                return
            settings = read(schema, sys.argv[1:])
            check(settings)
            backend.import_keras()
            task(settings)

    return script


def read(schema: type[Settings], words: Sequence[str]) -> Settings:
    """`["run=a", "images=10"]` as an instance of `schema`.

    Raises:
        SettingError: a word that sets nothing, an unknown setting, a wrong or a missing value.
    """
    known = {item.name: item for item in fields(schema)}  # type: ignore[arg-type]
    free = next((name for name, item in known.items() if "is_free" in item.metadata), None)
    named = {name: item for name, item in known.items() if name != free}
    given: dict[str, Any] = {}
    for word in words:
        if free and _sets_nothing(word, named):
            given.setdefault(free, []).append(word)
            continue
        if group := _group(word, named):
            given[group] = (*given.get(group, ()), word)
            continue
        name, value = _parted(word, named)
        if name in given:
            raise SettingError(f"{word} sets {name} a second time; give it once")
        if not value:
            raise SettingError(f"{word} has no value; write one after the =, or leave {name} out")
        given[name] = VALUES.get(named[name].type, lambda _, text: text)(name, value)
    for name, item in known.items():
        if item.default is MISSING and name not in given:
            way_out = "name one at least" if name == free else f"{name}=..."
            raise SettingError(f"{name} is not set: {item.metadata['help']}; {way_out}")
    if free:
        given[free] = tuple(given[free])
    return schema(**given)


def _parted(word: str, named: Mapping[str, Field]) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or name.startswith("-"):
        needed = (f"{name}=..." for name, item in named.items() if item.default is MISSING)
        example = " ".join(needed)
        raise SettingError(f"{word} sets nothing; write setting=value, such as {example}")
    if name not in named:
        raise SettingError(f"{name} is no setting{did_you_mean(name, named)}")
    return name, value


def _group(word: str, named: Mapping[str, Field]) -> str | None:
    """The group whose word it is, as `data.limit=100` is of `data`."""
    name, sign, _ = word.partition("=")
    group = name.partition(".")[0]
    return group if sign and group in named and "is_group" in named[group].metadata else None


def _sets_nothing(word: str, named: Mapping[str, Field]) -> bool:
    """Whether a word is free; one that is neither a setting nor there is a setting misspelt."""
    name, sign, _ = word.partition("=")
    if word.startswith("-") or (sign and name in named):
        return False
    return not sign or not name.isidentifier() or os.path.lexists(word)


def _whole(name: str, value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise SettingError(f"{name}={value} does not fit; use a whole number, 1 or more")
    return int(value)


def _yes_or_no(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise SettingError(f"{name}={value} does not fit; use true or false")
    return value.lower() == "true"


def _numbers(name: str, value: str) -> tuple[int, ...]:
    return tuple(_whole(name, part) for part in value.split(","))


# The default of a field -> what `--help` says of it.
NOTES: dict[Any, str] = {MISSING: " (needed)", None: " unless set", (): ""}
# The type of a field -> what makes one of a setting's name and its text.
VALUES: dict[Any, Callable[[str, str], Any]] = {
    int: _whole,
    bool: _yes_or_no,
    tuple[int, ...]: _numbers,
}


def usage(schema: type) -> str:
    """What `--help` prints."""
    items = fields(schema)
    width = max(8, *(len(item.name) for item in items))
    lines = [f"{schema.__doc__} Words of setting=value:", ""]
    for item in items:
        default = str(item.default).lower() if item.type is bool else item.default
        note = NOTES.get(default, f" ({default})")
        lines.append(f"  {item.name:<{width}} {item.metadata['help']}{note}")
    return "\n".join(lines)
