"""Recommend a training: `vit-keras recommend data=folder data.path=photos`."""

import argparse
import shlex

from vit_keras.cli import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides",
        nargs="+",
        metavar="setting=value",
        help="the data, such as data=mnist or data=folder data.path=photos",
    )


def main() -> None:
    arguments.run("recommend", add_arguments, check, show, False)


def check(settings: argparse.Namespace) -> None:
    from vit_keras.training.recommend import recommend

    settings.found = recommend(settings.overrides)


def show(settings: argparse.Namespace) -> None:
    found = settings.found
    print(found)
    print(*(f"  {reason}" for reason in found.reasons), sep="\n")
    print(shlex.join(["vit-keras", found.command, *found.words]))
