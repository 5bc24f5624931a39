"""Average the weights of runs: `vit-keras soup saved_models/multirun/20260101-120000/*`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.training.soup_checks import check_soup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs = parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs of one architecture and data set"
    )
    arguments.complete_files(runs)
    output = parser.add_argument("--output", help="the new run (soup-<time> beside the first run)")
    arguments.complete_files(output)


def main() -> None:
    arguments.run("soup", add_arguments, lambda settings: check_soup(settings.runs), soup)


def soup(settings: argparse.Namespace) -> None:
    from vit_keras.logs import console
    from vit_keras.training.soup import make_soup  # imports Keras: after the checks

    with console():
        make_soup(settings.runs, settings.output)
