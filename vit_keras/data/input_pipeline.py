"""Input pipeline: shuffled training and sequential evaluation batches (tf.data or PyDataset).

The order of an epoch depends on (seed, epoch) alone, so that a resumed run sees the same batches as
an uninterrupted one. `DataWait` measures how long the training waits for its input.
"""

import collections
import functools
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from vit_keras import backend
from vit_keras.data import batch_memory
from vit_keras.data.alternating_flip import AlternatingFlip
from vit_keras.data.dataset import Split
from vit_keras.data.sampling import epoch_order
from vit_keras.text import counted

# Inputs of the training model: images, labels, and maybe flips or what else belongs to an image.
Batch = tuple[np.ndarray, ...]


def training_batches(
    split: Split,
    batch_size: int,
    seed: int,
    first_epoch: int,
    prefetch: int,
    steps: int | None = None,
    repeats: int = 1,
    alternating_flip: bool = False,
    wait: "DataWait | None" = None,
    sampling: str = "none",
    extra: np.ndarray | None = None,
    first_step: int = 0,
) -> Any:
    """Infinite stream of shuffled batches, for `fit` with `steps_per_epoch`.

    Args:
        split: the training images and labels.
        batch_size: a last, smaller batch is dropped, because it would be compiled a second time;
            other images are dropped in the next epoch.
        seed: of the order.
        first_epoch: counted from 0.
        prefetch: batches prepared ahead of the device, in threads. On JAX `close()` of the stream
            ends them.
        steps: batches of an epoch; by default `len(split.labels) // batch_size`.
        repeats: copies of each image in a batch (repeated augmentation, Hoffer et al. 2020). An
            epoch keeps its number of batches and has fewer images (Berman et al. 2019).
        alternating_flip: also say which images are to be mirrored: each batch has (B,) booleans,
            which differ from epoch to epoch, and from copy to copy of an image.
        wait: measures when each batch is ready.
        sampling: the setting `data.sampling`, see `sampling.epoch_order`.
        extra: (n, ...) what belongs to each image besides its label, such as a teacher's logits;
            each batch has that of its images. Not with an alternating flip.
        first_step: batches of the first epoch that are left out; no image of them is read.

    Raises:
        ValueError: a batch has more images than there are.
    """
    if not 0 < batch_size <= len(split.labels):
        raise ValueError(
            f"batch_size={batch_size} does not fit {counted(len(split.labels), 'image[s]')}"
        )

    distinct = batch_size // repeats  # images in a batch
    count = len(split.labels) // batch_size if steps is None else steps
    flip = AlternatingFlip(seed, len(split.labels)) if alternating_flip else None

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return epoch_order(split.labels, sampling, np.random.default_rng([seed, epoch]))

    def batch_of(number: int) -> Batch:
        epoch, step = divmod(first_step + number, count)
        images = order(first_epoch + epoch)[step * distinct : (step + 1) * distinct]
        index = repeated_indices(images, repeats)
        own = _own_share(len(index))
        copy = np.arange(len(index))[own] // len(images)  # all first copies come first, and so on
        index = index[own]
        batch = batch_memory.take(split.images, index), split.labels[index]
        if flip is None:
            return batch if extra is None else (*batch, extra[index])
        return *batch, flip.is_flipped(index, (first_epoch + epoch) * repeats + copy)

    if _on_tensorflow():
        load = wait.timed_loader(batch_of, is_ahead=True) if wait else batch_of
        third = np.zeros(0, "bool") if alternating_flip else extra
        return _tf_dataset(load, None, split, prefetch, third)
    return _prefetched(batch_of, prefetch, wait)


def _prefetched(load: Callable[[int], Batch], prefetch: int, wait: "DataWait | None") -> Any:
    """Generator of (load(0),), (load(1),), ..., of which `prefetch` are prepared ahead in threads.

    Keras copies the next batch to a GPU while it computes the one before. The threads end when the
    generator is closed, or with its last reference.
    """
    # Two at a time, so that no core idles while the last images of a batch are decoded.
    threads = ThreadPoolExecutor(2, thread_name_prefix="batches")
    try:
        ahead = collections.deque(threads.submit(load, number) for number in range(prefetch))

        def next_batch(number: int) -> Batch:
            batch = ahead.popleft().result()  # or the error of its thread
            ahead.append(threads.submit(load, number + prefetch))
            return batch

        taken = wait.timed_loader(next_batch, is_ahead=False) if wait else next_batch
        for number in itertools.count():
            yield (taken(number),)
    finally:
        threads.shutdown(cancel_futures=True)


def _own_share(size: int) -> slice:
    """The part of a batch of `size` images that this process reads, of several that train."""
    own = size // backend.process_count()
    first = backend.process_index() * own
    return slice(first, first + own)


def repeated_indices(images: np.ndarray, repeats: int) -> np.ndarray:
    """(m,) -> (m r,): each index `repeats` times, r, in an order in which MixUp mixes other images.

    With odd m and r, the middle image is mixed with itself once.
    """
    # MixUp mixes position i with position m r - 1 - i. The copies of the second half are reversed
    # and shifted by one, so that image i is mixed with image i + 1, and the last with the first.
    half = np.tile(images, repeats // 2)
    middle = images if repeats % 2 else images[:0]
    opposite = np.tile(np.roll(images, -1)[::-1], repeats // 2)
    return np.concatenate([half, middle, opposite])


def evaluation_batches(split: Split, batch_size: int, prefetch: int) -> Any:
    """Every image once, in order; the last batch may be smaller. Can be iterated repeatedly.

    On several devices, images of weight 0 fill up the last batch.
    """
    batches = _SequentialBatches(split, batch_size)
    if not _on_tensorflow():
        return batches
    weights = np.zeros(0, "float32") if batches.padding else None
    return _tf_dataset(batches.arrays, len(batches), split, prefetch, weights)


class _SequentialBatches(keras.utils.PyDataset):
    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self.split, self.batch_size = split, batch_size
        self.devices = backend.replicas()

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return _as_inputs(*self.arrays(index))

    def arrays(self, index: int) -> tuple[np.ndarray, ...]:
        """Images and labels of a batch, and weights if some batch is padded."""
        first = index * self.batch_size
        end = min(first + self.batch_size, len(self.split.labels))
        if self.padding:
            return self._padded(np.arange(first, end))
        own = _own_share(end - first)
        return self._at(slice(first + own.start, first + own.stop))

    @property
    def padding(self) -> int:
        """Images to add to all batches together, so that the devices can share each of them."""
        total, full = len(self.split.labels), len(self) - 1
        sizes = (self.batch_size, total - full * self.batch_size)
        return full * (-sizes[0] % self.devices) + -sizes[1] % self.devices

    def _at(self, numbers: Any) -> tuple[np.ndarray, ...]:
        return self.split.images[numbers], self.split.labels[numbers]

    def _padded(self, numbers: np.ndarray) -> tuple[np.ndarray, ...]:
        """A batch of a size that the devices can share, with weights that leave out what is added.

        Keras divides a batch's loss by its size, and weights it by its size: the weights make up
        for the images that were added.
        """
        total, added = len(self.split.labels), -len(numbers) % self.devices
        index = np.pad(numbers, (0, added), mode="edge")
        weights = np.where(np.arange(len(index)) < len(numbers), 1 + self.padding / total, 0)
        own = _own_share(len(index))
        return *self._at(index[own]), weights[own].astype("float32")


def _as_inputs(images: Any, labels: Any, *weights: Any) -> tuple[Any, ...]:
    """(x, y, sample weights) as Keras takes them; labels are an input, and y is not used."""
    return ((images, labels), labels, *weights) if weights else ((images, labels),)


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _tf_dataset(
    load: Callable[[int], tuple[np.ndarray, ...]],
    count: int | None,
    split: Split,
    prefetch: int,
    third: np.ndarray | None = None,
) -> Any:
    """A tf.data.Dataset of `load(0)`, `load(1)`, ...: `count` batches, or infinite if it is None.

    `prefetch` batches are prepared while the device computes. `third` has the dtype and the shape
    of what a batch has besides images and labels: flips in training, weights in evaluation.
    """
    import tensorflow as tf

    arrays_of_batch = [*split] if third is None else [*split, third]
    shapes = [(None, *array.shape[1:]) for array in arrays_of_batch]
    dtypes = [tf.as_dtype(array.dtype) for array in arrays_of_batch]

    def batch(number: Any) -> Any:
        arrays = tf.numpy_function(lambda n: load(int(n)), [number], dtypes)
        arrays = map(tf.ensure_shape, arrays, shapes)
        return (tuple(arrays),) if count is None else _as_inputs(*arrays)

    # A map over numbers, because a data set from a generator copies every batch once more. Two
    # calls at a time, so that no core idles while a batch is copied to TensorFlow.
    numbers = tf.data.Dataset.counter() if count is None else tf.data.Dataset.range(count)
    return numbers.map(batch, num_parallel_calls=2).prefetch(prefetch)


class DataWait(keras.callbacks.Callback):
    """Measures the fraction of an epoch's training time that was spent waiting for input.

    With TensorFlow, batches are prepared ahead in a thread: batch i was waited for from the moment
    its training step was reached until the batch was ready. With JAX, the training loop waits
    for the thread itself, and that time counts; a GPU computes meanwhile, so it is an upper bound.

    Attributes:
        share: of the epoch so far, from 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ready: dict[int, tuple[float, float]] = {}  # batch -> (load started, load ended)
        self.is_ahead = True
        self.next_batch = self.first_of_call = 0
        self.epoch_start = self.batch_start = self.batch_end = self.waited = self.earlier = 0.0

    def set_model(self, model: keras.Model) -> None:
        """Keep no reference: TensorFlow never releases the loader of a data set, nor this object.

        The model, its optimizer and its compiled steps would stay with it.
        """

    def timed_loader(self, load: Callable[[int], Any], is_ahead: bool) -> Callable[[int], Any]:
        """`load`, with the time of each batch recorded; batch 0 starts the count again."""
        self.is_ahead = is_ahead
        ready = self.ready = {}

        def timed(number: int) -> Any:
            if not number:
                self.next_batch = 0
            load_start = time.perf_counter()
            batch = load(number)
            ready[number] = load_start, time.perf_counter()
            return batch

        return timed

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_start = self.batch_end = time.perf_counter()
        self.waited = self.earlier = 0.0

    def go_on_with_epoch(self, seconds: float, waited: float) -> None:
        """Count what the epoch, which has just begun again, took before it was interrupted."""
        self.earlier, self.waited = seconds, waited

    def on_train_batch_begin(self, batch, logs=None):
        self.batch_start, self.first_of_call = time.perf_counter(), batch

    def on_train_batch_end(self, batch, logs=None):
        self.batch_end = time.perf_counter()
        if self.is_ahead:
            steps = batch + 1 - self.first_of_call
            self.waited += self._waited_in_call([self._next_load() for _ in range(steps)])
            return
        for load_start, load_end in self.ready.values():  # one, or two where Keras looks ahead
            if load_start >= self.epoch_start:
                self.waited += load_end - load_start
        self.ready.clear()

    def _next_load(self) -> tuple[float, float]:
        load = self.ready.pop(self.next_batch)
        self.next_batch += 1
        return load

    def _waited_in_call(self, loads: list[tuple[float, float]]) -> float:
        """Seconds of a call that were not steps, which are taken to be equally long.

        From the moment that batch k of n is ready, n - k steps fit into the rest of the call.
        """
        # The first batch is loaded when the compiled step reads it, after `batch_start`.
        start, steps = max(self.batch_start, loads[0][0]), len(loads)
        left = (self.batch_end - max(start, load_end) for _, load_end in loads)
        step = min(rest / (steps - k) for k, rest in enumerate(left))
        return self.batch_end - start - steps * step

    @property
    def share(self) -> float:
        seconds = self.earlier + self.batch_end - self.epoch_start
        return self.waited / seconds if seconds > 0 else 0.0
