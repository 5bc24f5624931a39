"""The nearest neighbours of an image: `vit-keras neighbours photos.parquet image.png --count 5`."""

import argparse
import sys

from vit_keras.cli import arguments
from vit_keras.logs import console
from vit_keras.predict import neighbours
from vit_keras.predict.preflight import OUTPUT_FORMATS, check_neighbours

NAMES = {"run=": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    embeddings = parser.add_argument(
        "embeddings", metavar="EMBEDDINGS", help="a file written by vit-keras embed"
    )
    image = parser.add_argument("image", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--count",
        type=arguments.positive_int,
        default=5,
        help="number of neighbours, the nearest first (%(default)s)",
    )
    model = parser.add_argument(
        "--model", help="the model that made the embeddings, if it was moved (as the file has it)"
    )
    for path in (embeddings, image, model):
        arguments.complete_files(path)
    parser.add_argument(
        "--format",
        type=arguments.one_of(OUTPUT_FORMATS),
        choices=OUTPUT_FORMATS,
        default="table",
        help="(%(default)s)",
    )


def main() -> None:
    arguments.run("neighbours", add_arguments, check_neighbours, show, False, NAMES)


def show(settings: argparse.Namespace) -> None:
    with console(sys.stderr):
        found = neighbours.find_neighbours(
            settings.found, settings.image, settings.count, settings.model
        )
    sys.stdout.buffer.write(neighbours.WRITERS[settings.format](found))
    sys.stdout.buffer.flush()
