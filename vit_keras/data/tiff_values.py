"""TIFF files -> the values that they store, by tifffile; their pages become channels."""

import io
from typing import Any

import numpy as np

from vit_keras.data.image_formats import MAX_PIXELS, NOT_READ, UnreadableError, damaged
from vit_keras.data.orientation import UPRIGHT
from vit_keras.data.stored_image import StoredImage, optional_library
from vit_keras.data.value_range import Range

WHITE_IS_ZERO, GREY_OR_RGB = 0, (0, 1, 2)  # kinds of colours, tag 262
ORIENTATION, MAX_SAMPLE_VALUE, DNG_VERSION = 274, 281, 50706  # tags


def read_tiff(content: bytes) -> StoredImage | None:
    """The values of a file; None of colours that Pillow reads: a palette, CMYK or YCbCr.

    Raises:
        UnreadableError: it cannot be read.
    """
    tifffile = optional_library("tifffile")
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            if DNG_VERSION in page.tags:
                raise UnreadableError(f"a camera's raw file, {NOT_READ}")
            if len(file.series) > 1:
                raise UnreadableError(
                    f"a TIFF of {len(file.pages)} pages that differ in size or type; save pages "
                    "of one kind, which become channels, or a file for each"
                )
            if page.photometric not in GREY_OR_RGB:
                return None
            parts = [part for one in file.pages for part in _places(one)]
            if any(end > len(content) for end in parts):
                raise UnreadableError("damaged: it ends before its pixels")
            series = file.series[0]
            rows, columns = (series.axes.index(axis) for axis in "YX")
            if series.size > 3 * MAX_PIXELS:  # pages may be the same bytes again and again
                raise UnreadableError(f"far too large: {series.size:,} values")
            values = np.moveaxis(series.asarray(), (rows, columns), (0, 1))
            values = values.reshape(*values.shape[:2], -1)
            turned = UPRIGHT[_tag(page, ORIENTATION) or 1](values)
            return StoredImage(
                turned, _range_of_page(page), is_inverted=page.photometric == WHITE_IS_ZERO
            )
    except UnreadableError:
        raise
    except Exception as error:
        if "imagecodecs" in str(error):
            raise UnreadableError(
                "a TIFF whose compression needs imagecodecs: pip install imagecodecs"
            ) from None
        raise damaged(error) from None


def _places(page: Any) -> list[int]:
    """Where the parts of a page end in the file."""
    return [
        start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]


def _tag(page: Any, number: int) -> int:
    """The value of a tag; 0 if there is none."""
    value = page.tags[number].value if number in page.tags else 0
    return int(value[0] if isinstance(value, tuple) else value)


def _range_of_page(page: Any) -> Range | None:
    """By the bits of its samples, or by its largest value if that is not of all 16 bits."""
    if page.dtype is None or page.dtype.kind not in "ub":
        return None
    bits = int(page.bitspersample)
    if bits >= 16:
        largest = _tag(page, MAX_SAMPLE_VALUE)
        bits = largest.bit_length() if 0 < largest < 2**16 - 1 else 0
    return (0.0, 2.0**bits - 1) if bits else None
