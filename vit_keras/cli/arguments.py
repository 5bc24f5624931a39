"""Commands with `--option value` arguments: argparse that reports each error in one line."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import shtab

from vit_keras import backend
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.legacy_arguments import translate
from vit_keras.cli.main import COMMANDS
from vit_keras.errors import SettingError, did_you_mean

AddArguments = Callable[[argparse.ArgumentParser], None]


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
) -> None:
    """Parse `sys.argv`, check the settings before Keras is imported, and run the task."""
    with exit_codes():
        settings = parse(command, add_arguments, sys.argv[1:])
        check(settings)
        backend.import_keras()
        task(settings)


def positive_int(text: str) -> int:
    """Argument type: an integer of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is out of range; use an integer of 1 or more")
    return int(text)


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


def complete_files(argument: argparse.Action) -> None:
    """Let a shell complete an argument by the names of files and folders."""
    argument.complete = shtab.FILE  # type: ignore[attr-defined]
