"""Commands with `--option value` arguments: argparse that reports each error in one line."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import shtab

from vit_keras import backend
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.legacy_arguments import translate
from vit_keras.cli.main import COMMANDS
from vit_keras.errors import SettingError, did_you_mean

AddArguments = Callable[[argparse.ArgumentParser], None]
# As messages about the columns of a table name a setting -> the argument of `add_images`.
IMAGE_NAMES = {"data.image_column=": "--image-column ", "data.image_column": "--image-column"}
SETTINGS = "SETTING=VALUE"  # metavar of an option that takes settings of a run


class Parser(argparse.ArgumentParser):
    """An argument parser that raises a `SettingError` instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        if choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            hint = did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
            message = message.replace(f" (choose from {choice[2]})", hint)
        raise SettingError(f"{message}; see {self.prog} --help")


def build_parser(command: str, add_arguments: AddArguments) -> Parser:
    """The parser of one command, such as `evaluate`."""
    help = COMMANDS[command]
    parser = Parser(prog=f"vit-keras {command}", description=f"{help[0].upper()}{help[1:]}.")
    add_arguments(parser)
    return parser


def parse(command: str, add_arguments: AddArguments, words: list[str]) -> argparse.Namespace:
    """Parse a command line whose options may stand before, between or behind its arguments.

    Raises:
        SettingError: an unknown option, a wrong or a missing value.
    """
    parser = build_parser(command, add_arguments)
    return parser.parse_intermixed_args(translate(command, words))


def run(
    command: str,
    add_arguments: AddArguments,
    check: Callable[[Any], Any],
    task: Callable[[Any], None],
    imports_keras: bool = True,
    names: Mapping[str, str] | None = None,
) -> None:
    """Parse `sys.argv`, check the settings before Keras is imported, and run the task.

    A task that can do without Keras imports it itself where it needs it. `names` are those of
    `as_typed`.
    """
    backend.leave_out_unused()
    words = sys.argv[1:]
    with exit_codes(as_typed(build_parser(command, add_arguments), words, names)):
        settings = parse(command, add_arguments, words)
        check(settings)
        if imports_keras:
            backend.import_keras()
        task(settings)


def as_typed(
    parser: argparse.ArgumentParser, words: list[str], names: Mapping[str, str] | None = None
) -> Callable[[str], str]:
    """A function that makes a message name what is typed: `output=x` becomes `--output x`.

    The messages are those of the Python functions behind a command. Words that were typed stay as
    they are: files such as `run=1.png`, and the syntax of version 0.1.

    Args:
        parser: of the command; its arguments replace the parameters of the same name.
        words: the command line.
        names: more of what is to be replaced, such as the settings that an argument stands for.
    """
    replaced = {**_argument_names(parser), **(names or {})}
    longest_first = sorted(replaced, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.=/-])({'|'.join(map(re.escape, longest_first))})")
    typed = tuple(word for word in words if "=" in word)

    def name(found: re.Match[str]) -> str:
        is_typed = found.string.startswith(typed, found.start())
        return found[0] if is_typed else replaced[found[0]]

    return lambda message: pattern.sub(name, message) if replaced else message


def _argument_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """`output=` -> `--output `, `run=` -> nothing: RUN is a position; sub-commands included."""
    names: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                names |= _argument_names(subparser)
        elif action.metavar == SETTINGS:  # whose values are settings themselves
            names[f"{action.dest}="] = f"{action.option_strings[0]} {action.dest}="
        elif action.nargs != 0:  # no switch
            options = action.option_strings
            names[f"{action.dest}="] = f"{options[0]} " if options else ""
    return names


def positive_int(text: str) -> int:
    """Argument type: an integer of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is out of range; use an integer of 1 or more")
    return int(text)


def share(text: str) -> float:
    """Argument type: a number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; use above 0, below 1")
    return value


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """Argument type: one of some names; the error for another name suggests the nearest."""
    known = list(names)

    def name(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text} is unknown{did_you_mean(text, known)}")
        return text

    return name


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN, the folder of a training run."""
    complete_files(parser.add_argument("run", metavar="RUN", help="the folder of a training run"))


def add_model(parser: argparse.ArgumentParser) -> None:
    """The argument MODEL, a run or pretrained weights."""
    help = "the folder of a training run, or pretrained weights as of pretrained.handle"
    complete_files(parser.add_argument("model", metavar="MODEL", help=help))


def add_format(parser: argparse.ArgumentParser, formats: Sequence[str], help: str) -> None:
    """The option `--format`: one of the formats of an export, by default the first."""
    parser.add_argument(
        "--format",
        type=one_of(formats),
        choices=formats,
        default=formats[0],
        help=f"{help} (%(default)s)",
    )


def complete_files(argument: argparse.Action) -> None:
    """Let a shell complete an argument by the names of files and folders."""
    argument.complete = shtab.FILE  # type: ignore[attr-defined]


def add_images(parser: argparse.ArgumentParser) -> None:
    """The argument IMAGE: files and folders, or a table with `--image-column`."""
    images = parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, folders or globs, or a table"
    )
    complete_files(images)
    parser.add_argument(
        "--image-column", help="of a table: the column of the paths (found by its name)"
    )
