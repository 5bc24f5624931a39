"""Augmentation preview: a sheet of images and their augmented versions."""

from typing import Any

import numpy as np
from keras import ops
from PIL import Image, ImageOps

from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig
from vit_keras.model.preprocessing import resize

CELL = 96  # least length of an image's longer side on the sheet, in pixels
GAP = 4  # width of the white border, in pixels


def augmentation_sheet(
    images: Any,
    config: AugmentConfig,
    draws: int = 5,
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Draw a sheet of B columns: the images (B, X, Y, C) above `draws` rows of augmented versions.

    With `flip=alternating`, each row is an epoch.

    Args:
        images: 0 to 255, one channel or three; one batch, within which MixUp and CutMix mix.
        config: the augmentation.
        draws: number of augmented versions of each image.
        seed: of the first row; each further row adds 1.
        size: (rows, columns) to which all are resized; default, the size of the images.
    """
    images = np.asarray(images, "float32")
    rows, mirrored = [images], np.random.default_rng(seed).random(len(images)) < 0.5
    for draw in range(draws):
        inputs = ops.convert_to_tensor(images), ops.zeros((len(images), 1))
        is_flipped = None
        if config.flip == "alternating":
            is_flipped = ops.convert_to_tensor(mirrored ^ (draw % 2 == 1))
        augmented, _ = augment(*inputs, config, seed + draw, size, is_flipped)
        rows.append(augmented)
    size = size or images.shape[1:3]
    resized = [ops.convert_to_numpy(resize(ops.cast(row, "float32"), size)) for row in rows]
    cells = [[_cell(image) for image in row] for row in resized]
    width, height = cells[0][0].size
    sheet = Image.new("RGB", (len(images) * width, len(rows) * height), "white")
    for row, row_cells in enumerate(cells):
        for column, cell in enumerate(row_cells):
            sheet.paste(cell, (column * width, row * height))
    return sheet


def _cell(image: np.ndarray) -> Image.Image:
    """(X, Y, C) -> an RGB picture with a white border; small images are enlarged by an integer."""
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    shown = pixels[..., 0] if pixels.shape[-1] < 3 else pixels[..., :3]
    picture = Image.fromarray(shown).convert("RGB")
    factor = -(-CELL // max(picture.size))
    picture = picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
    return ImageOps.expand(picture, GAP, "white")
