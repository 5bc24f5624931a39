"""Completion in a shell: `vit-keras completion bash > ~/.bash_completion.d/vit-keras`."""

import argparse
import importlib
import sys
from dataclasses import fields
from pathlib import Path

import shtab

import vit_keras
from vit_keras.cli.arguments import Parser, one_of, parse
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.main import COMMANDS, module_name
from vit_keras.config.fields import options
from vit_keras.config.schema import Config

SHELLS = ("bash", "zsh", "fish")
CONF = Path(__file__).parents[1] / "conf"
HYDRA_COMMANDS = ("train", "finetune", "estimate", "show-augment")

# bash splits words at "=", so it would complete `recipe=ci` as `ci`; and it adds a space after a
# completed word, where the value of a setting has to follow.
BASH = """
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
_vit_keras_completion() {
  _shtab_vit_keras "$@"
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o bashdefault -F _vit_keras_completion vit-keras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", type=one_of(SHELLS), choices=SHELLS)


def main() -> None:
    with exit_codes():
        settings = parse("completion", add_arguments, sys.argv[1:])
        print(script(settings.shell))


def script(shell: str) -> str:
    """The completion script for a shell, which reads it when it starts."""
    text = shtab.complete(full_parser(), shell=shell)
    return text + BASH if shell == "bash" else text


def full_parser() -> argparse.ArgumentParser:
    """One parser of all commands with their arguments."""
    parser = Parser(prog="vit-keras")
    parser.add_argument("--version", action="version", version=vit_keras.__version__)
    commands = parser.add_subparsers(dest="command")
    for command, help in COMMANDS.items():
        subparser = commands.add_parser(command, help=help)
        if command in HYDRA_COMMANDS:
            subparser.add_argument("--multirun", action="store_true", help="one run per value")
            subparser.add_argument(
                "overrides", nargs="*", choices=overrides(), help="setting=value"
            )
        else:
            importlib.import_module(module_name(command)).add_arguments(subparser)
            for action in subparser._actions:
                if action.dest == "overrides":  # settings beside options
                    action.choices = overrides()
    return parser


def overrides() -> list[str]:
    """Completions of a Hydra override: presets such as `recipe=cifar10`, and `train.epochs=`."""
    groups = ["recipe", *(field.name for field in fields(Config))]
    choices = [
        f"{group}={file.stem}" for group in groups for file in sorted((CONF / group).glob("*.yaml"))
    ]
    return [*choices, *(f"{name}=" for name in options())]
