"""Images of more than eight bits or three channels: TIFF, DICOM, NumPy and PNG files -> values.

Read where `data.value_range` is set: values as they are stored, of a DICOM file after its modality
LUT, become float32 of 0 to 255, so that no depth is lost. TIFF is read by tifffile, DICOM by
pydicom, which are optional: pip install 'vit-keras-lab[scientific]'.
"""

import io
from typing import Any

import cv2
import numpy as np

from vit_keras.data import pixels, value_range
from vit_keras.data.dicom import read_dicom
from vit_keras.data.image_formats import (
    HEAD,
    MAX_BYTES,
    MAX_PIXELS,
    UnreadableError,
    check_size,
    damaged,
    format_of,
)
from vit_keras.data.orientation import UPRIGHT, exif_orientation
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.probe import ProbeResult, open_whole
from vit_keras.data.resize import resize_channels
from vit_keras.data.stored_image import StoredImage
from vit_keras.data.tiff_values import read_tiff
from vit_keras.data.value_range import WINDOW, ValueFacts, check_fits, to_pixels


def decode(
    content: bytes, size: tuple[int, int], resize_mode: str, options: PixelOptions
) -> np.ndarray:
    """A file -> (X, Y, C) float32 of 0 to 255 for `size` (X, Y) and C of `data.channels`.

    Raises:
        UnreadableError: it is damaged, or of another depth or other channels.
    """
    return _pixels(read_stored(content, options), size, resize_mode, options)


def decode_array(
    array: np.ndarray, size: tuple[int, int], resize_mode: str, options: PixelOptions
) -> np.ndarray:
    """Values (x, y) or (x, y, c) -> (X, Y, C) float32 of 0 to 255, as `decode`."""
    values = array[..., None] if array.ndim == 2 else array
    return _pixels(StoredImage(values), size, resize_mode, options)


def decode_picture(
    picture: Any, size: tuple[int, int], resize_mode: str, options: PixelOptions
) -> np.ndarray:
    """Pillow's image -> (X, Y, C) float32 of 0 to 255, as `decode`."""
    return _pixels(_of_picture(picture, None, options), size, resize_mode, options)


def probe(content: bytes, options: PixelOptions) -> tuple[ProbeResult, ValueFacts]:
    """Read a file completely, to check that it can be, and measure it.

    Raises:
        UnreadableError: it cannot be read.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"far too large: {len(content) / 1e6:.0f} MB")
    stored = read_stored(content, options)
    try:
        facts = stored.facts
    except RangeError as error:
        raise UnreadableError(str(error)) from None
    height, width = stored.values.shape[:2]
    result = ProbeResult(
        format=format_of(content[:HEAD]),
        height=height,
        width=width,
        orientation=1,  # is applied already
        is_jpeg=False,
        grey=value_range.preview(stored.values),
        flat_over="both" if facts.low == facts.high else "",
    )
    return result, facts


def read_stored(content: bytes, options: PixelOptions) -> StoredImage:
    """The values of a file; where `data.value_range` is `window`, after a DICOM file's window.

    Raises:
        UnreadableError: it cannot be read.
    """
    name = format_of(content[:HEAD])
    stored: StoredImage | None = None
    if name == "NPY":
        stored = _read_numpy(content)
    elif name == "DICOM":
        stored = read_dicom(content, options.value_range == WINDOW)
    elif name == "TIFF":
        stored = read_tiff(content)
    if stored is None:
        picture, _ = open_whole(content, name)
        stored = _of_picture(picture, content, options)
    height, width, channels = stored.values.shape
    check_size(height, width)
    if height * width * channels > 3 * MAX_PIXELS:
        raise UnreadableError(f"far too large: {width}x{height} pixels of {channels} channels")
    return stored


def _pixels(
    stored: StoredImage, size: tuple[int, int], resize_mode: str, options: PixelOptions
) -> np.ndarray:
    try:
        facts = stored.facts
        check_channels(facts, options)
        check_fits(facts, options.value_range)
    except RangeError as error:
        raise UnreadableError(str(error)) from None
    span: Any = stored.full if options.value_range == WINDOW else options.value_range
    image = to_pixels(stored.values, span, stored.is_inverted)
    if image.shape[-1] == 3 and options.channels == 1:
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
    resized = resize_channels(image, size, resize_mode)
    return resized if facts.channels > 1 else resized.repeat(options.channels or 3, axis=-1)


def check_channels(facts: ValueFacts, options: PixelOptions) -> None:
    """Refuse channels that are not those of `data.channels`: grey is repeated to 3, RGB made grey.

    Raises:
        RangeError: naming both.
    """
    wanted = options.channels or 3
    if facts.channels != wanted and {facts.channels, wanted} != {1, 3}:
        said = f"data.channels={wanted}" if options.channels else "without data.channels it is 3"
        raise RangeError(f"{facts.channels} channels instead of {wanted} ({said})")


def _read_numpy(content: bytes) -> StoredImage:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:
        raise damaged(error) from None
    if array.ndim not in (2, 3) or not array.size:
        raise UnreadableError(
            f"an array of shape {array.shape}; save (height, width) or (height, width, channels)"
        )
    return StoredImage(array[..., None] if array.ndim == 2 else array)


def _of_picture(picture: Any, content: bytes | None, options: PixelOptions) -> StoredImage:
    """An image that Pillow reads: samples of 16 bits as they are, otherwise grey or RGB."""
    samples = pixels.load_samples(picture, content)
    if samples.deep is None:
        values = pixels.to_rgb(samples, options)
        values = values[..., :1] if picture.mode in ("L", "1") else values
    else:
        values = samples.deep[..., None] if samples.deep.ndim == 2 else samples.deep
    full = None
    if samples.deep is not None and samples.known_bits:  # stored as they are, or scaled to 16 bits
        bits = samples.known_bits if samples.largest < 2**samples.known_bits else 16
        full = 0.0, 2.0**bits - 1
    return StoredImage(UPRIGHT[exif_orientation(picture)](values), full)
