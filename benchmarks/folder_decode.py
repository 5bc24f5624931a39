"""Decode a folder of JPEGs to 224x224 with our input pipeline and with Keras' loader, in turns.

    python benchmarks/folder_decode.py [--data <folder of classes>]

Both read the same files in batches of 32, on all cores. Ours is `input_pipeline.evaluation_batches`
after the scan, as in training (`bare`: without tf.data). Keras' is `image_dataset_from_directory`,
which stretches and does not antialias (`crop`: with a centre crop, as ours). `+ Resizing` reads the
files at their own size and resizes with `keras.layers.Resizing`; `antialiased` adds the centre crop
and antialiasing, as ours.
"""

import functools
import os
import statistics
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf
from figures import argument_parser, median_ratio, parse_arguments
from pictures import write_classes

from vit_keras.config.schema import DataConfig
from vit_keras.data import input_pipeline, registry

SIZE, BATCH = 224, 32
FILES = 375, 500  # height and width of each file


def ours(root):
    config = DataConfig(name="folder", path=str(root), image_size=SIZE, cache_mb=0)
    split = registry.read_dataset(config).train
    starts = range(0, len(split.labels), BATCH)
    return {
        "ours": lambda: input_pipeline.evaluation_batches(split, BATCH, prefetch=4),
        "ours, bare": lambda: ((split.images[i : i + BATCH],) for i in starts),
    }


def keras_loader(root, image_size=(SIZE, SIZE), crop=False):
    return keras.utils.image_dataset_from_directory(
        root,
        image_size=image_size,
        batch_size=BATCH,
        shuffle=False,
        crop_to_aspect_ratio=crop,
        verbose=False,
    )


def keras_resizing(root, crop_and_antialias):
    resize = keras.layers.Resizing(
        SIZE, SIZE, crop_to_aspect_ratio=crop_and_antialias, antialias=crop_and_antialias
    )
    images = keras_loader(root, FILES)
    parallel = images.map(lambda x, y: (resize(x), y), num_parallel_calls=tf.data.AUTOTUNE)
    return parallel.prefetch(tf.data.AUTOTUNE)


def theirs(root):
    loaders = {
        "keras": keras_loader(root),
        "keras crop": keras_loader(root, crop=True),
        "keras + Resizing": keras_resizing(root, False),
        "antialiased": keras_resizing(root, True),
    }
    return {name: functools.partial(iter, dataset) for name, dataset in loaders.items()}


def speed(stream):
    """Images per second, and CPU milliseconds per image."""
    images, started, cpu = 0, time.perf_counter(), time.process_time()
    for batch in stream():
        part = batch[0]
        images += len(part[0] if isinstance(part, tuple) else part)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return images / wall, 1000 * cpu / images


def main():
    options = argument_parser(__doc__)
    options.add_argument("--data", type=Path)
    options.add_argument("--images", type=int, default=1500)
    options.add_argument("--rounds", type=int, default=7)
    settings = parse_arguments(options, images=40, rounds=1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        root = settings.data or Path(folder) / "files"
        if settings.data is None:
            write_classes(root, settings.images, *FILES)
        contenders = ours(root) | theirs(root)
        speeds = {name: [] for name in contenders}
        for stream in contenders.values():
            speed(stream)  # warm-up
        for _ in range(settings.rounds):
            for name, stream in contenders.items():
                speeds[name].append(speed(stream))
    for name, rounds in speeds.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratio, cpu_ratio = (
            median_ratio([of_ours[i] for of_ours in speeds["ours"]], [one[i] for one in rounds])
            for i in range(2)
        )
        print(
            f"{name:<18}{rate:8.0f} images/s{cpu:8.3f} CPU ms per image   ours is {ratio:.2f} x "
            f"as fast, with {cpu_ratio:.2f} x the CPU time"
        )


if __name__ == "__main__":
    main()
