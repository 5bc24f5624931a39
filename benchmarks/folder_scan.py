"""The scan of a large folder, the first time and again, and the memory that streaming it takes.

    python benchmarks/folder_scan.py [--images 100000]

Small JPEGs in ten classes; the folder is scanned with nothing kept of it, then with all kept, then
read for an epoch through `batches.training` without being held in memory.
"""

import os
import tempfile
import time
from pathlib import Path

from figures import median_ratio, parse, parser
from pictures import write_classes

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import folder as readers_folder
from vit_keras.data.splits import load_splits


def scan(config):
    """Seconds to list the files and look at those that have changed."""
    started = time.perf_counter()
    pairs = readers_folder.scan_files(config)
    assert not any(entry.reason for _, entry in pairs)
    return time.perf_counter() - started


def main():
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--side", type=int, default=64, help="pixels of a file")
    options.add_argument("--image-size", type=int, default=224, help="pixels to train on")
    settings = parse(options, images=300, image_size=32)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        root = Path(folder) / "files"
        # No two alike: of copies the search for duplicates would be all that is measured.
        write_classes(root, settings.images, settings.side, settings.side, distinct=settings.images)
        config = DataConfig(
            name="folder", path=str(root), image_size=settings.image_size, cache_mb=0
        )
        first, again = scan(config), scan(config)
        print(f"first scan of {settings.images} files {first:8.1f} s", flush=True)
        print(f"again {again:28.1f} s, {median_ratio([first], [again]):.1f} times as fast")

        started = time.perf_counter()
        splits = load_splits(config, seed=0)
        seconds = time.perf_counter() - started
        print(f"load, duplicates looked for {seconds:6.1f} s ({len(splits.findings)} findings)")

        from vit_keras import backend
        from vit_keras.data import input_pipeline  # import Keras

        stream = iter(input_pipeline.training_batches(splits.train, 128, 0, 0, prefetch=4))
        started = time.perf_counter()
        steps = len(splits.train.labels) // 128
        for _ in range(steps):
            next(stream)
        rate = steps * 128 / (time.perf_counter() - started)
        peak = backend.peak_memory_mb()["host"]
        del stream  # else it reads ahead, out of a folder that is about to go
        print(f"an epoch of {steps * 128} images: {rate:.0f} images/s, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
