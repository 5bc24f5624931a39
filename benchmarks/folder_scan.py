"""Scan a large folder without and with its cache, and measure the memory of an epoch.

    python benchmarks/folder_scan.py [--images 100000]

Small JPEGs in ten classes; the folder is scanned without a cache, then with one, then read for an
epoch through `input_pipeline.training_batches` without being held in memory.
"""

import os
import tempfile
import time
from pathlib import Path

from figures import argument_parser, median_ratio, parse_arguments
from pictures import write_classes

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import folder as readers_folder
from vit_keras.data.splits import load_splits


def scan(config):
    """Seconds to list the files and to check those that have changed."""
    started = time.perf_counter()
    pairs = readers_folder.scan_files(config)
    assert not any(entry.reason for _, entry in pairs)
    return time.perf_counter() - started


def main():
    options = argument_parser(__doc__)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--side", type=int, default=64, help="side of each file in pixels")
    options.add_argument("--image-size", type=int, default=224, help="side of the training images")
    settings = parse_arguments(options, images=300, image_size=32)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        root = Path(folder) / "files"
        # All distinct: with copies, the duplicate search would dominate the time.
        write_classes(root, settings.images, settings.side, settings.side, distinct=settings.images)
        config = DataConfig(
            name="folder", path=str(root), image_size=settings.image_size, cache_mb=0
        )
        first, again = scan(config), scan(config)
        print(f"first scan of {settings.images} files {first:8.1f} s", flush=True)
        print(f"second scan {again:22.1f} s, {median_ratio([first], [again]):.1f} times as fast")

        started = time.perf_counter()
        splits = load_splits(config, seed=0)
        seconds = time.perf_counter() - started
        print(f"load with duplicate search {seconds:7.1f} s ({len(splits.findings)} findings)")

        from vit_keras import peak_memory
        from vit_keras.data import input_pipeline  # import Keras

        stream = iter(input_pipeline.training_batches(splits.train, 128, 0, 0, prefetch=4))
        started = time.perf_counter()
        steps = len(splits.train.labels) // 128
        for _ in range(steps):
            next(stream)
        rate = steps * 128 / (time.perf_counter() - started)
        peak = peak_memory.in_mb()["host"]
        del stream  # stop prefetching before the folder is deleted
        print(f"an epoch of {steps * 128} images: {rate:.0f} images/s, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
