"""Inputs of a prediction: files, bytes, Pillow images or arrays -> pixels as the model takes them.

`find_files` expands the files, folders and globs of a command line to paths, `iter_items`
splits any accepted input into single images, and `to_pixels` decodes one of them exactly as the
training images were decoded: upright, by the run's `PixelOptions`, at the model's size by the run's
`data.resize_mode`. Nothing here imports Keras.

    X, Y, C    height, width and channels of the model's input
    x, y, c    those of an image: c is 1 (or has no axis), 2 (grey with alpha), 3 or 4
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vit_keras.data import decode, pixel_range, pixels, scientific_files
from vit_keras.data.image_formats import UnreadableError, check_size
from vit_keras.data.orientation import UPRIGHT, exif_orientation
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.readers import folder_files, layout_names
from vit_keras.data.readers.folder_files import FoundFile
from vit_keras.data.resize import resize_channels, resize_to_size
from vit_keras.errors import SettingError

CHANNELS = (1, 2, 3, 4)  # 2 are of grey with alpha, as of a Pillow image of mode LA
ACCEPTED = "a path, an open file or its bytes, a Pillow image or an array (height, width, channels)"


class Item(NamedTuple):
    """A single image.

    Attributes:
        source: its name in messages and results: a file's path, otherwise `image` or `images[3]`.
        image: a path, the bytes of a file, a Pillow image or an array, uint8 unless the run has a
            `data.value_range`.
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


def iter_items(images: Any, options: PixelOptions = PixelOptions()) -> Iterator[Item]:  # noqa: B008
    """Split images of any accepted kind into single images, in order.

    An array of four axes is a batch. An array of three axes is one image (x, y, c) if its last axis
    is 1 to 4 long, otherwise a batch (n, x, y) of greyscale images.

    Args:
        images: of any accepted kind.
        options: of the run: how the values of arrays become uint8.

    Raises:
        SettingError: an element is not an image.
    """
    if isinstance(images, str | bytes | os.PathLike | Image.Image) or hasattr(images, "read"):
        yield _item(images, "image", options)
    elif hasattr(images, "__array__"):
        array = np.asarray(images)
        if array.ndim == 3 and array.shape[0] in (3, 4) and not _has_channels(array, options):
            count = {3: "three", 4: "four"}[array.shape[0]]
            raise SettingError(
                f"images has shape {array.shape}: either one image with its channels first, or "
                f"{count} greyscale images; pass np.moveaxis(images, 0, -1), or images[..., None]"
            )
        is_batch = array.ndim == 4 or (array.ndim == 3 and not _has_channels(array, options))
        if is_batch:
            yield from _batch(array, "images", options)
        else:
            yield _item(array, "image", options)
    elif isinstance(images, Iterable):
        for index, image in enumerate(images):
            if getattr(image, "ndim", 0) == 4:  # a batch of a data set
                yield from _batch(np.asarray(image), f"images[{index}]", options)
            else:
                yield _item(image, f"images[{index}]", options)
    else:
        raise SettingError(f"images is {type(images).__name__}; pass {ACCEPTED}, or a list of them")


def _batch(array: np.ndarray, source: str, options: PixelOptions) -> Iterator[Item]:
    # Checked as a batch: one dark image among many is not an image of values from 0 to 1.
    is_8_bit = options.value_range is None
    for index, image in enumerate(_to_uint8(array, source, options) if is_8_bit else array):
        yield _item(image, f"{source}[{index}]", options)


def _item(image: Any, source: str, options: PixelOptions) -> Item:
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
    has_channels = array.ndim == 3 and _has_channels(array, options)
    if not array.size or not (array.ndim == 2 or has_channels):
        counts = "1 to 4" if options.channels is None else options.channels
        raise SettingError(
            f"{source} has shape {np.shape(image)}; pass (height, width) or (height, width, "
            f"channels) of {counts} channels"
        )
    if options.value_range is not None:
        return Item(source, array)
    return Item(source, _to_uint8(array, source, options))


def _has_channels(array: np.ndarray, options: PixelOptions) -> bool:
    """Whether the last axis may be the channels."""
    return array.shape[-1] in (*CHANNELS, options.channels)


def _to_uint8(array: np.ndarray, source: str, options: PixelOptions) -> np.ndarray:
    """Numbers of any type -> uint8, in the same shape, by the decision for training arrays."""
    try:
        return pixel_range.to_uint8(array, bit_depth=options.bit_depth)
    except pixel_range.RangeError as error:
        raise SettingError(f"{source} has {error}") from None


def to_pixels(
    item: Item,
    shape: tuple[int, int, int],
    resize_mode: str,
    options: PixelOptions = PixelOptions(),  # noqa: B008
) -> np.ndarray:
    """Decode and resize a single image -> (X, Y, C) uint8; float32 by a `data.value_range`.

    Args:
        item: a single image.
        shape: (X, Y, C) of the result.
        resize_mode: crop, stretch or pad; see `data.resize`.
        options: of the run: how pixels become RGB.

    Raises:
        OSError: the file cannot be read.
        UnreadableError: the file is not an image, or is damaged.
        SettingError: the image cannot be converted to C channels.
    """
    image, size, channels = item.image, shape[:2], shape[2]
    if options.value_range is not None:
        return _by_value_range(item, shape, resize_mode, options)
    if isinstance(image, np.ndarray):
        if image.shape[2:] == (channels,) and channels not in (1, 3):
            return resize_channels(image, size, resize_mode)
        image = Image.fromarray(image)
    if channels not in (1, 3):
        raise SettingError(
            f"{item.source}: this run's model takes {channels} channels, and was trained on arrays "
            f"that had them; pass an array (height, width, {channels})"
        )
    if isinstance(image, Image.Image):
        rgb = from_pil(image, size, resize_mode, options)
    else:
        content = image if isinstance(image, bytes) else decode.read_regular_file(Path(image))
        rgb = decode.decode_bytes(content, size, resize_mode, options)
    return decode.to_channels(rgb, channels)


def whole_pixels(item: Item, options: PixelOptions) -> np.ndarray:
    """Decode a single image at its own size -> (x, y, 3) uint8; an array is given as it is.

    Raises:
        OSError: the file cannot be read.
        UnreadableError: the file is not an image, or is damaged.
    """
    image = item.image
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, Image.Image):
        return from_pil(image, None, "stretch", options)
    content = image if isinstance(image, bytes) else decode.read_regular_file(Path(image))
    return decode.decode_bytes(content, None, "stretch", options)


def _by_value_range(
    item: Item, shape: tuple[int, int, int], resize_mode: str, options: PixelOptions
) -> np.ndarray:
    image, size = item.image, shape[:2]
    options = replace(options, channels=shape[2])
    if isinstance(image, np.ndarray):
        try:
            return scientific_files.decode_array(image, size, resize_mode, options)
        except UnreadableError as error:  # of a program, and no file
            raise SettingError(f"{item.source} has {error}") from None
    if isinstance(image, Image.Image):
        return scientific_files.decode_picture(image, size, resize_mode, options)
    content = image if isinstance(image, bytes) else decode.read_regular_file(Path(image))
    return scientific_files.decode(content, size, resize_mode, options)


def from_pil(
    image: Image.Image, size: tuple[int, int] | None, resize_mode: str, options: PixelOptions
) -> np.ndarray:
    """A Pillow image -> (X, Y, 3) uint8, the same pixels as if its file were decoded.

    Without a `size` they are of its own.

    Raises:
        UnreadableError: it is damaged, too small or far too large.
    """
    check_size(image.height, image.width)
    # Before the orientation: reading that of a PNG loads its pixels and hides their damage.
    rgb = pixels.to_rgb(pixels.load_samples(image), options)
    upright = UPRIGHT[exif_orientation(image)](rgb)
    return resize_to_size(upright, size or upright.shape[:2], resize_mode)
