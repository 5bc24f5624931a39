"""The map of an audit: embeddings in two dimensions, each with a thumbnail, for a page to show.

<audit>/map.json   {"method": "t-SNE", "images": [{"path", "label", "x", "y", "image"}, ...]}
"""

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.io import atomic
from vit_keras.io.parallel import map_in_threads
from vit_keras.predict import embedding_map
from vit_keras.predict.embedding_files import Embeddings

FILE = "map.json"
SIDE = 64  # pixels of a thumbnail


class EmbeddingMap(NamedTuple):
    """The method that it was drawn by, and path, label, place and thumbnail of each image."""

    method: str
    images: list[dict[str, Any]]


def draw(found: Embeddings) -> EmbeddingMap | None:
    """The map of up to `embedding_map.MAX_IMAGES` images with a label; None of fewer than five."""
    labelled = [index for index, label in enumerate(found.labels) if label]
    if len(labelled) < embedding_map.MIN_IMAGES:
        return None
    chosen = [labelled[place] for place in embedding_map.evenly_spaced(len(labelled))]
    points, method = embedding_map.project(found.vectors[chosen])
    points = embedding_map.in_unit_square(points)
    paths = [str(Path(found.paths[index]).expanduser().absolute()) for index in chosen]
    thumbnails = map_in_threads(_thumbnail, paths, None, "thumbnails")
    images = [
        {
            "path": path,
            "label": found.labels[index],
            "x": round(float(x), 4),
            "y": round(float(y), 4),
            "image": thumbnail,
        }
        for index, path, (x, y), thumbnail in zip(chosen, paths, points, thumbnails, strict=True)
    ]
    return EmbeddingMap(method, images)


def _thumbnail(path: str) -> str:
    """A data URI of a JPEG; "" of an image that cannot be read any more."""
    with contextlib.suppress(OSError, decode.UnreadableError):
        content = decode.read_regular_file(Path(path))
        pixels = decode.decode_bytes(content, (SIDE, SIDE), "pad", PixelOptions())
        stream = io.BytesIO()
        Image.fromarray(np.asarray(pixels)).save(stream, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
    return ""


def write(folder: Path, drawn: EmbeddingMap) -> None:
    atomic.write_text(folder / FILE, json.dumps(drawn._asdict()) + "\n")


def read(folder: Path) -> EmbeddingMap | None:
    """The map of an audit; None if it has none that can be read."""
    try:
        return EmbeddingMap(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
