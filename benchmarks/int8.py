"""Inference of an 8-bit ViT-B/16 in ONNX Runtime and of the float32 model in TensorFlow.

    python benchmarks/int8.py

Random weights and pixels at 224x224, batch size 8. The contenders take turns, and each ratio is the
median over the rounds. `tensorflow` is the Keras model, compiled by XLA.
"""

import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from figures import argument_parser, median_ratio, parse_arguments

import vit_keras
from vit_keras.export.formats import format_module

BASE = "tensorflow"


def serving_model(variant, depth):
    """A ViT with random weights: uint8 pixels -> probabilities."""
    vit = vit_keras.build_vit(variant, depth=depth)
    # A zero head would give equal probabilities, and the comparison would be meaningless.
    head = vit.get_layer("head").kernel
    head.assign(np.random.default_rng(0).normal(0, 0.02, head.shape))
    pixels = keras.Input(vit.input_shape[1:], dtype="uint8", name="pixels")
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(vit(pixels))
    return keras.Model(pixels, probabilities, name="serving")


def contenders(model, folder):
    """Name -> a predict function and the size of its file in MB."""
    import tensorflow as tf

    compiled = tf.function(lambda pixels: model(pixels, training=False), jit_compile=True)
    found = {BASE: (lambda images: compiled(tf.constant(images)).numpy(), None)}
    for name in ("onnx", "onnx_int8"):
        place = folder / name
        place.mkdir()
        format_module(name).write(model, place, [str(index) for index in range(1000)], {})
        size = (place / "model.onnx").stat().st_size / 1e6
        found[name] = (format_module(name).reader(place), size)
    return found


def main():
    options = argument_parser(__doc__)
    options.add_argument("--variant", default="b16")
    options.add_argument("--depth", type=int, default=12)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--rounds", type=int, default=5)
    settings = parse_arguments(options, variant="ti16", depth=1, batch=1, rounds=1)
    model = serving_model(settings.variant, settings.depth)
    shape = (settings.batch, *model.input_shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    with tempfile.TemporaryDirectory() as folder:
        found = contenders(model, Path(folder))
        expected = found[BASE][0](images)
        for name, (predict, size) in found.items():
            difference = np.abs(predict(images) - expected).max()
            in_mb = "" if size is None else f"{size:8.1f} MB"
            print(f"{name:<12}differs by {difference:.1e}{in_mb}", flush=True)
        speeds = {name: [] for name in found}
        for _ in range(settings.rounds):
            for name, (predict, _) in found.items():
                started = time.perf_counter()
                predict(images)
                speeds[name].append(settings.batch / (time.perf_counter() - started))
    for name, values in speeds.items():
        ratio = median_ratio(values, speeds[BASE])
        print(f"{name:<12}{statistics.median(values):8.2f} images/s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
