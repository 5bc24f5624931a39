"""Decode an image file: its bytes -> (X, Y, 3) uint8 pixels, resized.

JPEG is decoded by libjpeg-turbo at the smallest of 1/1, 1/2, 1/4 and 1/8 that is no smaller than
the result, other formats by Pillow. Both release the GIL, so that threads decode on every core.

    grey, palette, black and white   converted to RGB
    transparent                      composited over white
    CMYK                             converted by Pillow, without a colour profile
    16 bits per pixel                the upper eight bits, rounded
    EXIF orientation                 applied, so that the image is upright
    animated                         the first frame
"""

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from vit_keras.data.resize import resize_to_size, size_within, thread_buffer
from vit_keras.errors import SettingError
from vit_keras.text import first_line

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
MIN_SIDE = 4  # pixels
MAX_PIXELS = 178_956_970  # above which Pillow raises DecompressionBombError
ORIENTATION = 0x0112  # EXIF's tag

# EXIF orientation -> how the stored pixels are flipped and transposed to be upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


class UnreadableError(ValueError):
    """An image file that cannot be used, with the reason."""


class ProbeResult(NamedTuple):
    """What is known of an image file once it has been decoded."""

    height: int  # as stored, before the EXIF orientation is applied
    width: int
    orientation: int  # EXIF's, 1 to 8
    is_jpeg: bool  # decoded by libjpeg-turbo, not by Pillow
    grey: np.ndarray  # (h, w) uint8, upright, at 1/1, 1/2, 1/4 or 1/8 of the stored size


def probe(content: bytes, grey_side: int = 64) -> ProbeResult:
    """Decode a file completely, to check that it can be, and measure it.

    Args:
        content: of the file.
        grey_side: the least height and width of `grey`, where the image itself is not smaller.

    Raises:
        UnreadableError: the file is empty, no image, damaged, too small or far too large.
    """
    if not content:
        raise UnreadableError("an empty file")
    with _open_image(content) as image:
        width, height = image.size
        check_size(height, width)
        is_jpeg = _is_jpeg(image)
        grey = _grey_of_jpeg(content, grey_side) if is_jpeg else None
        if grey is None:  # no JPEG, or one that libjpeg-turbo refuses and Pillow may read
            is_jpeg = False
            grey = cv2.cvtColor(three_channels(image), cv2.COLOR_RGB2GRAY)
        # Last: of a PNG it reads the pixels, and hides that they are damaged.
        orientation = exif_orientation(image)
        return ProbeResult(height, width, orientation, is_jpeg, UPRIGHT[orientation](grey))


def decode_resized(
    content: bytes,
    size: tuple[int, int],
    resize_mode: str,
    orientation: int,
    is_jpeg: bool,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Decode a file that was probed: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Args:
        content: of the file.
        size: of the result.
        resize_mode: crop, stretch or pad, see `resize.resize_to_size`.
        orientation: of the `ProbeResult`.
        is_jpeg: of the `ProbeResult`.
        out: (X, Y, 3) uint8 to write the result to.

    Raises:
        UnreadableError: the file has changed since it was probed.
    """
    stored = size if orientation < 5 else size[::-1]  # resized first: then fewer pixels are turned
    if is_jpeg:
        array = _rgb_of_jpeg(content, stored, resize_mode)
    else:
        with _open_image(content) as image:
            array = three_channels(image)
    result = np.empty((*size, 3), np.uint8) if out is None else out
    buffer = result
    if orientation != 1:
        buffer = thread_buffer("resized", result.size).reshape(*stored, 3)
    upright = UPRIGHT[orientation](resize_to_size(array, stored, resize_mode, buffer))
    if upright is not result:
        result[...] = upright
    return result


def decode_bytes(content: bytes, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """Probe and decode a file: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Raises:
        UnreadableError: as `probe`.
    """
    image = probe(content)
    return decode_resized(content, size, resize_mode, image.orientation, image.is_jpeg)


def read(path: Path, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """Decode the file `path`: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Raises:
        SettingError: the file cannot be read, or is no image.
    """
    try:
        return decode_bytes(read_regular_file(path), size, resize_mode)
    except (OSError, UnreadableError) as error:
        raise SettingError(
            f"{path} cannot be read ({error_reason(error)}); repair or remove it"
        ) from None


def read_regular_file(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        UnreadableError: the path is of a folder, a pipe or a device.
    """
    # Opening a pipe would block for ever, and a device may have no end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableError("no regular file")
    return path.read_bytes()


def error_reason(error: Exception) -> str:
    """The reason that a file could not be read for, without its path."""
    return getattr(error, "strerror", None) or first_line(error)


def three_channels(image: Any) -> np.ndarray:
    """A Pillow image of any mode -> (x, y, 3) uint8, composited over white."""
    try:
        if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255
            grey = np.asarray(image).astype("float32") / 257
            image = Image.fromarray(grey.round().clip(0, 255).astype("uint8"))
        elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))
    except _DAMAGE as error:
        raise UnreadableError(f"damaged: {first_line(error)}") from None


_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError)


def _open_image(content: bytes) -> Any:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise UnreadableError("no JPEG, PNG, BMP, WebP or GIF by its content") from None
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"far too large: {first_line(error)}") from None
    except _DAMAGE as error:
        raise UnreadableError(f"damaged: {first_line(error)}") from None


def check_size(height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise UnreadableError(f"too small: {width}x{height} pixels, {MIN_SIDE} a side at least")
    if height * width > MAX_PIXELS:
        raise UnreadableError(f"far too large: {width}x{height} pixels")


def exif_orientation(image: Any) -> int:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds of error for damaged EXIF
        return 1
    return orientation if orientation in UPRIGHT else 1


def _is_jpeg(image: Any) -> bool:
    # MPO is a phone's JPEG with further images behind the first.
    return image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")


def _grey_of_jpeg(content: bytes, side: int) -> np.ndarray | None:
    try:
        grey = simplejpeg.decode_jpeg(content, "GRAY", min_height=side, min_width=side)
    except ValueError:
        return None
    return grey[..., 0]


def _rgb_of_jpeg(content: bytes, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    try:
        height, width = map(int, simplejpeg.decode_jpeg_header(content)[:2])
        needed = size_within((height, width), size) if resize_mode == "pad" else size
        # A scale between 1/1 and 1/2 is slower than 1/1, hence the factor of 2.
        # The fast methods are less exact, which cannot be seen in an image that is made smaller.
        is_coarse = min(height / needed[0], width / needed[1]) >= 1.5
        least: dict[str, Any] = dict(min_height=needed[0], min_width=needed[1], min_factor=2)
        height, width = map(int, simplejpeg.decode_jpeg_header(content, **least)[:2])
        return simplejpeg.decode_jpeg(
            content,
            "RGB",
            fastdct=is_coarse,
            fastupsample=is_coarse,
            buffer=thread_buffer("decoded", height * width * 3),
            **least,
        )
    except ValueError as error:
        raise UnreadableError(f"damaged: {first_line(error)}") from None
