"""A folder of JPEGs decoded to 224x224 by us and by Keras' own loader, in turns.

    python benchmarks/folder_decode.py [--data <folder of classes>]

Both read the same files in batches of 32, on all cores: ours as training does it, through
`batches.evaluation`, after the scan (`bare` without TensorFlow around it); Keras' by
`image_dataset_from_directory`, which resizes without antialiasing and stretches (`crop` cuts the
centre out first, as ours does).
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import keras
from pictures import write_classes

from vit_keras import batches, sources
from vit_keras.config import DataConfig

SIZE, BATCH = 224, 32


def ours(root):
    config = DataConfig(name="folder", path=str(root), image_size=SIZE, cache_mb=0)
    split = sources.read(config).train
    starts = range(0, len(split.labels), BATCH)
    return {
        "ours": lambda: batches.evaluation(split, BATCH, prefetch=4),
        "ours, bare": lambda: ((split.images[i : i + BATCH],) for i in starts),
    }


def keras_loader(root, crop):
    dataset = keras.utils.image_dataset_from_directory(
        root,
        image_size=(SIZE, SIZE),
        batch_size=BATCH,
        shuffle=False,
        crop_to_aspect_ratio=crop,
        verbose=False,
    )
    return lambda: dataset


def speed(stream):
    """Images a second, and CPU milliseconds an image."""
    images, started, cpu = 0, time.perf_counter(), time.process_time()
    for batch in stream():
        part = batch[0]
        images += len(part[0] if isinstance(part, tuple) else part)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return images / wall, 1000 * cpu / images


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=7)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        root = settings.data or Path(folder) / "files"
        if settings.data is None:
            write_classes(root, settings.images, 375, 500)
        contenders = {
            **ours(root),
            "keras": keras_loader(root, crop=False),
            "keras crop": keras_loader(root, crop=True),
        }
        speeds = {name: [] for name in contenders}
        for stream in contenders.values():
            speed(stream)  # warm
        for _ in range(settings.rounds):
            for name, stream in contenders.items():
                speeds[name].append(speed(stream))
    for name, rounds in speeds.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratio, cpu_ratio = (
            statistics.median(
                ours[i] / theirs[i] for ours, theirs in zip(speeds["ours"], rounds, strict=True)
            )
            for i in range(2)
        )
        print(
            f"{name:<12}{rate:8.0f} images/s{cpu:8.3f} CPU ms an image   ours is {ratio:.2f} x as "
            f"fast, with {cpu_ratio:.2f} of the CPU"
        )


if __name__ == "__main__":
    main()
