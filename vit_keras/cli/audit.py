"""Audit labels: `vit-keras audit --data data=folder data.path=photos --model RUN --output audited`.

Of embeddings that are there already: `vit-keras audit photos.parquet --output audited`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.logs import console
from vit_keras.predict import embedding_files
from vit_keras.predict.backbone import find_run
from vit_keras.runs import out_of_fold
from vit_keras.text import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    embeddings = parser.add_argument(
        "embeddings", nargs="?", metavar="EMBEDDINGS", help="a file written by vit-keras embed"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        default=[],
        metavar=arguments.SETTINGS,
        help="in place of EMBEDDINGS: images to embed, data=folder data.path=photos or data=csv",
    )
    model = parser.add_argument(
        "--model",
        help="what embeds the images of --data: the folder of a training run, or pretrained "
        "weights as of pretrained.handle",
    )
    output = parser.add_argument(
        "--output",
        required=True,
        help="the folder to write: audit.csv, which can be edited and trained on, and contact "
        "sheets; an earlier audit is replaced, and decisions on it and labels edited in it stay",
    )
    folds = parser.add_argument(
        "--folds-run",
        help="a run of train.folds on the same images, whose probabilities out of fold are used "
        "(a cross-validated probe of the embeddings)",
    )
    for path in (embeddings, model, output, folds):
        arguments.complete_files(path)


def main() -> None:
    arguments.run("audit", add_arguments, check, audit, False)


def check(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import audit_source, audit_table

    settings.folder = atomic.output_folder(settings.output, audit_table.TABLE)
    if bool(settings.embeddings) == bool(settings.data):
        given = "both are" if settings.data else "neither is"
        raise SettingError(f"name EMBEDDINGS or --data, one of them; {given} given")
    if settings.folds_run is not None:
        out_of_fold.check(settings.folds_run)
    if settings.embeddings:
        if settings.model is not None:
            raise SettingError(
                f"model={settings.model} embeds the images of --data, and EMBEDDINGS are embedded "
                "already; leave one of them out"
            )
        found = embedding_files.read_embeddings(Path(settings.embeddings).expanduser())
        settings.found = found
        audit_table.check_corrections(settings.folder, zip(found.paths, found.labels, strict=True))
        return
    if settings.model is None:
        raise SettingError("--data needs --model, a run or pretrained weights to embed the images")
    find_run(settings.model)
    data = audit_source.data_config(settings.data)
    settings.files = audit_source.labelled_files(data)
    images = [(file.path, file.label) for file in settings.files]
    audit_table.check_corrections(settings.folder, images)
    settings.others = audit_source.other_files(data)
    settings.source = audit_source.source(settings.data, data, settings.model)


def audit(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation import audit, audit_files, audit_map

    audit.import_datalab()  # before the images are embedded, which may take long
    with console():
        found = settings.found if settings.embeddings else _embed(settings)
        rows = audit.audit(found, settings.folds_run)
        source = None if settings.embeddings else settings.source
        counts = audit_files.write(settings.folder, rows, source, audit_map.draw(found))
    print(audit_files.describe(rows, counts))
    print("audit:", one_line(str(settings.folder / audit_files.TABLE)))


def _embed(settings: argparse.Namespace) -> embedding_files.Embeddings:
    from vit_keras.predict.embed_files import embed_files
    from vit_keras.predict.embedder import Embedder
    from vit_keras.predict.inputs import FoundFiles

    files = FoundFiles([file.path for file in settings.files], settings.others)
    labels = [file.label for file in settings.files]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "embeddings.npz"
        done = embed_files(Embedder(settings.model), files, labels, output)
        for source, reason in [(bad.source, bad.reason) for bad in done.unreadable] + [
            *done.others
        ]:
            print(f"{one_line(source)}: {reason}", file=sys.stderr)
        print(done, file=sys.stderr)
        return embedding_files.read_embeddings(output)
