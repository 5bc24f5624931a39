"""Test accuracy on scikit-learn's digits, written with more than eight bits and more channels.

    python benchmarks/scientific_images.py FOLDER

The same images, model, splits and epochs throughout. A digit has 17 levels, which 8 bits hold: more
bits add noise below them, so that the files use all of their depth, and should cost no accuracy.
Needs the extra `scientific`.
"""

import io
import sys
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sklearn.datasets import load_digits

import vit_keras

SETTINGS = ("recipe=digits", "train.epochs=40", "data.image_size=8", "train.autotune=false")
RANGE = ("data.value_range=auto", "data.channels=1")


def scaled(images: np.ndarray, largest: int) -> np.ndarray:
    """Digits of 0 to 16 -> integers of 0 to `largest`, of all levels."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, images.shape) * largest / 255
    return (images / 16 * largest + noise).round().clip(0, largest).astype("uint16")


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def tiff(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, photometric="minisblack")
    return file.getvalue()


def dicom(image: np.ndarray) -> bytes:
    """Of 12 bits, with the rescaling of a CT and a window of all values."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.Rows, data.Columns = image.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.WindowCenter, data.WindowWidth = 1024, 4096
    data.PixelData = image.astype("<u2").tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()


def accuracy(folder: Path, name: str, contents: list[bytes], *words: str) -> float:
    """Train on files in a folder for each class."""
    for index, (content, label) in enumerate(zip(contents, load_digits().target, strict=True)):
        file = folder / name / str(label) / f"{index:04}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return trained(folder, name, "data=folder", f"data.path={folder / name}", *words)


def trained(folder: Path, name: str, *words: str) -> float:
    config = vit_keras.load_config(*SETTINGS, *words, f"run.dir={folder / 'runs' / name}")
    result = vit_keras.train_model(config).metrics["test_accuracy"]
    print(f"{name:20} {result:.4f}", flush=True)
    return result


def main(folder: Path) -> None:
    images, twelve = load_digits().images, scaled(load_digits().images, 4095)
    eight = (images * 255 / 16).round().astype("uint8")
    bands = np.stack([twelve.astype("float32") * (band + 1) - 500 for band in range(5)], axis=-1)
    labels = load_digits().target
    order = np.argsort(labels, kind="stable")  # that of the files, by which splits are drawn
    np.savez(folder / "bands.npz", images=bands[order], labels=labels[order])
    found = [
        accuracy(folder, "PNG of 8 bits", [png(image) for image in eight]),
        accuracy(folder, "TIFF of 12 bits", [tiff(image) for image in twelve], *RANGE),
        accuracy(folder, "PNG of 16 bits", [png(image) for image in scaled(images, 65535)], *RANGE),
        accuracy(
            folder, "TIFF of floats", [tiff(image / np.float32(4095)) for image in twelve], *RANGE
        ),
        accuracy(folder, "DICOM", [dicom(image) for image in twelve], *RANGE),
        trained(
            folder,
            "5 channels",
            *("data=npz", f"data.path={folder / 'bands.npz'}"),
            *("data.value_range=percentile", "data.channels=5"),
        ),
    ]
    print(f"largest loss against 8 bits: {100 * (found[0] - min(found)):.2f} points")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
