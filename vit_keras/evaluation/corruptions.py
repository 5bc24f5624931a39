"""Common corruptions: noise, blur, JPEG compression and brightness, at three severities each.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations": severities 1, 3 and 5 of CIFAR-10-C for images of up to 64 pixels a side, of
ImageNet-C for larger ones. Nothing here imports Keras.

Images are (n, X, Y, C) uint8; channels after the third are unchanged. Those of 0 to 255 in float32
are rounded first.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

MAX_CIFAR_SIZE = 64  # pixels a side
SEVERITIES = (1, 3, 5)  # of five in the paper


def add_noise(
    images: np.ndarray, deviation: float, seed: int, indices: Sequence[int]
) -> np.ndarray:
    noise = [np.random.default_rng([seed, n]).standard_normal(images.shape[1:]) for n in indices]
    return _to_uint8(images / 255 + deviation * np.stack(noise))


def blur(images: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return _to_uint8(gaussian_filter(images / 255, (0, sigma, sigma, 0), mode="nearest"))


def compress(images: np.ndarray, quality: float, *_: Any) -> np.ndarray:
    return np.stack([_through_jpeg(image, int(quality)) for image in images])


def brighten(images: np.ndarray, amount: float, *_: Any) -> np.ndarray:
    """Add to the value of HSV, the maximum over channels: (n, X, Y, C) -> the same.

    Hue and saturation are unchanged when all channels grow by the same factor. Black has no hue,
    and becomes grey.
    """
    scaled = images / 255
    value = scaled.max(axis=-1, keepdims=True)
    brighter = np.minimum(value + amount, 1)
    factor = brighter / np.where(value > 0, value, 1)
    return _to_uint8(np.where(value > 0, scaled * factor, brighter))


class Corruption(NamedTuple):
    """A corruption.

    Attributes:
        apply: (images, amount, seed, indices of the images) -> corrupted images.
        unit: what its amounts measure.
        cifar: amounts by severity for images of up to 64 pixels a side.
        imagenet: amounts by severity for larger images.
    """

    apply: Callable[..., np.ndarray]
    unit: str
    cifar: tuple[float, float, float]
    imagenet: tuple[float, float, float]


CORRUPTIONS = {
    "noise": Corruption(
        add_noise, "Gaussian, standard deviation in 0 to 1", (0.04, 0.08, 0.10), (0.08, 0.18, 0.38)
    ),
    "blur": Corruption(blur, "Gaussian, sigma in pixels", (0.4, 0.7, 1.0), (1, 3, 6)),
    "jpeg": Corruption(compress, "JPEG quality", (80, 58, 40), (25, 15, 7)),
    "brightness": Corruption(
        brighten, "added to the value of HSV, in 0 to 1", (0.05, 0.15, 0.3), (0.1, 0.3, 0.5)
    ),
}


def amounts(name: str, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """The amounts of a corruption by severity, for images of `shape` (n, X, Y, C)."""
    is_small = max(shape[1:3]) <= MAX_CIFAR_SIZE
    return CORRUPTIONS[name].cifar if is_small else CORRUPTIONS[name].imagenet


class CorruptedImages:
    """(n, X, Y, C) uint8, corrupted when they are sliced.

    The noise of an image depends on `seed` and its index only, not on the slice.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, images: Any, name: str, amount: float, seed: int) -> None:
        self.images, self.name, self.amount, self.seed = images, name, amount, seed
        self.shape = images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        pixels = self.images[part].round().astype(np.uint8)
        indices = np.arange(len(self))[part].tolist()
        apply = CORRUPTIONS[self.name].apply
        corrupted = apply(pixels[..., :3], self.amount, self.seed, indices)
        return np.concatenate([corrupted, pixels[..., 3:]], axis=-1)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return (values * 255).round().clip(0, 255).astype(np.uint8)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    if image.shape[-1] == 2:
        return np.concatenate([_through_jpeg(one, quality) for one in np.split(image, 2, -1)], -1)
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
        file, "JPEG", quality=quality
    )
    with Image.open(file) as opened:
        return np.asarray(opened).reshape(image.shape)
