"""Counter-based PRNG, Threefry-2x32 (Salmon et al. 2011): the same numbers on every backend.

`keras.random` gives different numbers on TensorFlow and JAX for the same seed. Threefry is integer
arithmetic alone: a key and a counter in, two words of 32 bits out. The key comes from the seed; the
counter is (index of the image in the batch, index of the number), so there is no further state.

Letters: B batch, (X, Y) height and width, C channels.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

from keras import ops

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # Salmon et al. 2011, table 3
PARITY = 0x1BD11BDA
SLOTS = 8  # most operations that a policy applies to an image
TRIES = 10  # random boxes of which the first that fits is taken, as in torchvision

# Purpose -> random numbers per image. New purposes go to the end: the numbers of the others, and
# with them the augmented images of a seed, then stay the same.
NUMBERS_PER_IMAGE = {
    "crop": 2,  # row, column
    "flip": 1,
    "resized_crop": 2 * TRIES + 2,  # areas, aspect ratios; row, column
    "jitter": 8,  # order, four strengths
    "policy": 4 * SLOTS,  # operation, strength, sign, whether it is applied
    "erase": 2 * TRIES + 3,  # as "resized_crop"; whether it is applied
    "mix": 5,  # whether it is applied, MixUp or CutMix, lambda, row, column; image 0's are used
}
FIRST_INDEX = {
    name: sum(list(NUMBERS_PER_IMAGE.values())[:at]) for at, name in enumerate(NUMBERS_PER_IMAGE)
}
NOISE = 2**16  # counter of the noise of erased boxes, beyond all of the above


def threefry(key: Any, counter: Any) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds: two pairs of uint32 tensors (broadcast) -> two words each."""
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


def make_key(seed: Any) -> tuple[Any, Any]:
    """The PRNG key of an int, or of the next state of a `keras.random.SeedGenerator`."""
    state = seed.next() if hasattr(seed, "next") else ops.convert_to_tensor([seed, 0], "uint32")
    state = ops.cast(state, "uint32")
    return state[0], state[1]


def random_numbers(
    key: tuple[Any, Any], batch: Any, needed: Iterable[str], first: Any = 0
) -> dict[str, Any]:
    """Uniform numbers in [0, 1): {purpose: (B, NUMBERS_PER_IMAGE[purpose])}, in one call.

    Each is a multiple of 2^-24, which float32 represents exactly. `first` is the index of the first
    of these images, where they are a part of a batch.
    """
    needed = list(needed)
    if not needed:
        return {}
    indices = [FIRST_INDEX[name] + i for name in needed for i in range(NUMBERS_PER_IMAGE[name])]
    word, _ = threefry(key, (_column(batch, first), ops.convert_to_tensor(indices, "uint32")))
    uniform = ops.cast(ops.cast(ops.right_shift(word, 8), "int32"), "float32") * 2.0**-24
    ends = itertools.accumulate(NUMBERS_PER_IMAGE[name] for name in needed)
    return {
        name: uniform[:, end - NUMBERS_PER_IMAGE[name] : end]
        for name, end in zip(needed, ends, strict=True)
    }


def noise(key: tuple[Any, Any], batch: Any, shape: tuple[int, int, int], first: Any = 0) -> Any:
    """(B, X, Y, C) float32 noise, uniform integers of 0 to 255; `shape` is (X, Y, C)."""
    word, _ = threefry(key, (_column(batch, first), ops.cast(NOISE, "uint32")))
    # One Threefry word per image, hashed with the pixel's index by MurmurHash3's finalizer: a
    # twentieth of the cost of Threefry per pixel, and random enough for noise.
    index = ops.cast(ops.arange(math.prod(shape), dtype="int32"), "uint32")
    mixed = word + index * ops.cast(0x9E3779B9, "uint32")  # (B, X Y C)
    for distance, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ ops.right_shift(mixed, distance)) * ops.cast(factor, "uint32")
    level = ops.cast(ops.right_shift(mixed, 24), "int32")
    return ops.reshape(ops.cast(level, "float32"), (-1, *shape))


def randint(uniform: Any, count: Any) -> Any:
    """Uniform numbers in [0, 1) -> uniform int32 in 0 ... `count` - 1."""
    count = ops.cast(count, "float32")
    # The minimum: for the largest number the product rounds to `count` itself.
    return ops.cast(ops.minimum(ops.floor(uniform * count), count - 1), "int32")


def _column(batch: Any, first: Any) -> Any:
    """Indices of the images, (B, 1) uint32."""
    return ops.cast(ops.arange(batch, dtype="int32") + first, "uint32")[:, None]
