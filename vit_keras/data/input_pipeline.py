"""A split in batches: what `fit` and `evaluate` read.

The order of an epoch follows from (seed, epoch) alone, so a run that was killed and resumed at any
epoch sees the same batches as one that was not.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from vit_keras.data.dataset import Split
from vit_keras.data.input_wait import DataWait

Batch = tuple[np.ndarray, np.ndarray]  # images and labels: the training model's one input


def training_batches(
    split: Split,
    batch_size: int,
    seed: int,
    first_epoch: int,
    prefetch: int,
    steps: int | None = None,
    repeats: int = 1,
    wait: DataWait | None = None,
) -> Any:
    """Endless whole batches, epoch after epoch from `first_epoch` (counted from 0) on.

    `fit` needs `steps_per_epoch=len(split.labels) // batch_size`, or `steps` if they are fewer; the
    few images over sit out one epoch, others the next, because a smaller last batch would be
    compiled a second time. With `repeats` (Hoffer et al. 2020), a batch has `batch_size // repeats`
    images, each so many times, and an epoch, as long as before, has that share of all images
    (Berman et al. 2019). `wait` notes when each batch is ready.
    """

    if not 0 < batch_size <= len(split.labels):
        raise ValueError(f"batch_size={batch_size} does not fit {len(split.labels)} images")

    different = batch_size // repeats  # images in a batch
    count = len(split.labels) // batch_size if steps is None else steps

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(len(split.labels))

    def batch_of(number: int) -> Batch:
        epoch, step = divmod(number, count)
        images = order(first_epoch + epoch)[step * different : (step + 1) * different]
        index = repeated_indices(images, repeats)
        return split.images[index], split.labels[index]

    load = wait.timed_loader(batch_of, is_ahead=_on_tensorflow()) if wait else batch_of
    if _on_tensorflow():
        return _stream(load, None, split, prefetch)
    return ((load(number),) for number in itertools.count())


def repeated_indices(images: np.ndarray, repeats: int) -> np.ndarray:
    """(m,) -> (m r,): each image `repeats` times, and none opposite to itself.

    MixUp mixes place i with place m r - 1 - i. So the copies of the second half come in reversed
    order, moved on by one: image i is opposite to image i + 1, and the last to the first. With odd
    `repeats`, the copies in the middle are opposite to each other's mirror image, the middle image
    of an odd `m` alone to itself.
    """
    half = np.tile(images, repeats // 2)
    middle = images if repeats % 2 else images[:0]
    opposite = np.tile(np.roll(images, -1)[::-1], repeats // 2)
    return np.concatenate([half, middle, opposite])


def evaluation_batches(split: Split, batch_size: int, prefetch: int) -> Any:
    """Every image once, in order, the last batch as small as it comes; can be read again."""
    batches = _InOrder(split, batch_size)
    if not _on_tensorflow():
        return batches
    return _stream(lambda number: batches[number][0], len(batches), split, prefetch)


class _InOrder(keras.utils.PyDataset):
    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self.split, self.batch_size = split, batch_size

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Batch]:
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return ((self.split.images[part], self.split.labels[part]),)


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _stream(load: Callable[[int], Batch], count: int | None, split: Split, prefetch: int) -> Any:
    """A tf.data.Dataset of `load(0)`, `load(1)`, ..., `count` of them or without end.

    `prefetch` batches are made ready while the device is busy. By number, because a data set from
    a generator copies every batch once more; two at a time, so that no core idles while a batch is
    handed over.
    """
    import tensorflow as tf

    shapes = [(None, *array.shape[1:]) for array in split]
    dtypes = [tf.as_dtype(array.dtype) for array in split]

    def batch(number: Any) -> Any:
        arrays = tf.numpy_function(lambda n: load(int(n)), [number], dtypes)
        return (tuple(map(tf.ensure_shape, arrays, shapes)),)

    numbers = tf.data.Dataset.counter() if count is None else tf.data.Dataset.range(count)
    return numbers.map(batch, num_parallel_calls=2).prefetch(prefetch)
