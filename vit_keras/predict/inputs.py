"""Inputs of a prediction: files, bytes, Pillow images or arrays -> pixels as the model takes them.

`find_files` expands the files, folders and globs of a command line to paths, `iter_items`
splits any accepted input into single images, and `to_pixels` decodes one of them exactly as the
training images were decoded: upright, transparent pixels over white, at the model's size by the
run's `data.resize_mode`. Nothing here imports Keras.

    X, Y, C    height, width and channels of the model's input
    x, y, c    those of an image: values are 0 to 255; c is 1 (or has no axis), 3 or 4
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
from vit_keras.data.readers import folder_files, layout_names
from vit_keras.data.readers.arrays import CHANNELS
from vit_keras.data.readers.folder_files import FoundFile
from vit_keras.data.resize import resize_to_size
from vit_keras.errors import SettingError

ACCEPTED = "a path, an open file or its bytes, a Pillow image or an array (height, width, channels)"


class Item(NamedTuple):
    """A single image.

    Attributes:
        source: its name in messages and results: a file's path, otherwise `image` or `images[3]`.
        image: a path, the bytes of a file, a Pillow image or a uint8 array.
    """

    source: str
    image: Any


class FoundFiles(NamedTuple):
    """The files of a command line.

    Attributes:
        images: those to predict; each may be an image.
        others: those of a folder that are none, each with the reason.
    """

    images: list[str]
    others: list[tuple[str, str]]


def find_image_files(words: Sequence[str]) -> list[str]:
    """The images of `find_files`."""
    return find_files(words).images


def find_files(words: Sequence[str]) -> FoundFiles:
    """Expand files, folders and globs to files, in order and without duplicates.

    A file is taken whatever its suffix. A folder yields the files in it and below it, sorted,
    without those that are no images by their names. A word that is not an existing path is a glob,
    such as `'photos/**/*.jpg'`.

    Raises:
        SettingError: a word matches no file, or a folder has no image.
    """
    images: dict[str, str] = {}
    others: dict[str, str] = {}
    for word in words:
        path = os.path.expanduser(word)
        matches = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        if not matches:
            raise SettingError(
                f"{word} is no file or folder, and matches none; name images, folders or a glob in "
                "quotes, such as 'photos/*.jpg'"
            )
        found = [file for match in matches for file in _files(match)]
        if not any(_may_be_image(file) for file in found):
            raise SettingError(
                f"{word} has no image ({', '.join(layout_names.SUFFIXES)}); name another folder, "
                "or a single file, whatever its suffix"
            )
        for file in found:
            if _may_be_image(file):
                images.setdefault(os.path.normpath(file.path), file.path)
            else:
                others.setdefault(file.path, file.reason)
    return FoundFiles(list(images.values()), list(others.items()))


def _may_be_image(file: FoundFile) -> bool:
    return file.is_candidate and not file.reason


def _files(path: str) -> Iterator[FoundFile]:
    if not os.path.isdir(path):
        yield FoundFile(path, "")
        return
    for file in sorted(folder_files.find_files(Path(path))):
        yield file._replace(path=os.path.join(path, file.path))


def iter_items(images: Any) -> Iterator[Item]:
    """Split images of any accepted kind into single images, in order.

    An array of four axes is a batch. An array of three axes is one image (x, y, c) if its last axis
    is 1, 3 or 4 long, otherwise a batch (n, x, y) of greyscale images.

    Raises:
        SettingError: an element is not an image.
    """
    if isinstance(images, str | bytes | os.PathLike | Image.Image) or hasattr(images, "read"):
        yield _item(images, "image")
    elif hasattr(images, "__array__"):
        array = np.asarray(images)
        if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] not in CHANNELS:
            raise SettingError(
                f"images has shape {array.shape}: either one image with its channels first, or "
                "three greyscale images; pass np.moveaxis(images, 0, -1), or images[..., None]"
            )
        is_batch = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in CHANNELS)
        yield from _batch(array, "images") if is_batch else [_item(array, "image")]
    elif isinstance(images, Iterable):
        for index, image in enumerate(images):
            if getattr(image, "ndim", 0) == 4:  # a batch of a data set
                yield from _batch(np.asarray(image), f"images[{index}]")
            else:
                yield _item(image, f"images[{index}]")
    else:
        raise SettingError(f"images is {type(images).__name__}; pass {ACCEPTED}, or a list of them")


def _batch(array: np.ndarray, source: str) -> Iterator[Item]:
    # Checked as a batch: one dark image among many is not an image of values from 0 to 1.
    for index, image in enumerate(_to_uint8(array, source)):
        yield _item(image, f"{source}[{index}]")


def _item(image: Any, source: str) -> Item:
    if isinstance(image, str | os.PathLike):
        return Item(os.fspath(image), image)
    if hasattr(image, "read"):
        image = image.read()
    if isinstance(image, bytes | Image.Image):
        return Item(source, image)
    if not hasattr(image, "__array__"):
        raise SettingError(f"{source} is {type(image).__name__}; pass {ACCEPTED}")
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    has_channels = array.ndim == 3 and array.shape[-1] in CHANNELS
    if not array.size or not (array.ndim == 2 or has_channels):
        raise SettingError(
            f"{source} has shape {np.shape(image)}; pass (height, width) or (height, width, "
            "channels) of 1, 3 or 4 channels"
        )
    return Item(source, _to_uint8(array, source))


def _to_uint8(array: np.ndarray, source: str) -> np.ndarray:
    """Numbers from 0 to 255 of any type -> uint8, in the same shape."""
    if array.dtype == np.uint8:
        return array
    kind = array.dtype.kind
    if kind == "b":
        return array * np.uint8(255)
    if kind not in "iuf":
        raise SettingError(f"{source} has pixels of {array.dtype}; pass uint8, or floats to 255")
    if not np.isfinite(array).all():
        raise SettingError(f"{source} has pixels that are not finite (NaN); correct or omit it")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if kind == "f" and low >= 0 and 0 < high <= 1:
        raise SettingError(
            f"{source} has pixels of {low:g} to {high:g} as {array.dtype}, and the model takes 0 "
            "to 255; multiply by 255"
        )
    if low < 0 or high > 255:
        raise SettingError(
            f"{source} has pixels of {low:g} to {high:g}; pass 0 to 255, before any normalisation, "
            "which is part of the model"
        )
    return np.rint(array).astype(np.uint8)


def to_pixels(item: Item, shape: tuple[int, int, int], resize_mode: str) -> np.ndarray:
    """Decode and resize a single image -> (X, Y, C) uint8.

    Args:
        item: a single image.
        shape: (X, Y, C) of the result.
        resize_mode: crop, stretch or pad; see `data.resize`.

    Raises:
        OSError: the file cannot be read.
        UnreadableError: the file is not an image, or is damaged.
        SettingError: the image cannot be converted to C channels.
    """
    image, size, channels = item.image, shape[:2], shape[2]
    if isinstance(image, np.ndarray):
        if channels == 4 == image.shape[-1]:
            return resize_to_size(image, size, resize_mode)
        image = Image.fromarray(image)
    if channels not in (1, 3):
        raise SettingError(
            f"{item.source}: this run's model takes {channels} channels, and was trained on arrays "
            f"that had them; pass an array (height, width, {channels})"
        )
    if isinstance(image, bytes):
        rgb = decode.decode_bytes(image, size, resize_mode)
    elif isinstance(image, Image.Image):
        rgb = from_pil(image, size, resize_mode)
    else:
        rgb = decode.decode_bytes(decode.read_regular_file(Path(image)), size, resize_mode)
    return to_channels(rgb, channels)


def from_pil(image: Image.Image, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """A Pillow image -> (X, Y, 3) uint8, the same pixels as if its file were decoded.

    Raises:
        UnreadableError: it is damaged, too small or far too large.
    """
    decode.check_size(image.height, image.width)
    # Before the orientation: reading that of a PNG loads its pixels and hides their damage.
    rgb = decode.three_channels(image)
    upright = decode.UPRIGHT[decode.exif_orientation(image)](rgb)
    return resize_to_size(upright, size, resize_mode)


def to_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """(X, Y, 3) -> (X, Y, C) uint8 for C = 3 or 1; grey by ITU-R BT.601, as in Pillow."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None] if channels == 1 else rgb
