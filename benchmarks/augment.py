"""Images per second of our RandAugment and of `keras.layers.RandAugment`, measured in turns.

    python benchmarks/augment.py

Ours is RandAugment(2, 9) with crop and flip, compiled by XLA as in a training step; Keras' is
`keras.layers.RandAugment` only, two operations of the same magnitude, on batches in tf.data with
the parallel map that is fastest of those tried before the first round.
"""

import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from figures import argument_parser, median_ratio, parse_arguments

from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig

OURS = AugmentConfig(crop_padding=4, flip=True, policy="randaugment")
PARALLEL = {"autotuned": tf.data.AUTOTUNE, "two calls": 2, "one call": 1}


def ours(images):
    """Return `run(batches)`, which augments that many batches and returns the seconds."""
    pixels, seed = tf.constant(images), keras.random.SeedGenerator(0)
    targets = tf.one_hot(np.arange(len(images)) % 10, 10)

    @tf.function(jit_compile=True)
    def step(pixels, targets):
        return augment(tf.cast(pixels, "float32"), targets, OURS, seed)

    def run(batches):
        started = time.perf_counter()
        for _ in range(batches):
            result, _ = step(pixels, targets)
        result.numpy()
        return time.perf_counter() - started

    return run


def keras_randaugment(images, calls):
    """As `ours`, for `keras.layers.RandAugment`; its factor 0.3 is our magnitude 9 of 30."""
    layer = keras.layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.3)
    stream = tf.data.Dataset.from_tensors(images).repeat()
    stream = stream.map(lambda x: layer(tf.cast(x, "float32")), num_parallel_calls=calls)

    def run(batches):
        started = time.perf_counter()
        for _ in stream.take(
            batches
        ):  # exhausted, so that nothing is prefetched while the other is timed
            pass
        return time.perf_counter() - started

    return run


def measure(size, batch, rounds, seconds):
    """Images per second of both, one figure per round."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    tried = {name: keras_randaugment(images, calls) for name, calls in PARALLEL.items()}
    for run in tried.values():
        run(2)
    took = {name: run(4) for name, run in tried.items()}
    best = min(took, key=took.get)
    contenders = {"ours": ours(images), f"keras, {best}": tried[best]}
    counts = {}
    for name, run in contenders.items():
        run(2)
        counts[name] = max(2, round(seconds / (run(2) / 2)))
    figures = {name: [] for name in contenders}
    for at in range(rounds):
        # Alternate the order, so that none always follows the other.
        for name in list(contenders)[:: 1 if at % 2 else -1]:
            figures[name].append(counts[name] * batch / contenders[name](counts[name]))
        latest = (f"{name} {values[-1]:.0f}" for name, values in figures.items())
        print(f"round {at + 1}:", *latest, flush=True)
    return figures


def report(size, batch, figures):
    """Print and return the medians and the median ratio."""
    mine, theirs = figures.values()
    ratio = median_ratio(mine, theirs)
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    print(f"\n{size}x{size}, batch {batch}, images/s, median of the rounds")
    for name, median in medians.items():
        print(f"  {name:<24}{median:>10}")
    print(f"  ratio                   {ratio:>10.2f}\n")
    return {"size": size, "batch": batch, "median": medians, "ratio": round(ratio, 2)}


def main():
    options = argument_parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    options.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 64])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=2, help="per contender and round")
    options.add_argument("--save", type=Path, help="write the figures to this file as JSON")
    settings = parse_arguments(options, sizes=[32], batch_sizes=[8], rounds=1, seconds=0.01)
    results = [
        report(size, batch, measure(size, batch, settings.rounds, settings.seconds))
        for size, batch in zip(settings.sizes, settings.batch_sizes, strict=True)
    ]
    if settings.save:
        settings.save.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
