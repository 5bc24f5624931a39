"""Decode an image file: its bytes -> (X, Y, 3) uint8 pixels, resized.

JPEG is decoded by libjpeg-turbo at the smallest of 1/1, 1/2, 1/4 and 1/8 that is no smaller than
the result, other formats by Pillow. Both release the GIL, so that threads decode on every core.

    format              by the content, whatever the suffix, see `image_formats`
    pixels              RGB in sRGB, see `pixels`
    EXIF orientation    applied, so that the image is upright
    animated            the first frame
    more than 8 bits    as float32 where `data.value_range` is set, see `scientific_files`
    damaged             refused, also where a decoder makes something of it, see `jpeg` and `png`
"""

import io
import stat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vit_keras.data import jpeg, pixels, scientific_files
from vit_keras.data.color_profile import array_to_srgb
from vit_keras.data.image_formats import (
    HEAD,
    MAX_BYTES,
    VERSION_1,
    UnreadableError,
    format_of,
    open_image,
)
from vit_keras.data.orientation import UPRIGHT
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.probe import open_whole, probe
from vit_keras.data.resize import resize_to_size, thread_buffer
from vit_keras.errors import SettingError
from vit_keras.text import first_line


def decode_resized(
    content: bytes,
    size: tuple[int, int],
    resize_mode: str,
    orientation: int,
    is_jpeg: bool,
    out: np.ndarray | None = None,
    has_profile: bool = False,
    options: PixelOptions = PixelOptions(),  # noqa: B008  (frozen)
) -> np.ndarray:
    """Decode a file that was probed: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Where `data.value_range` is set, (X, Y, C) float32.

    Args:
        content: of the file.
        size: of the result.
        resize_mode: crop, stretch or pad, see `resize.resize_to_size`.
        orientation: of the `ProbeResult`.
        is_jpeg: of the `ProbeResult`.
        out: (X, Y, 3) uint8 to write the result to.
        has_profile: of the `ProbeResult`.
        options: how pixels become RGB.

    Raises:
        UnreadableError: the file has changed since it was probed, or its range is ambiguous.
    """
    if options.value_range is not None:
        image = scientific_files.decode(content, size, resize_mode, options)
        if out is None:
            return image
        out[...] = image
        return out
    stored = size if orientation < 5 else size[::-1]  # resized first: then fewer pixels are turned
    if is_jpeg:
        array = jpeg.decode_rgb(content, stored, resize_mode)
    else:
        array = _rgb_by_pillow(content, options)
    result = np.empty((*size, 3), np.uint8) if out is None else out
    buffer = result
    if orientation != 1:
        buffer = thread_buffer("resized", result.size).reshape(*stored, 3)
    small = resize_to_size(array, stored, resize_mode, buffer)
    if is_jpeg and has_profile and options.decoder_version > 1:  # last: of the fewest pixels
        small = array_to_srgb(small, _profile_of(content))
    upright = UPRIGHT[orientation](small)
    if upright is not result:
        result[...] = upright
    return result


def decode_bytes(
    content: bytes,
    size: tuple[int, int] | None,
    resize_mode: str,
    options: PixelOptions = PixelOptions(),  # noqa: B008
) -> np.ndarray:
    """Probe and decode a file: (X, Y, 3) uint8 for `size` (X, Y) or its own size, upright.

    Raises:
        UnreadableError: as `probe` and `decode_resized`.
    """
    if options.value_range is not None:
        assert size is not None, "an image at its own size is of 256 levels"
        return decode_resized(content, size, resize_mode, 1, False, options=options)
    found = probe(content)
    own = (found.height, found.width) if found.orientation < 5 else (found.width, found.height)
    is_jpeg = found.is_jpeg and not (found.remark and options.decoder_version == 1)
    return decode_resized(
        content,
        size or own,
        resize_mode,
        found.orientation,
        is_jpeg,
        has_profile=found.has_profile,
        options=options,
    )


def read(
    path: Path,
    size: tuple[int, int],
    resize_mode: str,
    options: PixelOptions = PixelOptions(),  # noqa: B008
) -> np.ndarray:
    """Decode the file `path`: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Raises:
        SettingError: the file cannot be read, or is no image.
    """
    try:
        return decode_bytes(read_regular_file(path), size, resize_mode, options)
    except (OSError, UnreadableError) as error:
        raise SettingError(
            f"{path} cannot be read ({error_reason(error)}); repair or remove it"
        ) from None


def read_regular_file(path: Path) -> bytes:
    """The bytes of a regular file; only the first ones of a file that is no image.

    Raises:
        UnreadableError: the path is of a folder, a pipe or a device, or the file is no image.
    """
    # Opening a pipe would block for ever, and a device may have no end.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("no regular file")
    with open(path, "rb") as file:
        head = file.read(HEAD)
        format_of(head)
        if status.st_size > MAX_BYTES:
            raise UnreadableError(f"far too large: {status.st_size / 1e6:.0f} MB")
        return head + file.read()


def error_reason(error: Exception) -> str:
    """The reason that a file could not be read for, without its path."""
    return getattr(error, "strerror", None) or first_line(error)


def _rgb_by_pillow(content: bytes, options: PixelOptions) -> np.ndarray:
    if options.decoder_version == 1:
        try:
            with Image.open(io.BytesIO(content), formats=VERSION_1) as image:
                return pixels.three_channels_of_version_1(image, options.background)
        except UnreadableError:
            raise
        except Exception:  # Pillow raises many kinds of error
            pass  # of a format that version 1 did not read, or with metadata that it refused
    image, _ = open_whole(content, format_of(content[:HEAD]))
    return pixels.to_rgb(pixels.load_samples(image, content), options)


def _profile_of(content: bytes) -> bytes | None:
    with open_image(content, "JPEG") as image:
        return image.info.get("icc_profile")


def to_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """(X, Y, 3) -> (X, Y, C) for C = 3 or 1; grey by ITU-R BT.601, as in Pillow."""
    if channels != 1 or rgb.shape[-1] == 1:
        return rgb
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
