"""A split in batches: what `fit` and `evaluate` read.

The order of an epoch follows from (seed, epoch) alone, so a run that was killed and resumed at any
epoch sees the same batches as one that was not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from vit_keras.data import Split
from vit_keras.waiting import DataWait

Batch = tuple[tuple[np.ndarray, ...]]  # ((images, labels),): the training model's one input


def training(
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

    def generate() -> Iterator[Batch]:
        epoch = first_epoch
        while True:
            order = np.random.default_rng([seed, epoch]).permutation(len(split.labels))
            for images in order[: count * different].reshape(count, different):
                index = copied(images, repeats)
                yield ((split.images[index], split.labels[index]),)
            epoch += 1

    if wait:
        generate = wait.watching(generate, is_ahead=_on_tensorflow())
    return _stream(generate, split, prefetch) if _on_tensorflow() else generate()


def copied(images: np.ndarray, repeats: int) -> np.ndarray:
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


def evaluation(split: Split, batch_size: int, prefetch: int) -> Any:
    """Every image once, in order, the last batch as small as it comes; can be read again."""
    batches = _InOrder(split, batch_size)

    def generate() -> Iterator[Batch]:
        return (batches[index] for index in range(len(batches)))

    if not _on_tensorflow():
        return batches
    import tensorflow as tf

    # Keras warns of a data set that ends without having said where.
    return _stream(generate, split, prefetch).apply(
        tf.data.experimental.assert_cardinality(len(batches))
    )


class _InOrder(keras.utils.PyDataset):
    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self.split, self.batch_size = split, batch_size

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return ((self.split.images[part], self.split.labels[part]),)


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _stream(generate: Callable[[], Iterator[Batch]], split: Split, prefetch: int) -> Any:
    """A tf.data.Dataset that makes `prefetch` batches ready while the device is busy."""
    import tensorflow as tf

    images, labels = split
    signature = (
        (
            tf.TensorSpec((None, *images.shape[1:]), images.dtype),
            tf.TensorSpec((None,), labels.dtype),
        ),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(prefetch)
