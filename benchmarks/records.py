"""An epoch of JPEGs in Parquet and in ArrayRecord, beside decoding the same bytes from memory.

    python benchmarks/records.py [--images 200000] [--backends tensorflow jax]

Photo-like JPEGs of 96x96, all distinct, are written as Hugging Face and as TFDS do, in four files
each, and read by `data=huggingface` and `data=tfds` with a `data.cache_mb` that they do not fit in.
Each source is measured in a process of its own, with the load average beside the figures:

    first, again    seconds of `load_splits`, with the scan (of Parquet with the copy), and cached
    epoch           images/s of a whole epoch through `input_pipeline.training_batches`
    bare            images/s of `decode.decode_resized` on bytes in memory, by the same threads
    ratio           of parts of a further epoch to bare, which take turns; the median
    by CPU time     the same, for machines with other load
    memory          the peak of the process, from its start to the end of the epoch
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from figures import argument_parser, median_ratio, parse_arguments
from pictures import picture

from vit_keras.config.schema import DataConfig

SIDE, BATCH, CLASSES, SHARDS = 96, 128, 10, 4
CANVAS = 768  # side of the picture that the JPEGs are cut out of
GRAIN = 9.5  # standard deviation of its noise, in levels
CACHE_MB = 50  # of decoded images; 200,000 take 5530
SOURCES = ("parquet", "array_record")


def jpegs(count):
    """So many distinct crops of a large picture, each under coarse noise of its own, with grain.

    The grain makes them as large as photographs: 4.1 kB, as scikit-learn's sample images of 96x96.
    """
    rng = np.random.default_rng(0)
    canvas = np.asarray(picture(rng, CANVAS, CANVAS), np.float32)
    canvas += rng.normal(0, GRAIN, canvas.shape).astype(np.float32)
    for _ in range(count):
        y, x = rng.integers(0, CANVAS - SIDE, 2)
        noise = rng.integers(-90, 90, (7, 7, 3)).astype(np.float32)
        smooth = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        pixels = cv2.convertScaleAbs(cv2.max(canvas[y : y + SIDE, x : x + SIDE] + smooth, 0))
        yield cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def write(root, images):
    """Both data sets, of the same images; returns the bytes of an image on average."""
    import pyarrow
    from array_record.python import array_record_module
    from pyarrow import parquet
    from tensorflow_datasets.proto import tf_example_pb2

    names = [str(label) for label in range(CLASSES)]
    tfds = root / "sets" / "squares" / "1.0.0"
    for folder in (root / "parquet", tfds):
        folder.mkdir(parents=True)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())], about)
    contents, lengths, total = jpegs(images), [], 0
    for shard in range(SHARDS):
        name = f"{shard:05d}-of-{SHARDS:05d}"
        lengths.append(len(range(shard, images, SHARDS)))
        path = tfds / f"squares-train.array_record-{name}"
        records = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        with parquet.ParquetWriter(root / "parquet" / f"train-{name}.parquet", schema) as writer:
            rows = ((content, row % CLASSES) for row, content in enumerate(contents))
            rows = itertools.islice(rows, lengths[-1])
            while group := list(itertools.islice(rows, 1000)):
                total += sum(len(content) for content, _ in group)
                columns = [
                    [{"bytes": one, "path": None} for one, _ in group],
                    [n for _, n in group],
                ]
                writer.write_table(pyarrow.table(columns, schema=schema))
                for content, label in group:
                    example = tf_example_pb2.Example()
                    feature = example.features.feature
                    feature["image"].bytes_list.value.append(content)
                    feature["label"].int64_list.value.append(label)
                    records.write(example.SerializeToString())
        records.close()
    _describe(tfds, lengths)
    return total / images


def _describe(folder, lengths):
    """The two files that TFDS keeps beside the records."""
    dimensions = [str(SIDE), str(SIDE), "3"]
    image = {"shape": {"dimensions": dimensions}, "dtype": "uint8"}
    features = {
        "image": {"pythonClassName": "tensorflow_datasets.Image", "image": image},
        "label": {
            "pythonClassName": "tensorflow_datasets.ClassLabel",
            "classLabel": {"numClasses": str(CLASSES)},
        },
    }
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    split = {"name": "train", "shardLengths": [str(length) for length in lengths]}
    info = {"name": "squares", "fileFormat": "array_record", "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))


def config_of(source, root):
    if source == "parquet":
        return DataConfig(
            name="huggingface", path=str(root / "parquet"), image_size=SIDE, cache_mb=CACHE_MB
        )
    return DataConfig(name="squares", tfds_dir=str(root / "sets"), cache_mb=CACHE_MB)


def bare(contents, workers):
    """Images per second, and CPU seconds per image, of decoding bytes in memory by threads."""
    from vit_keras.data import decode

    result = np.empty((BATCH, SIDE, SIDE, 3), np.uint8)
    numbers = iter(range(len(contents)))

    def work():
        for number in numbers:
            out = result[number % BATCH]
            decode.decode_resized(contents[number], (SIDE, SIDE), "crop", 1, True, out)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    started, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return len(contents) / wall, cpu / len(contents)


def streamed(stream, batches):
    """As `bare`, of so many batches; those that are ready before are not counted."""
    for _ in range(8):
        next(stream)
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(stream)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return batches * BATCH / wall, cpu / (batches * BATCH)


def measure(source, root, part, rounds):
    """The figures of one source, in this process."""
    from vit_keras import peak_memory
    from vit_keras.data import input_pipeline
    from vit_keras.data.splits import load_splits
    from vit_keras.io import parallel

    config, load = config_of(source, root), []
    before = peak_memory.in_mb()["host"]
    for _ in range(2):
        started = time.perf_counter()
        train = load_splits(config, seed=0).train
        load.append(time.perf_counter() - started)
    stream = iter(input_pipeline.training_batches(train, BATCH, 0, 0, prefetch=4))
    batches = len(train.labels) // BATCH
    epoch, _ = streamed(stream, batches - 8)
    memory = peak_memory.in_mb()["host"]
    images = train.images
    contents = [images.source.read(file.path) for file in images.files[: part * BATCH]]
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(bare(contents, images.workers or parallel.available_cores()))
        ours.append(streamed(stream, len(contents) // BATCH))
    return {
        "images": len(train.labels),
        "first": load[0],
        "again": load[1],
        "epoch": epoch,
        "bare": statistics.median(rate for rate, _ in theirs),
        "ratio": median_ratio(*([rate for rate, _ in rounds] for rounds in (ours, theirs))),
        "cpu": median_ratio(*([cpu for _, cpu in rounds] for rounds in (theirs, ours))),
        "memory": memory,
        "keras": before,
    }


def main():
    options = argument_parser(__doc__)
    options.add_argument("--images", type=int, default=200_000)
    options.add_argument("--part", type=int, default=150, help="batches that take turns")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    options.add_argument("--folder", type=Path, help="of the data sets, which are kept and reused")
    options.add_argument("--child", choices=SOURCES, help=argparse.SUPPRESS)
    settings = parse_arguments(options, images=2400, part=3, rounds=1, backends=["tensorflow"])
    if settings.child:
        figures = measure(settings.child, settings.folder, settings.part, settings.rounds)
        print(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = settings.folder or Path(temporary)
        if not (root / "parquet").exists():
            started = time.perf_counter()
            size = write(root, settings.images)
            print(
                f"{settings.images:,} JPEGs of {SIDE}x{SIDE}, {size:.0f} bytes on average, written "
                f"in {time.perf_counter() - started:.0f} s",
                flush=True,
            )
        for backend, source in itertools.product(settings.backends, SOURCES):
            figures = _in_a_process(backend, source, root, settings)
            print(_line(backend, source, figures), flush=True)


def _in_a_process(backend, source, root, settings):
    """The figures of a source on a backend, whose peak of memory is its own."""
    command = [sys.executable, __file__, "--child", source, "--folder", str(root)]
    command += ["--part", str(settings.part), "--rounds", str(settings.rounds)]
    with tempfile.TemporaryDirectory(dir=root) as cache:
        environment = {**os.environ, "KERAS_BACKEND": backend, "XDG_CACHE_HOME": cache}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _line(backend, source, figures):
    of = {name: f"{value:.0f}" for name, value in figures.items()}
    return (
        f"{backend:<11}{source:<13}first {of['first']:>4} s, again {of['again']:>3} s; epoch "
        f"{of['epoch']:>6} images/s, bare {of['bare']:>6}, ratio {figures['ratio']:.2f}, "
        f"by CPU time {figures['cpu']:.2f}; memory "
        f"{of['memory']} MB, {of['keras']} of it imports; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
