"""Whether an image file is as long as it says, which shows a cut or a splice without checksums."""

import re
import struct
from collections.abc import Callable

from vit_keras.data import tiff
from vit_keras.text import counted

TILE_PART = b"\xff\x90"  # the marker before each part of a JPEG 2000 image
PPM_HEADER = re.compile(rb"P([456])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)")
MAXIMUM = re.compile(rb"(?:\s|#[^\n]*\n)*(\d+)\s")


def length_remark(content: bytes, name: str) -> str:
    """What is odd about the length of a file of the format `name`; empty if nothing is."""
    rule = LENGTHS.get(name)
    try:
        expected = rule(content) if rule else None
    except struct.error:  # a header of a kind that is not known here
        return ""
    if expected is None or expected == len(content):
        return ""
    return f"{counted(len(content), 'byte[s]')} long, and {expected:,} by its header"


def _bmp(content: bytes) -> int | None:
    return struct.unpack_from("<I", content, 2)[0] or None  # some programs write 0


def _webp(content: bytes) -> int | None:
    return 8 + struct.unpack_from("<I", content, 4)[0]


def _ico(content: bytes) -> int | None:
    (count,) = struct.unpack_from("<H", content, 4)
    return max(sum(struct.unpack_from("<II", content, 14 + 16 * i)) for i in range(count))


def _boxes(content: bytes) -> int | None:
    """The end of the last box of an ISO base media file: AVIF, HEIC and JP2."""
    place = 0
    while place < len(content):
        length = struct.unpack_from(">I", content, place)[0]
        if length == 1:
            length = struct.unpack_from(">Q", content, place + 8)[0]
        if length < 8:  # 0 is up to the end of the file
            return len(content) if length == 0 else None
        place += length
    return place


def _jpeg2000(content: bytes) -> int | None:
    """The end of the code stream, which follows from the lengths of its tile parts."""
    place = content.find(TILE_PART)
    while place >= 0 and content.startswith(TILE_PART, place):
        length = struct.unpack_from(">I", content, place + 6)[0]
        if not length:  # up to the end
            return None
        place += length
    return place + 2 if place >= 0 else None  # the marker at the end


def _ppm(content: bytes) -> int | None:
    header = PPM_HEADER.match(content)
    if not header:
        return None
    kind, width, height = (int(group) for group in header.groups())
    if kind == 4:
        return header.end() + (width + 7) // 8 * height
    maximum = MAXIMUM.match(content, header.end() - 1)
    if not maximum:
        return None
    sample = 1 if int(maximum[1]) < 256 else 2
    return maximum.end() + width * height * sample * (3 if kind == 6 else 1)


LENGTHS: dict[str, Callable[[bytes], int | None]] = {
    "BMP": _bmp,
    "WEBP": _webp,
    "ICO": _ico,
    "AVIF": _boxes,
    "HEIF": _boxes,
    "JPEG2000": _jpeg2000,
    "TIFF": tiff.file_length,
    "PPM": _ppm,
}
