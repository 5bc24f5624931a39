"""Alternating flip (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", https://arxiv.org/abs/2404.00498).

A random half of the images is mirrored in the first epoch, the other half in the second, and so on.
Each pair of epochs shows both views of every image; flips at random show half of the images twice
from the same side.
"""

import numpy as np

STREAM = 1  # a random stream of its own: [seed, epoch] is that of an epoch's order


class AlternatingFlip:
    """Says which images are mirrored; follows from the seed and the epoch alone.

    Args:
        seed: says which half is mirrored first.
        count: number of images.
    """

    def __init__(self, seed: int, count: int) -> None:
        rng = np.random.default_rng([seed, 0, STREAM])
        self.is_first = rng.integers(2, size=count, dtype="uint8").astype(bool)

    def is_flipped(self, images: np.ndarray, view: np.ndarray | int) -> np.ndarray:
        """Indices of images (m,) -> (m,) booleans, for their `view`-th views, counted from 0.

        `view` is the epoch; with r views in each epoch, it is r times the epoch and those before.
        """
        return self.is_first[images] ^ (np.asarray(view) % 2 == 1)
