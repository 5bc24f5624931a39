"""A picture of what an augmentation does: images above, several draws of each below."""

from typing import Any

import numpy as np
from keras import ops
from PIL import Image, ImageOps

from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig
from vit_keras.model.preprocessing import resize

CELL = 96  # pixels of an image's longer side on the sheet, at least
GAP = 4


def augmentation_sheet(
    images: Any,
    config: AugmentConfig,
    draws: int = 5,
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """(B, X, Y, C) -> a picture of B columns: the images, and below them `draws` rows of others.

    Args:
        images: levels of 0 to 255, of one channel or three; a batch, mixed among themselves.
        config: what is done to them.
        draws: how many times it is done, each with other numbers.
        seed: of the first row.
        size: (rows, columns) that all are resized to in the end; their own unless given.
    """
    images = np.asarray(images, "float32")
    rows = [images]
    for draw in range(draws):
        made, _ = augment(
            ops.convert_to_tensor(images), ops.zeros((len(images), 1)), config, seed + draw, size
        )
        rows.append(made)
    size = size or images.shape[1:3]
    shown = [ops.convert_to_numpy(resize(ops.cast(row, "float32"), size)) for row in rows]
    cells = [[_cell(image) for image in row] for row in shown]
    width, height = cells[0][0].size
    sheet = Image.new("RGB", (len(images) * width, len(rows) * height), "white")
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            sheet.paste(cell, (column * width, row * height))
    return sheet


def _cell(image: np.ndarray) -> Image.Image:
    """One image, small ones enlarged by a whole number, with a white border."""
    levels = np.clip(np.round(image), 0, 255).astype("uint8")
    picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).convert("RGB")
    times = -(-CELL // max(picture.size))
    picture = picture.resize(
        (picture.width * times, picture.height * times), Image.Resampling.NEAREST
    )
    return ImageOps.expand(picture, GAP, "white")
