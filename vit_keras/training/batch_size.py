"""`train.batch_size=auto`: the smallest batch that trains about as fast as any.

Batches are doubled from 32 as long as that makes training 5% faster. A larger one would take more
memory and update the weights less often, for nothing. Nothing here imports Keras.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from vit_keras.config.schema import Config
from vit_keras.errors import is_out_of_memory
from vit_keras.logs import log

SIZES = (32, 64, 128, 256, 512, 1024)
UNMEASURED = 128  # as by default
UPDATES = 20  # an epoch has as many batches at least
GAIN = 1.05


def is_auto(config: Config) -> bool:
    return config.train.batch_size == "auto"


def with_size(config: Config, size: int) -> Config:
    return replace(config, train=replace(config.train, batch_size=size))


def provisional(config: Config, train_images: int) -> Config:
    """`config` with the size that `auto` is where nothing was measured: 128 for enough images."""
    if not is_auto(config):
        return config
    fitting = sizes(train_images, config.augment.repeated_augmentation)
    return with_size(config, max((s for s in fitting if s <= UNMEASURED), default=fitting[0]))


def sizes(train_images: int, repeats: int = 1) -> list[int]:
    """Powers of two of which an epoch has `UPDATES` batches; for few images, one below 32.

    Args:
        train_images: of the training split.
        repeats: copies of an image in a batch, a power of two; each batch has two images or more.
    """
    fitting = [s for s in SIZES if s * UPDATES <= train_images and s >= 2 * repeats]
    if fitting:
        return fitting
    few = 1
    while 2 * few * UPDATES <= train_images:
        few *= 2
    return [min(max(few, 2 * repeats), train_images)]


def measure(fitting: Iterable[int], speed: Callable[[int], float]) -> dict[int, float]:
    """Images per second of each size, up to the first that is hardly faster or does not fit."""
    speeds: dict[int, float] = {}
    for size in fitting:
        try:
            found = speed(size)
        except Exception as error:  # backends' errors share no base class
            if not speeds or not is_out_of_memory(error):
                raise
            log.debug("train.batch_size=%d does not fit in memory: %s", size, error)
            break
        is_faster = found >= GAIN * max(speeds.values(), default=0.0)
        speeds[size] = found
        if not is_faster:
            break
    return speeds


def smallest(speeds: dict[int, float]) -> int:
    """The smallest size that is nearly as fast as the fastest."""
    return min(size for size, speed in speeds.items() if GAIN * speed >= max(speeds.values()))
