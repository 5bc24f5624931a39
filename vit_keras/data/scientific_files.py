"""Images of more than eight bits or three channels: TIFF, DICOM, NumPy and PNG files -> values.

Read where `data.value_range` is set: values as they are stored, of a DICOM file after its modality
LUT, become float32 of 0 to 255, so that no depth is lost. TIFF is read by tifffile, DICOM by
pydicom, which are optional: pip install 'vit-keras-lab[scientific]'.
"""

import importlib
import io
from typing import Any, NamedTuple

import cv2
import numpy as np

from vit_keras.data import pixels, value_range
from vit_keras.data.image_formats import (
    HEAD,
    MAX_BYTES,
    MAX_PIXELS,
    NOT_READ,
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
from vit_keras.data.value_range import WINDOW, Range, ValueFacts, check_fits, facts_of, to_pixels

# TIFF: kinds of colours (tag 262), and other tags.
WHITE_IS_ZERO, GREY_OR_RGB = 0, (0, 1, 2)
ORIENTATION, MAX_SAMPLE_VALUE, DNG_VERSION = 274, 281, 50706
DICOM_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class StoredImage(NamedTuple):
    """An image as its file has it, upright."""

    values: np.ndarray  # (x, y, c)
    full: Range | None = None  # what the file says that values can be
    has_window: bool = False
    is_inverted: bool = False  # the least value is white

    @property
    def facts(self) -> ValueFacts:
        return facts_of(self.values, self.full, self.has_window)


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
        stored = _read_dicom(content, options.value_range == WINDOW)
    elif name == "TIFF":
        stored = _read_tiff(content)
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


def _read_tiff(content: bytes) -> StoredImage | None:
    """None of colours that Pillow reads: a palette, CMYK or YCbCr."""
    tifffile = _imported("tifffile")
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


def _read_dicom(content: bytes, by_window: bool) -> StoredImage:
    pydicom = _imported("pydicom")
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        data = pydicom.dcmread(io.BytesIO(content))
        _check_dicom(data)
        values = apply_modality_lut(data.pixel_array, data)
        is_grey = values.ndim == 2
        has_lut = is_grey and bool(data.get("VOILUTSequence"))
        has_window = has_lut or (is_grey and "WindowCenter" in data and "WindowWidth" in data)
        full = _range_of_dicom(data)
        if by_window and has_window:
            values = apply_voi_lut(values, data)
            if has_lut:
                full = 0.0, 2.0 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1
        inverted = data.PhotometricInterpretation == "MONOCHROME1"
    except UnreadableError:
        raise
    except Exception as error:
        raise damaged(error) from None
    return StoredImage(values[..., None] if is_grey else values, full, has_window, inverted)


def _check_dicom(data: Any) -> None:
    if not any(name in data for name in DICOM_PIXELS):
        raise UnreadableError("a DICOM file without pixels")
    if (frames := int(data.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableError(f"a DICOM file of {frames} frames; save a file for each")
    if data.PhotometricInterpretation == "PALETTE COLOR":
        raise UnreadableError(f"a DICOM file of palette colours, {NOT_READ}")
    check_size(data.Rows, data.Columns)


def _range_of_dicom(data: Any) -> Range | None:
    """That of all values that can be stored, after the modality LUT."""
    if "PixelData" not in data:  # floats
        return None
    if data.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** data.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits, is_signed = int(data.BitsStored), bool(data.PixelRepresentation)
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    slope, intercept = (
        float(data.get(name, default))
        for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    low, high = sorted(slope * end + intercept for end in ends)
    return low, high


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


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        kind = {"tifffile": "a TIFF image", "pydicom": "a DICOM image"}[name]
        raise UnreadableError(
            f"{kind}, which needs {name}: pip install 'vit-keras-lab[scientific]'"
        ) from None
