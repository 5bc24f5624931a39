"""CIFAR-10 as arrays in one file, for processes and machines without TensorFlow.

    python benchmarks/cifar10_arrays.py build/cifar10.npz     # needs TFDS_DATA_DIR
    python benchmarks/cifar10_arrays.py build/cifar10         # the same in parts of 31 MB

`vit-keras train data=npz data.path=build/cifar10.npz` trains on it, under JAX without TensorFlow.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from vit_keras.data.splits import load_splits
from vit_keras.io import atomic
from vit_keras.training.preflight import load_config

PART = 10_000  # images in a part
KEYS = ("x_train", "y_train", "x_test", "y_test")


def write(path):
    """Write the 50,000 training and 10,000 test images, uint8, with their labels, uncompressed."""
    splits = load_splits(load_config("recipe=cifar10").data, seed=0)
    parts = splits.train, splits.validation
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    _save(path, images, labels, *splits.test)


def write_random(path, train=64, test=32):
    """Write random images of the same shape, for a look at whether a benchmark runs."""
    rng = np.random.default_rng(0)
    arrays = []
    for count in (train, test):
        arrays.append(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
        arrays.append(np.arange(count) % 10)
    _save(path, *arrays)


def write_parts(file, folder):
    """Write the arrays of `file` as `<key>-<number>.npy`, where a transfer has a largest size."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in load(file).items():
        for number, start in enumerate(range(0, len(array), PART)):
            np.save(folder / f"{key}-{number}.npy", array[start : start + PART])


def join(folder, path):
    """The file of `write` again, from its parts."""
    arrays = []
    for key in KEYS:
        parts = sorted(Path(folder).glob(f"{key}-*.npy"))
        if not parts:
            raise FileNotFoundError(f"{folder} has no {key}-0.npy; see benchmarks/gpu/README.md")
        arrays.append(np.concatenate([np.load(part) for part in parts]))
    _save(path, *arrays)


def load(path):
    """`x_train`, `y_train`, `x_test` and `y_test` of the file."""
    with np.load(path) as archive:
        return {name: archive[name] for name in KEYS}


def _save(path, *arrays):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_file(path) as new, new.open("wb") as file:
        np.savez(file, **dict(zip(KEYS, arrays, strict=True)))


def main():
    place = Path(sys.argv[1])
    if place.suffix == ".npz":
        write(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "cifar10.npz")
        write_parts(Path(folder) / "cifar10.npz", place)


if __name__ == "__main__":
    main()
