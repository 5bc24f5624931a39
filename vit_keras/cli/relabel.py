"""Write corrected labels as a new table: `vit-keras relabel audited --output corrected.csv`."""

import argparse
import shlex
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.text import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    audit = parser.add_argument(
        "audit",
        metavar="AUDIT",
        help="the folder of vit-keras audit, with what was decided in the studio, or with another "
        "new_label in audit.csv",
    )
    output = parser.add_argument(
        "--output", required=True, help="the .csv to write, which must not be there yet"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        default=[],
        metavar=arguments.SETTINGS,
        help="the data that were audited, such as data=csv data.path=photos/labels.csv, whose "
        "columns and splits are kept (those of vit-keras audit --data; else the images of the "
        "audit)",
    )
    for path in (audit, output):
        arguments.complete_files(path)


def main() -> None:
    arguments.run("relabel", add_arguments, check, relabel, False)


def check(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation.relabel import check_output

    check_output(Path(settings.output))


def relabel(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import relabel

    folder, output = Path(settings.audit).expanduser(), Path(settings.output)
    written = relabel.relabel(folder, output, settings.data)
    print(written)
    print("table:", one_line(str(written.file)))
    print("train on it:", shlex.join(relabel.training_words(written)))
