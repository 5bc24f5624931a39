"""Embed images by a model without its head: `vit-keras embed RUN photos --output photos.npz`."""

import argparse
import os
import sys
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.logs import console
from vit_keras.predict import embedding_map, file_labels, tables
from vit_keras.predict.embed_files import embed_files
from vit_keras.predict.embedder import Embedder
from vit_keras.predict.inputs import FoundFiles, find_files
from vit_keras.predict.preflight import check_embedding
from vit_keras.text import one_line

# As messages name a setting -> what it is here.
NAMES = {**arguments.IMAGE_NAMES, "run=": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    arguments.add_images(parser)
    output = parser.add_argument(
        "--output",
        required=True,
        help="the .parquet or .npz to write: path, label where it is known, embedding, and why an "
        "image cannot be read",
    )
    arguments.complete_files(output)
    map = parser.add_argument(
        "--map",
        help="a PNG to draw: a map of up to 1,000 of the images in two dimensions, by UMAP if "
        "umap-learn is installed, else by t-SNE",
    )
    arguments.complete_files(map)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def main() -> None:
    arguments.run("embed", add_arguments, check_embedding, embed, False, NAMES)


def embed(settings: argparse.Namespace) -> None:
    with console(sys.stderr):
        files, labels = _files(settings)
        sample = None
        if settings.map is not None:
            sample = embedding_map.MapSample(len(files.images))
        output = Path(settings.output).expanduser()
        done = embed_files(Embedder(settings.model), files, labels, output, sample)
    for source, reason in [(bad.source, bad.reason) for bad in done.unreadable] + [*done.others]:
        print(f"{one_line(source)}: {reason}", file=sys.stderr)
    print(done, file=sys.stderr)
    print("embeddings:", one_line(str(output)))
    if sample is not None:
        file = Path(settings.map).expanduser()
        print(f"map, by {sample.draw(file)}:", one_line(str(file)))


def _files(settings: argparse.Namespace) -> tuple[FoundFiles, list[str]]:
    """The images, and the label of each; "" where it is not known."""
    if table := tables.find_table(settings.images, settings.image_column):
        return FoundFiles(table.files, []), file_labels.table_labels(table)
    found = find_files(settings.images)
    known = file_labels.folder_labels(settings.images)
    return found, [known.get(os.path.normpath(file), "") for file in found.images]
