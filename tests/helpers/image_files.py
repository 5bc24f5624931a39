"""Folders of small image files, and the settings that read them."""

import re

import numpy as np
from PIL import Image

from vit_keras.config.schema import DataConfig

SIZE = (4, 6)  # rows, columns
STRANGE = ["it's", 'a "b"', "two\nlines", "猫", "ça va", "-rf *"]


def pixels(seed, shape=(*SIZE, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def write(folder, count, kind="png"):
    """So many images of noise, no two alike; gives their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    # By the folder's name within the test's own, which is numbered and new each time.
    own = re.split(r"\d/", folder.as_posix())[-1].encode()
    arrays = [pixels([index, *own]) for index in range(count)]
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{index}.{kind}")
    return arrays


def photo(height, width):
    """Something with the frequencies of a photo: noise of every scale, louder the coarser."""
    rng, result = np.random.default_rng(0), np.zeros((height, width, 3))
    for side in (3, 6, 12, 25, 50, 100):
        coarse = Image.fromarray(rng.integers(0, 256, (side, side, 3), "uint8"))
        result += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / side
    return Image.fromarray((result * 255 / result.max()).astype("uint8"))


def config(root, **settings):
    return DataConfig(name="folder", path=str(root), image_size=list(SIZE), **settings)
