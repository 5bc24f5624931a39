"""Export the model of a run to another format: `vit-keras export RUN --format onnx`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.export.formats import FORMATS
from vit_keras.export.preflight import check_export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--format",
        required=True,
        type=arguments.one_of(FORMATS),
        choices=tuple(FORMATS),
        help="format of the exported model: pixels in, probabilities out",
    )
    output = parser.add_argument("--output", help="the new folder (<run>/export/<format>)")
    arguments.complete_files(output)
    parser.add_argument(
        "--images",
        type=arguments.positive_int,
        default=200,
        help="number of test images to compare the export with Keras on (%(default)s)",
    )


def main() -> None:
    arguments.run("export", add_arguments, check_export, export)


def export(settings: argparse.Namespace) -> None:
    from vit_keras.export.exporter import export_run  # imports Keras: after the checks
    from vit_keras.logs import console

    with console():
        export_run(**vars(settings))
