"""Files of more than eight bits or three channels, by a value range."""

import io

import numpy as np
from PIL import Image

from vit_keras.data.preprocess.resizing import resize


def load_values(file, settings):
    """Stored values -> (1, height, width, channels) float32, low to high as 0 to 255."""
    values, window, is_inverted = stored_values(file)
    if settings["value_range"] != "window":
        window = settings["value_range"]
    if window is None:
        raise ValueError("a file without the window that DICOM files have")
    low, high = window
    pixels = ((values.astype("float32") - low) * (255 / (high - low))).clip(0, 255)
    pixels = 255 - pixels if is_inverted else pixels
    if settings["channels"] == 1 and pixels.shape[-1] == 3:
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]], "float32")
    if settings["channels"] == 3 and pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    if pixels.shape[-1] != settings["channels"]:
        raise ValueError(f"{pixels.shape[-1]} channels instead of {settings['channels']}")
    size = settings["height"], settings["width"]
    return resize(pixels, size, settings["resize_mode"], "float32")[None]


def stored_values(file):
    """A path, an open file or an array -> (rows, columns, channels), window, is white the least."""
    if isinstance(file, np.ndarray):
        return file if file.ndim == 3 else file[..., None], None, False
    if hasattr(file, "read"):
        content = file.read()
    else:
        with open(file, "rb") as opened:
            content = opened.read()
    window, is_inverted = None, False
    if content[128:132] == b"DICM":
        values, window, is_inverted = dicom_values(content)
    elif content.startswith(b"\x93NUMPY"):
        values = np.load(io.BytesIO(content))
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        import tifffile

        with tifffile.TiffFile(io.BytesIO(content)) as tiff:
            series, is_inverted = tiff.series[0], tiff.pages.first.photometric == 0
            axes = [series.axes.index(axis) for axis in "YX"]
            values = np.moveaxis(series.asarray(), axes, (0, 1))
            values = values.reshape(*values.shape[:2], -1)
    else:
        image = Image.open(io.BytesIO(content))
        values = np.asarray(image if image.mode[0] in "ILF" else image.convert("RGB"))
    return values if values.ndim == 3 else values[..., None], window, is_inverted


def dicom_values(content):
    """A DICOM file of a window -> its values, those that are black and white, and MONOCHROME1."""
    import pydicom
    from pydicom.pixels import apply_modality_lut

    data = pydicom.dcmread(io.BytesIO(content))
    values, window = apply_modality_lut(data.pixel_array, data), None
    if data.get("VOILUTSequence") or data.get("VOILUTFunction", "LINEAR") != "LINEAR":
        raise ValueError("a window that is not linear: use pydicom.pixels.apply_voi_lut")
    if "WindowCenter" in data:
        center, width = (
            float(np.atleast_1d(data[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
        )
        window = center - width / 2, center + width / 2 - 1  # DICOM PS3.3 C.11.2.1.2
    return values, window, data.PhotometricInterpretation == "MONOCHROME1"
