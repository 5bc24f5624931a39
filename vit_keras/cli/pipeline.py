"""Train on new labelled images, and promote if better: `vit-keras pipeline pipeline.yaml`."""

import argparse
import sys

from vit_keras.cli import arguments
from vit_keras.cli.exit_codes import FAILED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    file = parser.add_argument(
        "file", metavar="FILE", help="the settings of the pipeline, in YAML: name, incoming, ..."
    )
    arguments.complete_files(file)


def main() -> None:
    names = {"--uri": "registry"}  # as the other commands of the registry have it
    arguments.run("pipeline", add_arguments, check, pipeline, imports_keras=False, names=names)


def check(settings: argparse.Namespace) -> None:
    """Refuse what no step could work with."""
    from vit_keras.pipeline.settings import check, read_settings  # imports Hydra: not for --help

    settings.pipeline = read_settings(settings.file)
    check(settings.pipeline)


def pipeline(settings: argparse.Namespace) -> None:
    from vit_keras.logs import console
    from vit_keras.pipeline.flow import run_pipeline
    from vit_keras.pipeline.steps import REFUSED

    with console():
        outcome = run_pipeline(settings.pipeline)
    if outcome.is_new:
        print(f"report: {outcome.report}")
        if outcome.decision == REFUSED:
            sys.exit(FAILED)
