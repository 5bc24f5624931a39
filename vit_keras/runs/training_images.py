"""Which images a run was trained on, as `training_images.npz`: 8 bytes of a hash of each."""

import zipfile
from pathlib import Path

import numpy as np

from vit_keras.data.image_hashes import ImageHashes
from vit_keras.runs.run_dir import Run

TRAINING_IMAGES = "training_images.npz"


def write_training_images(run: Run, hashes: ImageHashes) -> None:
    """Write the hashes, each once and sorted, and what was hashed."""
    with run.atomic_write(TRAINING_IMAGES) as path, open(path, "wb") as file:
        np.savez(file, kind=hashes.kind, values=np.unique(hashes.values))


def read_training_images(run: Path) -> ImageHashes | None:
    """The hashes of a run's training images; None if it is of an earlier version, or damaged."""
    try:
        with np.load(run / TRAINING_IMAGES) as archive:
            return ImageHashes(str(archive["kind"]), archive["values"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
