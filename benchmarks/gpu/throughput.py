"""Training and inference speed of ViTs on one GPU, on JAX, compared with timm under torch.compile.

    KERAS_BACKEND=jax python benchmarks/gpu/throughput.py train --save $OUT/train.jsonl

Batches are random and stay on the device; the compiled step runs alone, in bfloat16 with float32
weights. Contenders of one size and batch follow each other, each in its own process, and a line of
JSON is written after each. TensorFlow is not imported.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from figures import is_installed  # noqa: E402
from peer_steps import keras_hub_model, timm_step  # noqa: E402

# (image side, patch size, width, depth, heads, classes); the last: CIFAR-10's.
SIZES = {
    "b16": (224, 16, 768, 12, 12, 1000),
    "s16": (224, 16, 384, 12, 6, 1000),
    "ti16": (224, 16, 192, 12, 3, 1000),
    "small32": (32, 4, 192, 9, 3, 10),
    "tiny": (16, 8, 16, 1, 2, 10),  # for --smoke
}
BATCHES = {"train": [64, 128, 256, 512], "infer": [1, 8, 64, 256], "smoke": [8]}
NEEDS = {"timm": "timm", "keras_hub": "keras_hub"}


def forward_flop(side, patch, width, depth, heads, classes):
    """FLOP of the matrix products for an image: 2 per multiply-add."""
    tokens = (side // patch) ** 2 + 1
    block = 12 * width**2 + 2 * tokens * width
    return 2 * (tokens * depth * block + (tokens - 1) * 3 * patch**2 * width + width * classes)


def ours_step(size, batch, is_training):
    """A function that runs one step and returns an array on the device to wait for."""
    import keras

    import vit_keras

    side, patch, width, depth, heads, classes = size
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    sizes = dict(patch_size=patch, width=width, depth=depth, num_heads=heads, mlp_dim=4 * width)
    model = vit_keras.build_vit(None, image_size=side, num_classes=classes, **sizes)
    return jax_step(model, size, batch, is_training)


def jax_step(model, size, batch, is_training):
    """The same for any Keras model from pixels to logits, without the overhead of `fit`."""
    import jax
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    images = jax.device_put(rng.integers(0, 256, (batch, size[0], size[0], 3), dtype=np.uint8))
    labels = jax.device_put(rng.integers(0, size[-1], batch).astype("int32"))
    fixed = [variable.value for variable in model.non_trainable_variables]
    weights = [variable.value for variable in model.trainable_variables]
    if not is_training:
        infer = jax.jit(lambda w, f, x: model.stateless_call(w, f, x, training=False)[0])
        return lambda: infer(weights, fixed, images)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.05)
    optimizer.build(model.trainable_variables)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_of(weights, fixed, images, labels):
        logits, _ = model.stateless_call(weights, fixed, images, training=True)
        return loss_function(labels, logits)

    def update(weights, slots, *batch):
        loss, gradients = jax.value_and_grad(loss_of)(weights, *batch)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return loss, weights, slots

    compiled = jax.jit(update, donate_argnums=(0, 1))
    state = [weights, [variable.value for variable in optimizer.variables]]

    def step():
        # The batch is an argument: XLA would fold what it computes of a constant.
        loss, *state[:] = compiled(*state, fixed, images, labels)
        return loss

    return step


CONTENDERS = {
    "ours": ours_step,
    "timm": timm_step,
    "keras_hub": lambda *task: jax_step(keras_hub_model(task[0]), *task),
}


def measure(name, size, batch, mode, steps, pipe):
    """Send the figures of one contender: images/s, and what the card had to hold."""
    try:
        step = CONTENDERS[name](size, batch, mode == "train")
        started = time.perf_counter()
        first = wait(step())
        compilation, seconds = time.perf_counter() - started, []
        for _ in range(3):
            started = time.perf_counter()
            for _ in range(steps):
                last = step()
            last = wait(last)
            seconds.append((time.perf_counter() - started) / steps)
        row = {"images_per_second": round(batch / statistics.median(seconds), 1)}
        row |= {"compilation_seconds": round(compilation, 1), **device(name)}
        if mode == "train":
            row |= {"first_loss": round(float(first), 4), "last_loss": round(float(last), 4)}
    except Exception as error:  # out of memory, most likely: the next size may fit
        traceback.print_exc()
        row = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    pipe.send(row)


def wait(array):
    """`array` when it has been computed, as NumPy or a number."""
    return array.item() if array.ndim == 0 else getattr(array, "cpu", lambda: array)()[0, 0].item()


def device(name):
    """The card, and the peak of its memory in MB of 10^6 bytes."""
    if name == "timm":
        import torch

        if not torch.cuda.is_available():
            return {"device": "cpu"}
        peak = torch.cuda.max_memory_allocated()
        return {"device": torch.cuda.get_device_name(), "memory_mb": round(peak / 1e6)}
    import jax

    card = jax.devices()[0]
    peak = (card.memory_stats() or {}).get("peak_bytes_in_use")
    return {"device": card.device_kind, "memory_mb": peak and round(peak / 1e6)}


def run(name, size_name, batch, options):
    """One contender in its own process: the card's memory is free again afterwards."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    task = (name, SIZES[size_name], batch, options.mode, options.steps, there)
    process = context.Process(target=measure, args=task, daemon=True)
    process.start()
    there.close()
    try:
        row = here.recv()
    except EOFError:
        process.join()
        row = {"error": f"the process ended with status {process.exitcode}"}
    process.join()
    row = {"mode": options.mode, "size": size_name, "batch": batch, "contender": name, **row}
    if "images_per_second" in row:
        work = forward_flop(*SIZES[size_name]) * (3 if options.mode == "train" else 1)
        row["tflops"] = round(row["images_per_second"] * work / 1e12, 3)
        if options.peak_tflops:
            row["utilisation"] = round(row["tflops"] / options.peak_tflops, 3)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("train", "infer"))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["b16", "s16", "ti16"])
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--steps", type=int, default=20, help="timed at a time, three times")
    parser.add_argument("--peak-tflops", type=float, help="of the card in dense bfloat16")
    parser.add_argument("--save", type=Path, help="a file that gets a line of JSON for each figure")
    parser.add_argument("--smoke", action="store_true", help="only checks that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.sizes, options.batches, options.steps = ["tiny"], BATCHES["smoke"], 1
    chosen = [name for name in options.only if name not in NEEDS or is_installed(NEEDS[name])]
    for size in options.sizes:
        for batch in options.batches or BATCHES[options.mode]:
            for name in chosen:
                row = json.dumps(run(name, size, batch, options))
                print(row, flush=True)
                if options.save:
                    with options.save.open("a") as file:
                        file.write(row + "\n")


if __name__ == "__main__":
    main()
