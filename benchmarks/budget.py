"""Time the steps of a contender of `time_to_accuracy.py`, and train it for a number of them."""

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cifar10_arrays
import numpy as np

PADDING = 4  # pixels, of the random crop
EVALUATED = 500  # images in a batch of the evaluation


class Task(NamedTuple):
    """What each contender is given.

    Attributes:
        seconds: of training.
        file: images and labels, of `cifar10_arrays`.
        batch_size: of the peers; ours has that of its recipe.
        depth: encoder blocks of timm's and keras-hub's ViT.
        recipe: ours.
        overrides: further settings of ours.
        compare: every way to compile a peer, instead of the first alone.
        trial_steps: of each way, after the first; the median time counts.
    """

    seconds: float
    file: Path
    batch_size: int
    depth: int
    recipe: str
    overrides: tuple[str, ...]
    compare: bool
    trial_steps: int


class Contender(NamedTuple):
    """A model that can be trained.

    Attributes:
        step: images (B, 32, 32, 3) uint8, labels (B,), share of the budget spent -> loss.
        predict: images -> logits (n, classes).
        params: number of parameters.
    """

    step: Callable[[np.ndarray, np.ndarray, float], float]
    predict: Callable[[np.ndarray], np.ndarray]
    params: int


def batches(images, labels, size, augment, seed=0):
    """Endless shuffled batches, each image once in an epoch, but for an incomplete last batch.

    Args:
        images: (n, X, Y, C) uint8.
        labels: (n,).
        size: images in a batch.
        augment: flip half of the images, and crop each at random out of 4 pixels of padding.
        seed: of order and augmentation.
    """
    rng = np.random.default_rng(seed)
    windows = _windows(images) if augment else None
    while True:
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - size + 1, size):
            index = order[start : start + size]
            if windows is None:
                yield images[index], labels[index]
                continue
            rows, columns = rng.integers(0, 2 * PADDING + 1, (2, size))
            cropped = np.moveaxis(windows[index, rows, columns], 1, -1)
            flipped = rng.random((size, 1, 1, 1)) < 0.5
            yield np.where(flipped, cropped[:, :, ::-1], cropped), labels[index]


def _windows(images):
    """(n, X, Y, C) -> (n, 9, 9, C, X, Y): a view of each crop of the padded images."""
    sides = (PADDING, PADDING)
    padded = np.pad(images, ((0, 0), sides, sides, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))


def warmup_cosine(peak, share, warmup=0.05):
    """A learning rate that rises linearly from 0, then falls as a cosine to 0 at share 1."""
    if share < warmup:
        return peak * share / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


def speed(makes, task, augment):
    """The way with the shortest step: {"way": its name, "step_seconds": median}.

    Args:
        makes: name -> function that builds a contender.
        task: its images are trained on for a few steps.
        augment: as in `batches`.
    """
    ways = makes if task.compare else dict(list(makes.items())[:1])
    took = {name: _step_seconds(make(), task, augment) for name, make in ways.items()}
    print("  step:", *(f"{way} {seconds:.3f} s" for way, seconds in took.items()), flush=True)
    way = min(took, key=took.__getitem__)
    return {"way": way, "step_seconds": took[way]}


def _step_seconds(contender, task, augment):
    stream, seconds = _stream(task, augment), []
    for _ in range(1 + task.trial_steps):
        started = time.perf_counter()
        contender.step(*next(stream), 0.0)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])  # the first one compiles


def _stream(task, augment):
    arrays = cifar10_arrays.load(task.file)
    return batches(arrays["x_train"], arrays["y_train"], task.batch_size, augment)


def train(contender, task, augment, step_seconds):
    """Train for the steps that fit into the seconds of `task`; a row of the table."""
    stream, steps = _stream(task, augment), max(1, round(task.seconds / step_seconds))
    started = time.perf_counter()
    for number in range(steps):
        loss = contender.step(*next(stream), number / steps)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} at step {number + 1}")
    took = time.perf_counter() - started
    return result(contender, task, steps * task.batch_size, task.batch_size / step_seconds, took)


def result(contender, task, images, images_per_second, took, train_images=None) -> dict[str, Any]:
    """A row of the table, with the accuracy of the final weights.

    Args:
        contender: trained.
        task: its test images are used, all of them.
        images: trained on.
        images_per_second: of the trial.
        took: seconds that the training took, on a machine that may have been shared.
        train_images: of an epoch; those of `task` unless given.
    """
    arrays = cifar10_arrays.load(task.file)
    test_images, test_labels = arrays["x_test"], arrays["y_test"]
    parts = [
        contender.predict(test_images[start : start + EVALUATED]).argmax(-1)
        for start in range(0, len(test_labels), EVALUATED)
    ]
    return {
        "accuracy": round(float(np.mean(np.concatenate(parts) == test_labels)), 4),
        "images_per_second": round(images_per_second, 1),
        "epochs": round(images / (train_images or len(arrays["y_train"])), 2),
        "parameters": contender.params,
        "took_seconds": round(took, 1),
    }
