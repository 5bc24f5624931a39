"""Random numbers that are the same on every backend, from a seed and a counter.

TensorFlow and JAX make different numbers of one seed, and XLA and TensorFlow different floats.
Threefry-2x32 with 20 rounds (Salmon et al. 2011) is integer arithmetic alone: key and counter in,
two words out, whatever runs it. The key is the seed; the counter is (image of the batch, draw of
the image), so nothing has to be remembered but the seed generator's own state.

B is the batch.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

from keras import ops

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # Salmon et al. 2011, table 3
PARITY = 0x1BD11BDA
SLOTS = 8  # the most operations that a policy applies to an image
TRIES = 10  # boxes that are tried until one fits into the picture, as torchvision has it

# What is drawn -> how many numbers an image takes for it. What comes new goes to the end, so that
# the numbers of the others stay as they are.
COUNTS = {
    "crop": 2,  # row, column
    "flip": 1,
    "resized_crop": 2 * TRIES + 2,  # share of the area, proportions; row, column
    "jitter": 8,  # an order, four strengths
    "policy": 4 * SLOTS,  # operation, strength, sign, and whether at all
    "erase": 2 * TRIES + 3,  # as of a crop; whether at all
    "mix": 5,  # whether at all, which, its lambda; row, column: one of the batch
}
FIRST = {name: sum(list(COUNTS.values())[:at]) for at, name in enumerate(COUNTS)}
NOISE = 2**16  # the draw that the erased pixels are made of


def threefry(key: Any, counter: Any) -> tuple[Any, Any]:
    """Threefry-2x32, 20 rounds: pairs of uint32 tensors that broadcast -> two words of each."""
    keys = (*key, key[0] ^ key[1] ^ ops.cast(PARITY, "uint32"))
    left, right = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            left = left + right
            right = ops.left_shift(right, distance) | ops.right_shift(right, 32 - distance)
            right = right ^ left
        left = left + keys[(group + 1) % 3]
        right = right + keys[(group + 2) % 3] + ops.cast(group + 1, "uint32")
    return left, right


def key_of(seed: Any) -> tuple[Any, Any]:
    """The key of an int, always the same, or of a `keras.random.SeedGenerator`, its next one."""
    state = seed.next() if hasattr(seed, "next") else ops.convert_to_tensor([seed, 0], "uint32")
    state = ops.cast(state, "uint32")
    return state[0], state[1]


def draw(key: tuple[Any, Any], batch: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """What is wanted -> (B, its count) numbers in [0, 1), all made at once.

    Each is a multiple of 2^-24, which float32 holds exactly.
    """
    wanted = list(wanted)
    if not wanted:
        return {}
    places = [FIRST[name] + at for name in wanted for at in range(COUNTS[name])]
    word, _ = threefry(key, (_column(batch), ops.convert_to_tensor(places, "uint32")))
    uniform = ops.cast(ops.cast(ops.right_shift(word, 8), "int32"), "float32") * 2.0**-24
    ends = itertools.accumulate(COUNTS[name] for name in wanted)
    return {
        name: uniform[:, end - COUNTS[name] : end] for name, end in zip(wanted, ends, strict=True)
    }


def noise(key: tuple[Any, Any], batch: Any, shape: tuple[int, int, int]) -> Any:
    """(B, X, Y, C) grey levels of 0 to 255, each as likely.

    A word of each image, mixed with the place of the pixel by MurmurHash3's last lines: a
    twentieth of what Threefry would cost for every pixel, and random enough to look at.
    """
    word, _ = threefry(key, (_column(batch), ops.cast(NOISE, "uint32")))
    place = ops.cast(ops.arange(math.prod(shape), dtype="int32"), "uint32")
    mixed = word + place * ops.cast(0x9E3779B9, "uint32")  # (B, X Y C)
    for distance, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ ops.right_shift(mixed, distance)) * ops.cast(factor, "uint32")
    level = ops.cast(ops.right_shift(mixed, 24), "int32")
    return ops.reshape(ops.cast(level, "float32"), (-1, *shape))


def whole(uniform: Any, count: Any) -> Any:
    """int32 of 0 to `count` - 1, each as likely, of numbers in [0, 1)."""
    count = ops.cast(count, "float32")
    # The product of the largest number rounds to `count` itself.
    return ops.cast(ops.minimum(ops.floor(uniform * count), count - 1), "int32")


def _column(batch: Any) -> Any:
    return ops.cast(ops.arange(batch, dtype="int32"), "uint32")[:, None]
