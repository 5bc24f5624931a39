"""Memory of batches that TensorFlow and JAX take as it is: of other arrays they make a copy."""

from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: EIGEN_MAX_ALIGN_BYTES of TensorFlow, kAlign of XLA's CPU client


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As `np.empty`, at a multiple of 64 bytes; NumPy's own large arrays are 16 bytes beside it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def take(images: Any, index: np.ndarray) -> np.ndarray:
    """`images[index]`, at such a place: of an array (n, ...), or of `LazyImages`."""
    if type(images) is not np.ndarray:  # a memory map keeps its own way, and its errors
        taken: np.ndarray = images[index]
        return taken
    result = empty((len(index), *images.shape[1:]), images.dtype)
    # By `mode="raise"`, which checks nothing here that is not known, `out` would be written twice.
    return np.take(images, index, axis=0, out=result, mode="clip")
