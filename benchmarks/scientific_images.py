"""Test accuracy on scikit-learn's digits, written with more than eight bits and more channels.

    python benchmarks/scientific_images.py

The same images, model, splits and epochs throughout. A digit has 17 levels, which 8 bits hold: more
bits add noise below them, so that the files use all of their depth, and should cost no accuracy.
Needs the extra `scientific`.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from figures import argument_parser, parse_arguments
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sklearn.datasets import load_digits

import vit_keras

SETTINGS = ["recipe=digits", "data.image_size=8", "train.autotune=false"]
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


class Comparison:
    """Trainings of the same images in different files, in `folder`."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.words = words

    def of_files(self, name: str, contents: list[bytes], *words: str) -> float:
        """Test accuracy on files in a folder for each class."""
        for index, (content, label) in enumerate(zip(contents, load_digits().target, strict=True)):
            file = self.folder / name / str(label) / f"{index:04}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return self.of(name, "data=folder", f"data.path={self.folder / name}", *words)

    def of(self, name: str, *words: str) -> float:
        """Test accuracy of a training."""
        run = f"run.dir={self.folder / 'runs' / name}"
        config = vit_keras.load_config(*SETTINGS, *self.words, *words, run)
        accuracy = vit_keras.train_model(config).metrics["test_accuracy"]
        print(f"{name:20} {accuracy:.4f}", flush=True)
        return accuracy


def compare(folder: Path, *words: str) -> list[float]:
    """Train on each kind of file; 8 bits are the first."""
    comparison = Comparison(folder, *words)
    images, labels = load_digits().images, load_digits().target
    twelve = scaled(images, 4095)
    eight = (images * 255 / 16).round().astype("uint8")
    floats = twelve / np.float32(4095)
    bands = np.stack([twelve.astype("float32") * (band + 1) - 500 for band in range(5)], axis=-1)
    order = np.argsort(labels, kind="stable")  # that of the files, by which splits are drawn
    np.savez(folder / "bands.npz", images=bands[order], labels=labels[order])
    sixteen = [png(image) for image in scaled(images, 65535)]
    channels = ("data.value_range=percentile", "data.channels=5")
    return [
        comparison.of_files("PNG of 8 bits", [png(image) for image in eight]),
        comparison.of_files("TIFF of 12 bits", [tiff(image) for image in twelve], *RANGE),
        comparison.of_files("PNG of 16 bits", sixteen, *RANGE),
        comparison.of_files("TIFF of floats", [tiff(image) for image in floats], *RANGE),
        comparison.of_files("DICOM", [dicom(image) for image in twelve], *RANGE),
        comparison.of("5 channels", "data=npz", f"data.path={folder / 'bands.npz'}", *channels),
    ]


def main() -> None:
    options = argument_parser(__doc__)
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("overrides", nargs="*", help="further settings of the trainings")
    chosen = parse_arguments(
        options,
        epochs=1,
        overrides=["train.limit_train_batches=1", "model.depth=1", "train.jit_compile=false"],
    )
    with tempfile.TemporaryDirectory() as folder:
        found = compare(Path(folder), f"train.epochs={chosen.epochs}", *chosen.overrides)
    print(f"largest loss against 8 bits: {100 * (found[0] - min(found)):.2f} points")


if __name__ == "__main__":
    main()
