"""One image file: its bytes -> pixels in three channels, at the size that is asked for.

JPEGs are decoded by libjpeg-turbo at the smallest 1/2, 1/4 or 1/8 that still holds the size asked
for, everything else by Pillow. Both work outside Python's lock, so threads decode on every core.
Nothing here imports Keras.

    grey, palette, black and white   each value three times, or as the palette has it
    transparent                      over white, as a page shows it
    CMYK                             as Pillow converts it, without a colour profile
    16 bits a pixel                  the upper eight, rounded
    turned by EXIF                   upright, as a viewer shows it
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

from vit_keras.data.resize import inside, resize_to_size, scratch
from vit_keras.errors import SettingError
from vit_keras.text import first_line

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
MIN_SIDE = 4  # pixels; an image with a shorter side shows nothing
MAX_PIXELS = 178_956_970  # where Pillow itself takes a file for a decompression bomb
ORIENTATION = 0x0112  # EXIF's tag

# EXIF's orientation -> how the stored rows and columns are turned to be seen upright.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
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
    """Why a file is no image that can be trained on."""


class ProbeResult(NamedTuple):
    """What is seen of an image when it is decoded for the first time."""

    height: int  # as stored, before it is turned
    width: int
    orientation: int  # EXIF's, 1 to 8
    is_jpeg: bool  # libjpeg-turbo decodes it, and not Pillow
    grey: np.ndarray  # (h, w) uint8, upright, at the stored size or at a half, a quarter, an eighth


def probe(content: bytes, grey_side: int = 64) -> ProbeResult:
    """Decode a file whole, once, to know that it can be.

    Args:
        content: of the file.
        grey_side: `grey` is no smaller than this where the image is not.

    Raises:
        UnreadableError: it is empty, no image, damaged, too small or far too large.
    """
    if not content:
        raise UnreadableError("an empty file")
    with _opened(content) as image:
        width, height = image.size
        check_size(height, width)
        is_jpeg = _is_jpeg(image)
        grey = _grey_of_jpeg(content, grey_side) if is_jpeg else None
        if grey is None:  # no JPEG; or one that libjpeg complains of, and Pillow may read
            is_jpeg = False
            grey = cv2.cvtColor(three_channels(image), cv2.COLOR_RGB2GRAY)
        turn = orientation_of(image)  # last: of a PNG it reads the pixels, and hides their damage
        return ProbeResult(height, width, turn, is_jpeg, TURNS[turn](grey))


def decode_resized(
    content: bytes,
    size: tuple[int, int],
    fit: str,
    orientation: int,
    is_jpeg: bool,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """(X, Y, 3) uint8 for `size` (X, Y), upright; in `out`, if given.

    Args:
        content: of the file.
        size: of the result.
        fit: how another shape comes to it, as `fitted` says.
        orientation: as `look` saw it.
        is_jpeg: as `look` saw it.
        out: (X, Y, 3) uint8.

    Raises:
        UnreadableError: the file is not what it was when it was looked at.
    """
    stored = size if orientation < 5 else size[::-1]  # turned last, when there is least to turn
    if is_jpeg:
        array = _rgb_of_jpeg(content, stored, fit)
    else:
        with _opened(content) as image:
            array = three_channels(image)
    result = np.empty((*size, 3), np.uint8) if out is None else out
    place = result if orientation == 1 else scratch("resized", result.size).reshape(*stored, 3)
    upright = TURNS[orientation](resize_to_size(array, stored, fit, place))
    if upright is not result:
        result[...] = upright
    return result


def decode_bytes(content: bytes, size: tuple[int, int], fit: str) -> np.ndarray:
    """A file that nobody has looked at yet: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Raises:
        UnreadableError: as `look`.
    """
    seen = probe(content)
    return decode_resized(content, size, fit, seen.orientation, seen.is_jpeg)


def read(path: Path, size: tuple[int, int], fit: str) -> np.ndarray:
    """`of_content` of one file.

    Raises:
        SettingError: the file cannot be read, or is no image.
    """
    try:
        return decode_bytes(read_regular_file(path), size, fit)
    except (OSError, UnreadableError) as error:
        raise SettingError(
            f"{path} cannot be read ({reason(error)}); mend it or take it away"
        ) from None


def read_regular_file(path: Path) -> bytes:
    """Of a regular file: opening a pipe would wait for ever, and a device has no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableError("no regular file")
    return path.read_bytes()


def reason(error: Exception) -> str:
    """Why a file could not be read, in a few words."""
    return getattr(error, "strerror", None) or first_line(error)


def three_channels(image: Any) -> np.ndarray:
    """A Pillow image of any mode -> (x, y, 3) uint8, over white where it is transparent."""
    try:
        if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to white
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


def _opened(content: bytes) -> Any:
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


def orientation_of(image: Any) -> int:
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except Exception:  # of damaged EXIF Pillow raises whatever it stumbles over
        return 1
    return turn if turn in TURNS else 1


def _is_jpeg(image: Any) -> bool:
    """Also of MPO, a phone's JPEG with further pictures behind the first."""
    return image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")


def _grey_of_jpeg(content: bytes, side: int) -> np.ndarray | None:
    try:
        grey = simplejpeg.decode_jpeg(content, "GRAY", min_height=side, min_width=side)
    except ValueError:
        return None
    return grey[..., 0]


def _rgb_of_jpeg(content: bytes, size: tuple[int, int], fit: str) -> np.ndarray:
    try:
        height, width = map(int, simplejpeg.decode_jpeg_header(content)[:2])
        needed = inside((height, width), size) if fit == "pad" else size
        # Scales between 1 and 1/2 are slower than the whole image, hence the factor of 2. What is
        # made so much smaller hides how its colours were interpolated.
        is_coarse = min(height / needed[0], width / needed[1]) >= 1.5
        least: dict[str, Any] = dict(min_height=needed[0], min_width=needed[1], min_factor=2)
        height, width = map(int, simplejpeg.decode_jpeg_header(content, **least)[:2])
        return simplejpeg.decode_jpeg(
            content,
            "RGB",
            fastdct=is_coarse,
            fastupsample=is_coarse,
            buffer=scratch("decoded", height * width * 3),
            **least,
        )
    except ValueError as error:
        raise UnreadableError(f"damaged: {first_line(error)}") from None
