"""The nearest neighbours of an image among embedded ones, by cosine similarity.

n embedded images, D width of the embeddings.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.predict.embedder import Embedder
from vit_keras.predict.embedding_files import Embeddings
from vit_keras.runs.abstention import unit_length
from vit_keras.text import format_table, one_line
from vit_keras.validators import check_int


class Neighbour(NamedTuple):
    """An embedded image near another one."""

    path: str
    label: str  # "" if it is not known
    similarity: float  # cosine similarity of the embeddings, from -1 to 1


def nearest(found: Embeddings, vector: np.ndarray, count: int = 5) -> list[Neighbour]:
    """The most similar of the embedded images to a vector (D,), the nearest first.

    Args:
        found: as `read_embeddings` gives them.
        vector: of the same model.
        count: the number of neighbours; all images if there are fewer.
    """
    check_int("count", count)
    cosines = unit_length(found.vectors) @ unit_length(vector[None])[0]
    order = np.argsort(-cosines, kind="stable")[:count]
    return [Neighbour(found.paths[i], found.labels[i], float(cosines[i])) for i in order]


def find_neighbours(
    found: Embeddings, image: Any, count: int = 5, model: str | None = None
) -> list[Neighbour]:
    """The nearest neighbours of an image, which is embedded by the same model.

    Args:
        found: as `read_embeddings` gives them.
        image: of any kind that `Predictor.predict` takes.
        count: the number of neighbours.
        model: the run or the weights that made the file, if they have been moved since.

    Raises:
        SettingError: the embeddings are of other weights than the model has, or the image cannot be
            read.
    """
    embedder = Embedder(model or found.made_by.model)
    check_made_by(found, embedder)
    return nearest(found, embedder.embed([image])[0], count)


def check_made_by(found: Embeddings, embedder: Embedder) -> None:
    """Refuse embeddings of other weights, to which distances mean nothing.

    Raises:
        SettingError: the fingerprint of the weights differs.
    """
    if found.made_by.fingerprint != embedder.backbone.fingerprint:
        raise SettingError(
            f"the embeddings were made by {found.made_by.model} with other weights than "
            f"{embedder.backbone.source} has now (their fingerprints differ); embed the images "
            "again, or name the model that made them by model=..."
        )


def to_table(found: Sequence[Neighbour]) -> bytes:
    rows = [("file", "label", "similarity")]
    rows += [(one_line(n.path), one_line(n.label), f"{n.similarity:.4f}") for n in found]
    return f"{format_table(rows)}\n".encode()


def to_json(found: Sequence[Neighbour]) -> bytes:
    objects = [
        {"file": n.path, "label": n.label or None, "similarity": n.similarity} for n in found
    ]
    text = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def to_csv(found: Sequence[Neighbour]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "label", "similarity"])
    writer.writerows((n.path, n.label, f"{n.similarity:.6f}") for n in found)
    return text.getvalue().encode("utf-8", "surrogateescape")


WRITERS: dict[str, Callable[[Sequence[Neighbour]], bytes]] = {
    "table": to_table,
    "json": to_json,
    "csv": to_csv,
}
