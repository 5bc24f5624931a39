"""Decode an image file: its bytes -> (X, Y, 3) uint8 pixels, resized.

JPEG is decoded by libjpeg-turbo at the smallest of 1/1, 1/2, 1/4 and 1/8 that is no smaller than
the result, other formats by Pillow. Both release the GIL, so that threads decode on every core.

    format              by the content, whatever the suffix, see `image_formats`
    pixels              RGB in sRGB, see `pixels`
    EXIF orientation    applied, so that the image is upright
    animated            the first frame
    damaged             refused, also where a decoder makes something of it, see `jpeg` and `png`
"""

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vit_keras.data import jpeg, pixel_range, pixels, png, tiff, transparency
from vit_keras.data.color_profile import array_to_srgb, changes_colors
from vit_keras.data.file_length import length_remark
from vit_keras.data.image_formats import (
    HEAD,
    MAX_BYTES,
    VERSION_1,
    UnreadableError,
    check_size,
    format_of,
    largest_icon,
    open_image,
)
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.resize import resize_to_size, thread_buffer
from vit_keras.errors import SettingError
from vit_keras.text import first_line

ORIENTATION = 0x0112  # EXIF's tag
WRONG_CHECKSUM = "damaged: pixels that do not have their checksum"
GREY_SIDE = 64  # pixels, of `ProbeResult.grey`

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


class ProbeResult(NamedTuple):
    """What is known of an image file once it has been decoded."""

    format: str  # Pillow's name
    height: int  # as stored, before the EXIF orientation is applied
    width: int
    orientation: int  # EXIF's, 1 to 8
    is_jpeg: bool  # decoded by libjpeg-turbo, not by Pillow
    grey: np.ndarray  # (h, w) uint8, upright, at 1/1, 1/2, 1/4 or 1/8 of the stored size
    has_profile: bool = False  # an ICC profile that changes colours
    has_alpha: bool = False  # pixels that are not opaque
    bits: int = 8  # of a sample; 0 if it has 16, and the file does not say how many are used
    largest: int = 0  # value of samples of more than eight bits
    flat_over: str = ""  # backgrounds over which it is of one colour: white, black or both
    remark: str = ""  # what is odd about the file, of which the pixels are whole


def probe(content: bytes, grey_side: int = GREY_SIDE) -> ProbeResult:
    """Decode a file completely, to check that it can be, and measure it.

    Args:
        content: of the file.
        grey_side: the least height and width of `grey`, where the image itself is not smaller.

    Raises:
        UnreadableError: the file is empty, no image, damaged, too small or far too large.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"far too large: {len(content) / 1e6:.0f} MB")
    name = format_of(content[:HEAD])
    if name == "JPEG":
        return _probe_jpeg(content, grey_side)
    image, remark = _open_whole(content, name)
    remark = remark or length_remark(content, name)
    return _probe_samples(image, content, name, remark)


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
    size: tuple[int, int],
    resize_mode: str,
    options: PixelOptions = PixelOptions(),  # noqa: B008
) -> np.ndarray:
    """Probe and decode a file: (X, Y, 3) uint8 for `size` (X, Y), upright.

    Raises:
        UnreadableError: as `probe` and `decode_resized`.
    """
    found = probe(content)
    is_jpeg = found.is_jpeg and not (found.remark and options.decoder_version == 1)
    return decode_resized(
        content,
        size,
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


def exif_orientation(image: Any) -> int:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds of error for damaged EXIF
        return 1
    return orientation if orientation in UPRIGHT else 1


def probe_by_version_1(content: bytes) -> ProbeResult | None:
    """A file as `data.decoder_version=1` reads it, which `probe` refuses; None if that does too.

    It takes whatever Pillow decodes, such as the pixels of a JPEG before its damage.
    """
    try:
        with Image.open(io.BytesIO(content), formats=VERSION_1) as image:
            check_size(image.height, image.width)
            grey = cv2.cvtColor(pixels.three_channels_of_version_1(image), cv2.COLOR_RGB2GRAY)
            orientation = exif_orientation(image)
            upright = UPRIGHT[orientation](grey)
            return ProbeResult(
                str(image.format), image.height, image.width, orientation, False, upright
            )
    except Exception:
        return None


def _probe_jpeg(content: bytes, side: int) -> ProbeResult:
    with open_image(content, "JPEG") as image:
        is_cmyk, remark = image.mode == "CMYK", ""
        try:
            grey = None if is_cmyk else jpeg.grey_pixels(content, side)
        except ValueError:
            content, remark = jpeg.repaired(content, is_cmyk)
            grey = jpeg.grey_pixels(content, side)
        if grey is None:  # one that libjpeg-turbo refuses and Pillow may read
            image, remark = _open_whole(content, "JPEG")
            return _probe_samples(image, content, "JPEG", remark)
        profile = image.info.get("icc_profile")
        orientation = exif_orientation(image)
        return ProbeResult(
            format="JPEG",
            height=image.height,
            width=image.width,
            orientation=orientation,
            is_jpeg=True,
            grey=UPRIGHT[orientation](grey),
            has_profile=bool(profile) and changes_colors(profile),
            flat_over="both" if transparency.is_flat(grey) else "",
            remark=remark,
        )


def _probe_samples(image: Any, content: bytes, name: str, remark: str) -> ProbeResult:
    """Measure an image that Pillow decodes."""
    samples = pixels.load_samples(image, content)
    bits = 8
    if samples.deep is not None:
        bits = samples.known_bits
    guessed = pixel_range.smallest_bit_depth(samples.largest)  # decided by the data set, later
    over = {
        background: pixels.to_rgb(samples, PixelOptions(background, guessed))
        for background in (("white", "black") if transparency.has_alpha(image) else ("white",))
    }
    flat = [background for background, rgb in over.items() if transparency.is_flat(rgb)]
    shown = over["black"] if flat == ["white"] and "black" in over else over["white"]
    # Last: of a PNG it reads the pixels, and hides that they are damaged.
    orientation = exif_orientation(image)
    profile = image.info.get("icc_profile")
    return ProbeResult(
        format=name,
        height=image.height,
        width=image.width,
        orientation=orientation,
        is_jpeg=False,
        grey=UPRIGHT[orientation](cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)),
        has_profile=bool(profile) and changes_colors(profile),
        has_alpha=len(over) > 1 and transparency.is_partly_transparent(image),
        bits=bits,
        largest=samples.largest,
        flat_over="both" if len(flat) == len(over) else "".join(flat),
        remark=remark,
    )


def _rgb_by_pillow(content: bytes, options: PixelOptions) -> np.ndarray:
    if options.decoder_version == 1:
        try:
            with Image.open(io.BytesIO(content), formats=VERSION_1) as image:
                return pixels.three_channels_of_version_1(image, options.background)
        except (OSError, Image.DecompressionBombError):
            pass  # of a format that version 1 did not read
    image, _ = _open_whole(content, format_of(content[:HEAD]))
    return pixels.to_rgb(pixels.load_samples(image, content), options)


def _open_whole(content: bytes, name: str) -> tuple[Any, str]:
    """Pillow's image, loaded, and what is odd about its file."""
    if name == "ICO":
        content, name = largest_icon(content)
    if name == "JPEG":
        image = open_image(content, name)
        whole, remark = jpeg.repaired(content, image.mode == "CMYK")
        return (open_image(whole, name) if remark else image), remark
    if name == "TIFF" and not tiff.has_whole_pixels(content):
        raise UnreadableError(WRONG_CHECKSUM)
    if name != "PNG":
        return open_image(content, name), ""
    chunks = list(png.read_chunks(content))
    if not png.has_whole_pixels(chunks):
        raise UnreadableError(WRONG_CHECKSUM)
    try:
        image = open_image(content, name)
        image.load()
        return image, ""
    except Exception:  # for its metadata perhaps
        cleaned, profile, omitted = png.without_metadata(chunks)
    image = open_image(cleaned, name)
    if profile:
        image.info["icc_profile"] = profile
    return image, f"metadata that are damaged or too long, and not read: {', '.join(omitted)}"


def _profile_of(content: bytes) -> bytes | None:
    with open_image(content, "JPEG") as image:
        return image.info.get("icc_profile")


def to_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """(X, Y, 3) -> (X, Y, C) uint8 for C = 3 or 1; grey by ITU-R BT.601, as in Pillow."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None] if channels == 1 else rgb
