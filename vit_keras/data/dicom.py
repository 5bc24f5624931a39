"""DICOM files -> values after their modality LUT or, of a window, as it shows them."""

import io
from typing import Any

from vit_keras.data.image_formats import NOT_READ, UnreadableError, check_size, damaged
from vit_keras.data.stored_image import StoredImage, optional_library
from vit_keras.data.value_range import Range

DICOM_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_dicom(content: bytes, by_window: bool) -> StoredImage:
    """The values of a file; `by_window`, after its window (VOI LUT, PS3.3 C.11.2) if it has one.

    Raises:
        UnreadableError: it cannot be read.
    """
    pydicom = optional_library("pydicom")
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
