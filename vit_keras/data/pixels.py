"""A Pillow image of any mode -> (x, y, 3) uint8 in sRGB, by the `PixelOptions` of a run.

grey, palette, black and white   converted to RGB
more than eight bits             scaled by the bits that are used, see `pixel_range`
ICC profile                      converted to sRGB
transparent                      composited over `data.background`
CMYK                             converted to RGB, by its profile if it has one
"""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vit_keras.data import pixel_range, png
from vit_keras.data.color_profile import to_srgb
from vit_keras.data.image_formats import UnreadableError, damaged
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.transparency import composite, has_alpha

BITS_PER_SAMPLE, MAX_SAMPLE_VALUE = 258, 281  # TIFF's tags
RAW_16_BITS = ("I;16", "RGB;16", "LA;16", "RGBA;16")  # Pillow keeps eight bits of colours


class Samples(NamedTuple):
    """The pixels of an image as they are stored."""

    image: Any  # Pillow's, loaded
    deep: np.ndarray | None  # samples of more than eight bits; None if the image has none
    known_bits: int  # bits of these that the file says; 0 if it does not

    @property
    def largest(self) -> int:
        """The largest value of the deep samples."""
        if self.deep is None or self.deep.dtype.kind == "f":
            return 0
        colours = self.deep[..., :3] if self.deep.ndim == 3 else self.deep
        return int(colours.max())


def load_samples(image: Any, content: bytes | None = None) -> Samples:
    """Decode the pixels of a Pillow image.

    Args:
        image: of Pillow.
        content: of its file, if there is one.

    Raises:
        UnreadableError: they are damaged, or their range is ambiguous.
    """
    raw_mode = _raw_mode(image)
    try:
        is_png = image.format == "PNG"
        if is_png and content is None and raw_mode.startswith(RAW_16_BITS):
            content = _file_content(image)
        image.load()
        if is_png and content is not None and png.sample_depth(content) == 16:
            return _samples_of_png(image, content)
        if image.mode.startswith("I") or image.mode == "F":
            return Samples(image, np.asarray(image), _known_bits(image))
        if raw_mode.startswith("RGB;16") and _upper_bits_are_unused(image):
            raise UnreadableError(
                f"values below {pixel_range.UNAMBIGUOUS} of 16 bits in three channels; save it "
                "with 8 bits"
            )
        return Samples(image, None, 0)
    except UnreadableError:
        raise
    except Exception as error:  # Pillow raises many kinds of error for damaged files
        raise damaged(error) from None


def to_rgb(samples: Samples, options: PixelOptions) -> np.ndarray:
    """(x, y, 3) uint8.

    Raises:
        UnreadableError: the range of the samples is ambiguous.
    """
    if options.decoder_version == 1:
        return three_channels_of_version_1(samples.image, options.background)
    try:
        image = samples.image
        if samples.deep is not None:
            image = _eight_bits(samples, options.bit_depth)
        profile = samples.image.info.get("icc_profile")
        if not has_alpha(image):
            known = image if image.mode in ("L", "CMYK") else image.convert("RGB")
            return np.asarray(to_srgb(known, profile).convert("RGB"))
        image = image.convert("RGBA")
        if profile:
            colours = to_srgb(image.convert("RGB"), profile)
            colours.putalpha(image.getchannel("A"))
            image = colours
        return np.asarray(composite(image, options.background))
    except RangeError as error:
        raise UnreadableError(str(error)) from None
    except UnreadableError:
        raise
    except Exception as error:
        raise damaged(error) from None


def three_channels_of_version_1(image: Any, background: str = "white") -> np.ndarray:
    """A Pillow image of any mode -> (x, y, 3) uint8, as `data.decoder_version=1` has it."""
    try:
        if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255
            grey = np.asarray(image).astype("float32") / 257
            image = Image.fromarray(grey.round().clip(0, 255).astype("uint8"))
        elif has_alpha(image):
            image = image.convert("RGBA")
            behind = Image.new("RGBA", image.size, "black" if background == "black" else "white")
            image = Image.alpha_composite(behind, image)
        return np.asarray(image.convert("RGB"))
    except Exception as error:
        raise damaged(error) from None


def _samples_of_png(image: Any, content: bytes) -> Samples:
    chunks = list(png.read_chunks(content))
    deep = png.samples_of_16_bits(content)
    if deep is None:
        raise UnreadableError("damaged: its samples of 16 bits")
    return Samples(image, deep, png.significant_bits(chunks))


def _eight_bits(samples: Samples, bit_depth: int | None) -> Any:
    """The deep samples as a Pillow image of eight bits: L, RGB or RGBA."""
    deep = samples.deep
    assert deep is not None
    if deep.ndim == 2:
        return Image.fromarray(pixel_range.to_uint8(deep, samples.known_bits, bit_depth))
    colours = pixel_range.to_uint8(deep[..., :3], samples.known_bits, bit_depth)
    if deep.shape[-1] == 3:
        return Image.fromarray(colours)
    # Opaque is 65535 whatever the bits of the colours.
    alpha = pixel_range.to_uint8(deep[..., 3:], bit_depth=16)
    return Image.fromarray(np.concatenate([colours, alpha], axis=2))


def _known_bits(image: Any) -> int:
    """The bits of the samples, by what a TIFF, PPM or JPEG 2000 file says."""
    if image.format in ("PPM", "JPEG2000"):
        return 16  # which Pillow has scaled them to
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (0,))[0]
    largest = tags.get(MAX_SAMPLE_VALUE, (0,))
    largest = int(largest[0] if isinstance(largest, tuple) else largest)
    if 8 < bits < 16:
        return int(bits)
    return largest.bit_length() if 0 < largest < 2**16 - 1 else 0


def _raw_mode(image: Any) -> str:
    """How the samples of a file that is not loaded yet are stored; empty if it is."""
    tiles = getattr(image, "tile", None)
    settings = tiles[0][3] if tiles else ""
    first = settings[0] if isinstance(settings, tuple) and settings else settings
    return first if isinstance(first, str) else ""


def _file_content(image: Any) -> bytes | None:
    """The bytes of the file that a Pillow image was opened from, if it is still open."""
    file = getattr(image, "fp", None)
    if file is None:
        return None
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    return content


def _upper_bits_are_unused(image: Any) -> bool:
    """Of an image of 16 bits and three channels, of which Pillow keeps the upper eight bits."""
    highest = max(high for _, high in image.getextrema())
    return highest < pixel_range.UNAMBIGUOUS >> 8
