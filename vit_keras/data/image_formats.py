"""The format of an image file by its first bytes, whatever its suffix, and Pillow's image of it.

JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM (PGM, PBM) and ICO, by Pillow; HEIC by
pillow-heif, if it is installed. DICOM and NumPy files are known too, and read by
`scientific_files`.
"""

import functools
import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from vit_keras.text import first_line

MIN_SIDE = 4  # pixels
MAX_PIXELS = 178_956_970  # above which Pillow raises DecompressionBombError
# Formats whose decoders take more time and memory for a pixel: about 2 s and 1 GB.
MAX_PIXELS_OF = {"JPEG2000": 2**25, "AVIF": 2**26, "HEIF": 2**26, "ICO": 2**24}
MAX_BYTES = 2**29  # of a file
HEAD = 512  # bytes of a file that tell its format
NO_IMAGE = "no image by its content"
NOT_READ = "which is not read; save it as PNG or JPEG"
VERSION_1 = ("JPEG", "PNG", "BMP", "WEBP", "GIF")  # formats of data.decoder_version=1

# Pillow's name of a format -> how its files begin.
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",  # sizes of the headers that there are
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0(?!....CR)|MM\0[*+]",
    "AVIF": rb"....ftyp(avif|avis|(mif1|msf1)....(....)*?avi[fs])",
    "HEIF": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "PPM": rb"P[1-6][\s#]",
    "ICO": rb"\x00\x00\x01\x00[\x01-\xff]\0...\0",
    "NPY": rb"\x93NUMPY",
    "DICOM": rb".{128}DICM",
}
# Of these, those that Pillow does not read.
SCIENTIFIC = {"NPY": "a NumPy array", "DICOM": "a DICOM image"}
# Pictures that are not read -> how their files begin.
OTHERS = {
    "an SVG drawing": rb"\s*(<\?xml|<!|<svg)[^\0]*?<svg[\s>]|\s*<svg[\s>]",
    "a camera's raw file": rb"....ftypcrx |II[*]\0....CR|FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0",
    "a Photoshop document": rb"8BPS",
    "a JPEG XL image": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "an OpenEXR image": rb"v/1\x01",
}
_SIGNATURES = {name: re.compile(start, re.DOTALL) for name, start in SIGNATURES.items()}
_OTHERS = {name: re.compile(start, re.DOTALL) for name, start in OTHERS.items()}
REDUCED, DNG_VERSION = (254, 1), 50706  # TIFF: a preview, and the mark of a camera's raw file
TILE = (323, 322)  # TIFF's tags: height and width of a tile


class UnreadableError(ValueError):
    """An image file that cannot be used, with the reason."""


def format_of(head: bytes) -> str:
    """Pillow's name of the format of a file that begins with `head`, of `HEAD` bytes.

    Raises:
        UnreadableError: it is empty, no image, or of a format that is not read.
    """
    if not head:
        raise UnreadableError("an empty file")
    for name, start in _SIGNATURES.items():
        if start.match(head):
            return name
    for name, start in _OTHERS.items():
        if start.match(head):
            raise UnreadableError(f"{name}, {NOT_READ}")
    raise UnreadableError(NO_IMAGE)


def open_image(content: bytes, name: str) -> Any:
    """Pillow's image of a file of the format `name`, its pixels not decoded yet.

    Raises:
        UnreadableError: it is damaged, too small or far too large.
    """
    if name in SCIENTIFIC:
        raise UnreadableError(
            f"{SCIENTIFIC[name]}, which is read where data.value_range is set, such as "
            "data.value_range=auto"
        )
    if name == "HEIF" and not _has_heif():
        raise UnreadableError(
            "a HEIC photo, which needs pillow-heif: pip install 'vit-keras-lab[heif]'"
        )
    try:
        image: Any = Image.open(io.BytesIO(content), formats=(name,))
        is_raw = name == "TIFF" and (
            image.tag_v2.get(REDUCED[0]) == REDUCED[1] or DNG_VERSION in image.tag_v2
        )
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"far too large: {first_line(error)}") from None
    except Image.UnidentifiedImageError:
        raise UnreadableError(f"damaged: a header of {name} that cannot be read") from None
    except Exception as error:  # Pillow raises many kinds of error for damaged files
        raise damaged(error) from None
    check_size(image.height, image.width, name)
    check_size(*tile_size(image))
    if is_raw:
        raise UnreadableError(f"a camera's raw file, {NOT_READ}")
    return image


def tile_size(image: Any) -> tuple[int, int]:
    """(height, width) that is decoded at a time: a tile of a TIFF may be larger than the image."""
    if image.format != "TIFF" or not all(tag in image.tag_v2 for tag in TILE):
        return image.height, image.width
    height, width = (image.tag_v2[tag] for tag in TILE)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else (0, 0)


def check_size(height: int, width: int, name: str = "") -> None:
    """Refuse an image too small to have content, or so large that decoding fills the memory."""
    if min(height, width) < MIN_SIDE:
        raise UnreadableError(f"too small: {width}x{height} pixels, {MIN_SIDE} a side at least")
    if height * width > MAX_PIXELS_OF.get(name, MAX_PIXELS):
        raise UnreadableError(f"far too large: {width}x{height} pixels")


def damaged(error: Any) -> UnreadableError:
    return UnreadableError(f"damaged: {first_line(error)}")


@contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Ignore Pillow's warnings of large images and odd metadata, of which we have our own reports.

    Around all threads that decode, because a filter is set for the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL|pillow_heif|pydicom|tifffile")
        yield


@functools.cache
def _has_heif() -> bool:
    """Make Pillow open HEIC, once; False if pillow-heif is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(
        thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
    )
    return True


def largest_icon(content: bytes) -> tuple[bytes, str]:
    """The largest picture of an ICO file with the most colours, as a file of its own.

    Pillow decodes an icon when it opens it, and believes the sizes of the directory.
    """
    try:
        count = struct.unpack_from("<H", content, 4)[0]
        entries = [struct.unpack_from("<BBBBHHII", content, 6 + 16 * i) for i in range(count)]
        entry = max(entries, key=lambda one: ((one[0] or 256) * (one[1] or 256), one[5]))
        length, start = entry[-2:]
        picture = content[start : start + length]
        if picture[:4] == b"\x89PNG":
            return picture, "PNG"
        columns, rows = struct.unpack_from("<ii", picture, 4)
    except (struct.error, ValueError) as error:
        raise damaged(error) from None
    if len(picture) < length or not (0 < columns <= 256 and 0 < rows // 2 <= 256):
        raise UnreadableError("damaged: an icon of a wrong size")
    sides = columns % 256, rows // 2 % 256
    header = struct.pack("<HHHBBBBHHII", 0, 1, 1, *sides, *entry[2:-2], length, 22)
    return header + picture, "ICO"
