"""Audit labels by embeddings: `vit-keras audit photos.parquet --output audited`."""

import argparse
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.io import atomic
from vit_keras.logs import console
from vit_keras.predict import embedding_files
from vit_keras.text import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    embeddings = parser.add_argument(
        "embeddings", metavar="EMBEDDINGS", help="a file written by vit-keras embed"
    )
    output = parser.add_argument(
        "--output",
        required=True,
        help="the folder to write: audit.csv, which can be edited and trained on, and contact "
        "sheets; an earlier audit is replaced",
    )
    folds = parser.add_argument(
        "--folds-run",
        help="a run of train.folds on the same images, whose probabilities out of fold are used "
        "(a cross-validated probe of the embeddings)",
    )
    for path in (embeddings, output, folds):
        arguments.complete_files(path)


def main() -> None:
    arguments.run("audit", add_arguments, check, audit, False)


def check(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import audit_files  # imports scikit-learn: not for --help

    settings.folder = atomic.output_folder(settings.output, audit_files.TABLE)
    settings.found = embedding_files.read_embeddings(Path(settings.embeddings).expanduser())


def audit(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import audit, audit_files

    with console():
        rows = audit.audit(settings.found, settings.folds_run)
        counts = audit_files.write(settings.folder, rows)
    print(audit_files.describe(rows, counts))
    print("audit:", one_line(str(settings.folder / audit_files.TABLE)))
