"""Images of more than eight bits or three channels, written by the libraries of the formats."""

import io

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install pydicom")
tifffile = pytest.importorskip("tifffile", reason="needs tifffile: pip install tifffile")


def tiff(array, **settings):
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric=settings.pop("photometric", "minisblack"), **settings)
    return file.getvalue()


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def dicom(array, bits=12, **elements):
    """A DICOM file of (x, y) unsigned or signed integers; `elements` are added, None removes."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1"
    data.Rows, data.Columns = array.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.PixelData = array.astype("<i2" if array.dtype.kind == "i" else "<u2").tobytes()
    for name, value in elements.items():
        if value is None:
            del data[name]
        else:
            setattr(data, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()
