"""Images as a worse camera would give them: noise, blur, JPEG and too much light, three times each.

What is done and how strongly is Hendrycks & Dietterich's ("Benchmarking Neural Network Robustness
to Common Corruptions and Perturbations", 2019): severities 1, 3 and 5 of CIFAR-10-C for images of
up to 64 pixels a side, of ImageNet-C for larger ones. Nothing here imports Keras.

(n, X, Y, C) uint8; what is behind the third channel is left as it is
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SMALL = 64  # pixels a side
STRENGTHS = (1, 3, 5)  # of the five that they have


class Kind(NamedTuple):
    """A corruption: what its numbers are, for small images and for large."""

    means: str
    small: tuple[float, float, float]
    large: tuple[float, float, float]


KINDS = {
    "noise": Kind("Gaussian, its deviation in 0 to 1", (0.04, 0.08, 0.10), (0.08, 0.18, 0.38)),
    "blur": Kind("Gaussian, its sigma in pixels", (0.4, 0.7, 1.0), (1, 3, 6)),
    "jpeg": Kind("saved as a JPEG, its quality", (80, 58, 40), (25, 15, 7)),
    "brightness": Kind("added to HSV's value, in 0 to 1", (0.05, 0.15, 0.3), (0.1, 0.3, 0.5)),
}


def amounts(kind: str, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """The three strengths of `kind` for images of `shape` (n, X, Y, C)."""
    return KINDS[kind].small if max(shape[1:3]) <= SMALL else KINDS[kind].large


class Corrupted:
    """(n, X, Y, C) uint8 as an array would be; each image is corrupted when its turn comes.

    The noise of an image follows from `seed` and its number, in whatever batch it comes.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, images: Any, kind: str, amount: float, seed: int) -> None:
        self.images, self.kind, self.amount, self.seed = images, kind, amount, seed
        self.shape = images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        pixels = self.images[part]
        colours = pixels[..., :3]
        numbers = range(len(self))[part]
        changed = CHANGES[self.kind](colours, self.amount, self.seed, numbers)
        return np.concatenate([changed, pixels[..., 3:]], axis=-1)


def noisy(images: np.ndarray, deviation: float, seed: int, numbers: range) -> np.ndarray:
    noise = [np.random.default_rng([seed, n]).standard_normal(images.shape[1:]) for n in numbers]
    return _levels(images / 255 + deviation * np.stack(noise))


def blurred(images: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return _levels(gaussian_filter(images / 255, (0, sigma, sigma, 0), mode="nearest"))


def compressed(images: np.ndarray, quality: float, *_: Any) -> np.ndarray:
    return np.stack([_through_jpeg(image, int(quality)) for image in images])


def brightened(images: np.ndarray, amount: float, *_: Any) -> np.ndarray:
    """HSV's value is the largest of the three: hue and saturation stay when all grow by one factor.

    Black has no hue, and becomes grey.
    """
    scaled = images / 255
    value = scaled.max(axis=-1, keepdims=True)
    brighter = np.minimum(value + amount, 1)
    factor = brighter / np.where(value > 0, value, 1)
    return _levels(np.where(value > 0, scaled * factor, brighter))


CHANGES: dict[str, Callable[..., np.ndarray]] = {
    "noise": noisy,
    "blur": blurred,
    "jpeg": compressed,
    "brightness": brightened,
}


def _levels(values: np.ndarray) -> np.ndarray:
    return (values * 255).round().clip(0, 255).astype(np.uint8)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
        file, "JPEG", quality=quality
    )
    with Image.open(file) as opened:
        return np.asarray(opened).reshape(image.shape)
