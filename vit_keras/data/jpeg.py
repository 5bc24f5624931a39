"""Decode JPEG by libjpeg-turbo, and tell harmless complaints from damage.

libjpeg decodes what it can of a damaged file, the rest grey or shifted, and reports the first
fault alone. So a fault that may be harmless is taken out of a copy of the file, which is decoded
again: if libjpeg reports nothing then, the image is whole.
"""

import re
from typing import Any

import numpy as np
import simplejpeg

from vit_keras.data.image_formats import UnreadableError, damaged
from vit_keras.data.resize import size_within, thread_buffer
from vit_keras.text import counted

END = b"\xff\xd9"  # the marker at the end of an image
SCAN = b"\xff\xda"  # the marker before each pass over the pixels; encoders make about ten
MAX_SCANS = 200  # of a million that fit into a file, each of which takes time for all pixels
NO_END = "Premature end of JPEG file"
EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x(\w\w)")
HARMLESS = re.compile(r"JFIF revision|Adobe color transform|ICC marker")  # of the header
# Of what libjpeg decodes nevertheless. Of files with other errors, Pillow may know better.
COMPLAINTS = re.compile(r"Corrupt JPEG|Premature end of|Inconsistent progression|Invalid SOS")
RESTART = range(0xD0, 0xD8)  # markers within the pixels
MAX_PLACES = 16  # of a marker, that are tried
MAX_FAULTS = 4  # of one file
SIDE = 8  # pixels: libjpeg reports the same at any scale


def check_scans(content: bytes) -> None:
    """Refuse a file that would keep the decoder busy for hours.

    Raises:
        UnreadableError: it has far more scans than any encoder makes.
    """
    if (count := content.count(SCAN)) > MAX_SCANS:
        raise UnreadableError(f"a JPEG of {count:,} scans; save it again")


def repaired(content: bytes, is_cmyk: bool) -> tuple[bytes, str]:
    """The file without faults that leave its image whole, and what they are; mostly as it is.

    Raises:
        UnreadableError: the image is damaged.
    """
    colorspace = "CMYK" if is_cmyk else "GRAY"
    message = _complaint(content, colorspace)
    if not COMPLAINTS.search(message) and not HARMLESS.search(message):
        return content, ""  # without a fault, or one that Pillow knows better
    checked, remarks = content, []
    for _ in range(MAX_FAULTS):
        found = EXTRANEOUS.search(message)
        if not message:
            break
        if message == NO_END and not checked.endswith(END):
            remarks.append("without the marker at its end")
            content, checked = content + END, checked + END
        elif found and int(found[2], 16) not in RESTART:
            remarks.append(counted(int(found[1]), "byte[s] that [belongs|belong] to no part of it"))
            fault = int(found[1]), int(found[2], 16)
            content = _without(content, *fault, message, colorspace)
            checked = _without(checked, *fault, message, colorspace)
        elif HARMLESS.search(message):
            remarks.append(message)
            checked = _without_application_data(checked)
        else:
            break
        message = _complaint(checked, colorspace)
    if message:
        raise damaged(message)
    return content, "; ".join(remarks)


def grey_pixels(content: bytes, side: int) -> np.ndarray | None:
    """(h, w) uint8 of at least `side`; None of a file that libjpeg-turbo cannot decode.

    Raises:
        ValueError: libjpeg reports a fault.
    """
    try:
        return _decode(content, "GRAY", min_height=side, min_width=side)[..., 0]
    except ValueError as error:
        if COMPLAINTS.search(str(error)) or HARMLESS.search(str(error)):
            raise
        return None


def decode_rgb(content: bytes, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """(x, y, 3) uint8, at the smallest scale that is no smaller than `size`.

    Raises:
        UnreadableError: the image is damaged.
    """
    try:
        return _rgb(content, size, resize_mode)
    except ValueError as error:
        content, remark = repaired(content, is_cmyk=False)
        if not remark:
            raise damaged(error) from None
    try:
        return _rgb(content, size, resize_mode, strict=False)
    except ValueError as error:
        raise damaged(error) from None


def _rgb(
    content: bytes, size: tuple[int, int], resize_mode: str, strict: bool = True
) -> np.ndarray:
    height, width = map(int, simplejpeg.decode_jpeg_header(content, strict=strict)[:2])
    needed = size_within((height, width), size) if resize_mode == "pad" else size
    # A scale between 1/1 and 1/2 is slower than 1/1, hence the factor of 2.
    # The fast methods are less exact, which cannot be seen in an image that is made smaller.
    is_coarse = min(height / needed[0], width / needed[1]) >= 1.5
    least: dict[str, Any] = dict(
        min_height=needed[0], min_width=needed[1], min_factor=2, strict=strict
    )
    height, width = map(int, simplejpeg.decode_jpeg_header(content, **least)[:2])
    return _decode(
        content,
        "RGB",
        fastdct=is_coarse,
        fastupsample=is_coarse,
        buffer=thread_buffer("decoded", height * width * 3),
        **least,
    )


def _decode(content: bytes, colorspace: str, **settings: Any) -> np.ndarray:
    return simplejpeg.decode_jpeg(content, colorspace, **settings)


def _complaint(content: bytes, colorspace: str) -> str:
    """The first fault that libjpeg reports; empty if there is none."""
    try:
        _decode(content, colorspace, min_height=SIDE, min_width=SIDE)
    except ValueError as error:
        return str(error)
    return ""


def _without(content: bytes, count: int, marker: int, message: str, colorspace: str) -> bytes:
    """The file without the `count` bytes before a marker that libjpeg reports by `message`."""
    code, end = bytes([0xFF, marker]), len(content)
    for _ in range(MAX_PLACES):
        end = content.rfind(code, 0, end)
        if end < count:
            break
        shorter = content[: end - count] + content[end:]
        if _complaint(shorter, colorspace) != message:
            return shorter
    return content


def _without_application_data(content: bytes) -> bytes:
    """The file without its segments APP0 to APP15, which tell nothing of how pixels are stored."""
    parts, position = [content[:2]], 2
    while content[position : position + 1] == b"\xff" and content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if not 0xE0 <= content[position + 1] <= 0xEF:
            parts.append(content[position:end])
        position = end
    return b"".join([*parts, content[position:]])
