"""Training images that live in the memory of the device and are gathered there, batch by batch.

The input pipeline then handles the numbers of images: a batch is (B,) int32 until the compiled step
gathers its pixels. Nothing else changes, so that the batches are the same bit for bit.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import backend
from vit_keras.config.schema import DataConfig
from vit_keras.data.lazy_images import LazyImages
from vit_keras.errors import SettingError

SHARE = 0.5  # of the free memory that images may take with `auto`
UNKNOWN = 4e9  # bytes: the free memory where the backend does not tell


class ResidentImages:
    """Images (n, x, y, C) on the device; indexing gives what the compiled step gathers them by.

    Args:
        images: an array of NumPy.

    Attributes:
        shape, dtype: of their numbers, which is what the input pipeline reads.
    """

    dtype = np.dtype("int32")

    def __init__(self, images: Any) -> None:
        self.shape = (len(images),)
        self.array = ops.convert_to_tensor(images)

    def __getitem__(self, index: np.ndarray) -> Any:
        numbers = np.asarray(index, self.dtype)
        # JAX compiles arrays that a step does not get as arguments into the step, as constants.
        return numbers if keras.backend.backend() == "tensorflow" else (numbers, self.array)

    def gather(self, given: Any) -> Any:
        """What indexing gave -> (B, x, y, C), inside of the compiled step; images as they are."""
        is_pair = isinstance(given, list | tuple)
        if not is_pair and len(given.shape) == 4:
            return given
        numbers, array = given if is_pair else (given, self.array)
        return ops.take(array, numbers, axis=0)


def is_resident(config: DataConfig, images: np.ndarray | LazyImages) -> bool:
    """Whether `data.device_resident` keeps these training images on the device.

    Raises:
        SettingError: it asks for images that cannot be kept there.
    """
    asked = str(config.device_resident).lower()
    if asked == "auto":
        most = SHARE * (free_bytes() or UNKNOWN)
        return backend.has_gpu() and not _hindrance(config, images, most)
    if asked == "true" and (why := _hindrance(config, images, free_bytes() or math.inf)):
        raise SettingError(f"data.device_resident=true {why}, or leave data.device_resident out")
    return asked == "true"


def _hindrance(config: DataConfig, images: np.ndarray | LazyImages, most: float) -> str:
    """Why images of more than `most` bytes cannot be kept, and what would do; or nothing."""
    if isinstance(images, LazyImages):
        return (
            "needs decoded images, and those of this folder take more than "
            f"data.cache_mb={config.cache_mb}; raise it"
        )
    if (devices := backend.devices_in_use()) > 1:
        return f"works on one device, and there are {devices}; use one"
    if images.nbytes > most:
        return (
            f"needs {images.nbytes:,} bytes, and the device has {most:,.0f} free; use a smaller "
            "data.limit"
        )
    return ""


def free_bytes() -> int | None:
    """Free memory of the GPU; None without one, or where the backend does not tell."""
    if keras.backend.backend() == "tensorflow" or not backend.has_gpu():
        return None
    import jax

    found = jax.local_devices()[0].memory_stats() or {}
    return found["bytes_limit"] - found["bytes_in_use"] if "bytes_limit" in found else None
