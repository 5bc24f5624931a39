"""Suggest images to label next: `vit-keras suggest MODEL photos --output suggested`."""

import argparse
import sys

from vit_keras.cli import arguments
from vit_keras.evaluation.suggest_data import COUNT, METHODS, suggest_data
from vit_keras.logs import console
from vit_keras.text import one_line

# As messages name a setting -> what it is here.
NAMES = {**arguments.IMAGE_NAMES, "run=": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    arguments.add_images(parser)
    output = parser.add_argument(
        "--output",
        required=True,
        help="the folder to write: suggested.csv, whose column label is to be filled in, and a "
        "contact sheet",
    )
    parser.add_argument(
        "--count",
        type=arguments.positive_int,
        default=COUNT,
        help="number of images to suggest (%(default)s)",
    )
    parser.add_argument(
        "--method",
        type=arguments.one_of(METHODS),
        choices=METHODS,
        help="typical: the most typical image of each cluster; coverage: what is farthest from all "
        "others; margin: what a classifier is unsure of (margin if --labelled has two classes, "
        "otherwise typical)",
    )
    labelled = parser.add_argument(
        "--labelled",
        action="append",
        default=[],
        help="a folder of images that have labels, or a table such as a filled suggested.csv; "
        "can be given several times",
    )
    for path in (output, labelled):
        arguments.complete_files(path)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier suggestion")


def main() -> None:
    arguments.run("suggest", add_arguments, check, suggest, False, NAMES)


def check(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import suggest_files  # imports scikit-learn: not for --help

    settings.folder = suggest_files.check_folder(settings.output, settings.overwrite)
    settings.data = suggest_data(
        settings.model,
        settings.images,
        settings.labelled,
        settings.method,
        settings.count,
        settings.image_column,
    )


def suggest(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import suggest, suggest_files

    with console(sys.stderr):
        found = suggest.suggest(settings.model, settings.data)
        suggest_files.write(settings.folder, found)
    unreadable = [(bad.source, bad.reason) for bad in found.unreadable]
    for source, reason in unreadable + settings.data.others:
        print(f"{one_line(source)}: {reason}", file=sys.stderr)
    print(found)
    print("suggested:", one_line(str(settings.folder / suggest_files.TABLE)))
