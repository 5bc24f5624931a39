"""Contact sheets of image files, for a person to look at."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.evaluation import plots

SIDE = 96  # pixels of a thumbnail


def draw_files(file: Path, images: Iterable[tuple[str, str]]) -> None:
    """Draw the files (path, title), unless none of them can still be read."""
    shown, titles = [], []
    for path, title in images:
        with contextlib.suppress(OSError, decode.UnreadableError):
            content = decode.read_regular_file(Path(path).expanduser())
            shown.append(decode.decode_bytes(content, (SIDE, SIDE), "pad", PixelOptions()))
            titles.append(title)
    if shown:
        plots.contact_sheet(file, np.stack(shown), titles)
