"""The EXIF orientation of an image, and how its stored pixels become upright."""

from collections.abc import Callable
from typing import Any

import numpy as np

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


def exif_orientation(image: Any) -> int:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds of error for damaged EXIF
        return 1
    return orientation if orientation in UPRIGHT else 1
