"""Read images in threads, batch by batch, while a model computes the batch before.

(X, Y, C) shape of the model's input.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vit_keras import validators
from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError
from vit_keras.io import parallel
from vit_keras.predict import inputs
from vit_keras.predict.inputs import Item
from vit_keras.text import counted

PREFETCHED_BATCHES = 3  # read in advance while the model computes
MAX_REPORTED = 3  # unreadable images that one message names


@dataclass(frozen=True)
class Unreadable:
    """The result for a file that cannot be read as an image, with the reason."""

    source: str
    reason: str


Read = tuple[Item, np.ndarray | Unreadable]  # an image and its pixels (X, Y, C)


class BatchReader:
    """Reads images as the input of a model.

    Attributes:
        shape: (X, Y, C) of the input.
        resize_mode: as `data.resize_mode`.
        options: how pixels become RGB.
        batch_size: images per batch; the last one may be smaller.
        workers: decoding threads.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        resize_mode: str,
        options: PixelOptions,
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self.shape, self.resize_mode, self.options = shape, resize_mode, options
        self.batch_size, self.workers = batch_size, workers or parallel.available_cores()

    def batches(self, items: Iterator[Item]) -> Iterator[list[Read]]:
        """Yield a batch at a time, with the next ones already submitted to the threads."""
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="predict")
        submitted: deque[list[tuple[Item, Future]]] = deque()
        try:
            while chunk := list(itertools.islice(items, self.batch_size)):
                submitted.append([(item, pool.submit(self.read, item)) for item in chunk])
                if len(submitted) > PREFETCHED_BATCHES:
                    yield _results(submitted.popleft())
            while submitted:
                yield _results(submitted.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # the caller may stop before the end

    def pixels(self, item: Item) -> np.ndarray:
        """A single image -> (X, Y, C) uint8, the input of the model, as in training.

        Raises:
            OSError: the file cannot be read.
            UnreadableError: the file is not an image, or is damaged.
        """
        return inputs.to_pixels(item, self.shape, self.resize_mode, self.options)

    def read(self, item: Item) -> np.ndarray | Unreadable:
        """As `pixels`, or the reason why the image cannot be read."""
        try:
            return self.pixels(item)
        except (OSError, decode.UnreadableError) as error:
            return Unreadable(item.source, decode.error_reason(error))


def _results(chunk: list[tuple[Item, Future]]) -> list[Read]:
    return [(item, future.result()) for item, future in chunk]


def check_reading(batch_size: int, workers: int | None) -> None:
    """Refuse a number of images or of threads that is not a whole number of 1 or more.

    Raises:
        SettingError: naming the setting.
    """
    validators.check_int("batch_size", batch_size)
    if workers is not None:
        validators.check_int("workers", workers)


def check_all_read(bad: Sequence[Unreadable], count: int, way_out: str) -> None:
    """Refuse `count` images of which some could not be read.

    Raises:
        SettingError: naming the first of them, and `way_out` as another way.
    """
    if bad:
        reasons = "; ".join(f"{one.source}: {one.reason}" for one in bad[:MAX_REPORTED])
        raise SettingError(
            f"{len(bad)} of {counted(count, 'image[s]')} cannot be read ({reasons}); "
            f"leave them out, or {way_out}"
        )
