"""Image files, as a command line names them: files, folders and globs -> paths.

Whatever images are given as -> single images -> pixels as a model takes them.

A file (its path, its bytes, or open), a Pillow image or an array; a batch of arrays, or any
iterable of such. All become what the decoding of a folder makes of a file: upright, over
white where they are transparent, at the model's size by the run's `data.resize_mode`. Arrays hold 0
to 255. Nothing here imports Keras.

    X, Y, C    rows, columns and channels of the model
    x, y, c    those of what is given; c is 1 (which may be left out), 3 or 4
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vit_keras.data import decode
from vit_keras.data.readers import folder_layout
from vit_keras.data.readers.arrays import CHANNELS
from vit_keras.data.resize import resize_to_size
from vit_keras.errors import SettingError


def find_image_files(words: Sequence[str]) -> list[str]:
    """The files that words name, in order, each once.

    A file is taken whatever it is called; a folder's are those that are named like images, in it
    and below, by name; a glob that no file is called by, such as `'photos/**/*.jpg'`, is looked up.

    Raises:
        SettingError: a word names nothing.
    """
    files: dict[str, str] = {}
    for word in words:
        path = os.path.expanduser(word)
        matches = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        if not matches:
            raise SettingError(
                f"{word} is no file or folder, and matches none; name images, folders or a glob in "
                "quotes, such as 'photos/*.jpg'"
            )
        named = [file for match in matches for file in _files(match)]
        if not named:
            raise SettingError(
                f"{word} has no image ({', '.join(folder_layout.SUFFIXES)}); name another folder, "
                "or a file by itself, whatever it is called"
            )
        for file in named:
            files.setdefault(os.path.normpath(file), file)
    return list(files.values())


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for name, *_ in sorted(folder_layout.find_images(Path(path))):
        yield os.path.join(path, name)


FORMS = "a path, an open file or its bytes, a Pillow image or an array (height, width, channels)"


class Item(NamedTuple):
    """A single image, and what messages and results call it."""

    source: str  # a file's path, else its place: `image` or `images[3]`
    image: Any


def iter_items(given: Any) -> Iterator[Item]:
    """Each single image of what is given, in order.

    An array of four axes is a batch; so is one of three, (n, x, y), unless its last axis is 1, 3 or
    4 long: that is one image with its channels.

    Raises:
        SettingError: something in it is no image.
    """
    if isinstance(given, str | bytes | os.PathLike | Image.Image) or hasattr(given, "read"):
        yield _item(given, "image")
    elif hasattr(given, "__array__"):
        array = np.asarray(given)
        if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] not in CHANNELS:
            raise SettingError(
                f"images has shape {array.shape}: one image with its channels first, or three grey "
                "ones? give np.moveaxis(images, 0, -1), or images[..., None]"
            )
        is_batch = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in CHANNELS)
        yield from _batch(array, "images") if is_batch else [_item(array, "image")]
    elif isinstance(given, Iterable):
        for index, image in enumerate(given):
            if getattr(image, "ndim", 0) == 4:  # as a data set gives them
                yield from _batch(np.asarray(image), f"images[{index}]")
            else:
                yield _item(image, f"images[{index}]")
    else:
        raise SettingError(f"images is {type(given).__name__}; give {FORMS}, or a list of these")


def to_pixels(item: Item, shape: tuple[int, int, int], fit: str) -> np.ndarray:
    """(X, Y, C) uint8 for `shape` (X, Y, C).

    Args:
        item: a single image.
        shape: of the result.
        fit: crop, stretch or pad, as `fitting.fitted` says.

    Raises:
        OSError: a file cannot be read.
        UnreadableError: it can, and is no image.
        SettingError: there is no way from it to so many channels.
    """
    image, size, channels = item.image, shape[:2], shape[2]
    if isinstance(image, np.ndarray):
        if channels == 4 == image.shape[-1]:
            return resize_to_size(image, size, fit)
        image = Image.fromarray(image)
    if channels not in (1, 3):
        raise SettingError(
            f"{item.source}: this run's model takes {channels} channels, and was trained on arrays "
            f"that had them; give an array (height, width, {channels})"
        )
    if isinstance(image, bytes):
        rgb = decode.decode_bytes(image, size, fit)
    elif isinstance(image, Image.Image):
        rgb = from_pil(image, size, fit)
    else:
        rgb = decode.decode_bytes(decode.read_regular_file(Path(image)), size, fit)
    return in_channels(rgb, channels)


def from_pil(image: Image.Image, size: tuple[int, int], fit: str) -> np.ndarray:
    """A Pillow image -> (X, Y, 3) uint8, as `decode.pixels` makes it of a file.

    Raises:
        UnreadableError: it is damaged, too small or far too large.
    """
    decode.check_size(image.height, image.width)
    upright = decode.three_channels(image)  # before its orientation, as `decode.look` says
    turned = decode.UPRIGHT[decode.exif_orientation(image)](upright)
    return resize_to_size(turned, size, fit)


def in_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """(X, Y, 3) -> (X, Y, C) uint8 for a C of 3, or of 1: grey by ITU-R 601, as Pillow has it."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None] if channels == 1 else rgb


def _batch(array: np.ndarray, place: str) -> Iterator[Item]:
    # As a whole: one dark image of many does not make the batch one of 0 to 1.
    for index, image in enumerate(_levels(array, place)):
        yield _item(image, f"{place}[{index}]")


def _item(image: Any, place: str) -> Item:
    if isinstance(image, str | os.PathLike):
        return Item(os.fspath(image), image)
    if hasattr(image, "read"):
        image = image.read()
    if isinstance(image, bytes | Image.Image):
        return Item(place, image)
    if not hasattr(image, "__array__"):
        raise SettingError(f"{place} is {type(image).__name__}; give {FORMS}")
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    is_colour = array.ndim == 3 and array.shape[-1] in CHANNELS
    if not array.size or not (array.ndim == 2 or is_colour):
        raise SettingError(
            f"{place} has shape {np.shape(image)}; give (height, width) or (height, width, "
            "channels) of 1, 3 or 4 channels"
        )
    return Item(place, _levels(array, place))


def _levels(array: np.ndarray, place: str) -> np.ndarray:
    """Numbers of 0 to 255, of any kind, as uint8."""
    if array.dtype == np.uint8:
        return array
    kind = array.dtype.kind
    if kind == "b":
        return array * np.uint8(255)
    if kind not in "iuf":
        raise SettingError(f"{place} has pixels of {array.dtype}; give uint8, or floats to 255")
    if not np.isfinite(array).all():
        raise SettingError(f"{place} has pixels that are no finite numbers (NaN); mend or leave it")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if kind == "f" and low >= 0 and 0 < high <= 1:
        raise SettingError(
            f"{place} has pixels of {low:g} to {high:g} as {array.dtype}, and the model takes 0 to "
            "255; multiply by 255"
        )
    if low < 0 or high > 255:
        raise SettingError(
            f"{place} has pixels of {low:g} to {high:g}; give 0 to 255, before any normalisation, "
            "which the model does itself"
        )
    return np.rint(array).astype(np.uint8)
