"""Probe an image file: decode it completely, to check that it is whole, and measure it."""

import io
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vit_keras.data import jpeg, pixel_range, pixels, png, tiff, transparency
from vit_keras.data.color_profile import changes_colors
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
    tile_size,
)
from vit_keras.data.orientation import UPRIGHT, exif_orientation
from vit_keras.data.pixel_options import PixelOptions

WRONG_CHECKSUM = "damaged: pixels that do not have their checksum"
GREY_SIDE = 64  # pixels, of `ProbeResult.grey`


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
    image, remark = open_whole(content, name)
    remark = remark or length_remark(content, name)
    return _probe_samples(image, content, name, remark)


def stored_size(content: bytes) -> tuple[int, int]:
    """(height, width) that is decoded of a file, by its header, before memory is taken for it.

    Raises:
        UnreadableError: the file is empty, no image, damaged, too small or far too large.
    """
    name = format_of(content[:HEAD])
    if name == "ICO":
        content, name = largest_icon(content)
    if name == "PNG":  # without its metadata, by which Pillow may refuse it
        return png.stored_size(png.read_chunks(content))
    image = open_image(content, name)
    return max((image.height, image.width), tile_size(image), key=math.prod)


def open_whole(content: bytes, name: str) -> tuple[Any, str]:
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
    not_read = f", and not read: {', '.join(omitted)}" if omitted else ""
    return image, f"metadata that are damaged or too long{not_read}"


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
    jpeg.check_scans(content)
    with open_image(content, "JPEG") as image:
        is_cmyk, remark = image.mode == "CMYK", ""
        try:
            grey = None if is_cmyk else jpeg.grey_pixels(content, side)
        except ValueError:
            content, remark = jpeg.repaired(content, is_cmyk)
            grey = jpeg.grey_pixels(content, side)
        if grey is None:  # one that libjpeg-turbo refuses and Pillow may read
            image, remark = open_whole(content, "JPEG")
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
    shown, flat_over = _shown_over_backgrounds(samples)
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
        has_alpha=transparency.is_partly_transparent(image),
        bits=samples.known_bits if samples.largest else 8,  # black is 0 of any bits
        largest=samples.largest,
        flat_over=flat_over,
        remark=remark,
    )


def _shown_over_backgrounds(samples: pixels.Samples) -> tuple[np.ndarray, str]:
    """(x, y, 3) over a background on which it can be seen, and over which it is of one colour."""
    bits = pixel_range.smallest_bit_depth(samples.largest)  # decided by the data set, later
    names = ("white", "black") if transparency.has_alpha(samples.image) else ("white",)
    over = {name: pixels.to_rgb(samples, PixelOptions(name, bits)) for name in names}
    flat = [name for name, rgb in over.items() if transparency.is_flat(rgb)]
    shown = over[next((name for name in names if name not in flat), names[0])]
    return shown, "both" if len(flat) == len(names) else "".join(flat)
