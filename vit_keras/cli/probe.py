"""Measure features before fine-tuning: `vit-keras probe MODEL data=folder data.path=photos`."""

import argparse
import json
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.evaluation.probe_data import NEIGHBOURS, probe_config
from vit_keras.io import atomic
from vit_keras.logs import console
from vit_keras.text import one_line

NAMES = {"run=": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="setting=value",
        help="the data, such as data=cifar10 or data=folder data.path=photos (a run's own)",
    )
    parser.add_argument(
        "--neighbours",
        type=arguments.positive_int,
        default=NEIGHBOURS,
        help="k of kNN (%(default)s)",
    )
    output = parser.add_argument("--output", help="a JSON file to write as well")
    arguments.complete_files(output)
    parser.add_argument("--overwrite", action="store_true", help="replace --output if it exists")


def main() -> None:
    arguments.run("probe", add_arguments, check, measure, True, NAMES)


def check(settings: argparse.Namespace) -> None:
    probe_config(settings.model, settings.overrides)
    if settings.output is not None:
        file = Path(settings.output).expanduser()
        atomic.check_output_file(file, settings.overwrite, "--overwrite")


def measure(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import probe  # imports Keras: after the checks

    with console():
        report = probe.probe(settings.model, settings.overrides, settings.neighbours)
    print(probe.describe(report))
    if settings.output is not None:
        file = Path(settings.output).expanduser()
        atomic.write_text(file, json.dumps(report, indent=2) + "\n")
        print("probe:", one_line(str(file)))
