"""Resize, centre-crop or pad images on the CPU (OpenCV, releases the GIL)."""

import threading

import cv2
import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.errors import SettingError
from vit_keras.validators import height_and_width

BLUR_FACTOR = 1.5  # an image that is reduced by more than this is blurred first

# Each thread reuses its own buffers. New pages from the system, a megabyte of them for each image,
# take as long as decoding it, and tf.data's generators make the C library return every free page
# (M_TRIM_THRESHOLD).
BUFFERS = threading.local()
MAX_BUFFER = 2**24  # bytes that a thread keeps

# OpenCV's own threads would compete with ours for the cores, and a single image takes little time.
cv2.setNumThreads(1)


def requested_size(config: DataConfig) -> tuple[int, int]:
    """`data.image_size` as (height, width), needed where images differ in size.

    Raises:
        SettingError: it is not set, or is no size.
    """
    if config.image_size is None:
        raise SettingError(
            f"data.image_size is not set, and the images of data.name={config.name} can differ in "
            "size; set it, such as data.image_size=224"
        )
    return height_and_width(config.image_size, "data.image_size")


def resize_to_size(
    array: np.ndarray, size: tuple[int, int], resize_mode: str, out: np.ndarray | None = None
) -> np.ndarray:
    """(x, y, 3) uint8, or (x, y) float32 -> the same of `size` (X, Y), for images of any shape.

    Args:
        array: the image.
        size: of the result.
        resize_mode: `crop` resizes the shorter side and cuts out the centre; `stretch` resizes both
            sides and changes the aspect ratio; `pad` resizes the longer side and adds black bars.
        out: (X, Y, 3) memory for the result; not used if `array` needs no resizing.
    """
    rows, columns = array.shape[:2]
    if resize_mode == "crop":  # first, because the part that is cut away need not be resized
        scale = min(rows / size[0], columns / size[1])
        height, width = (max(1, round(side * scale)) for side in size)
        top, left = (rows - height) // 2, (columns - width) // 2
        array = array[top : top + height, left : left + width]
    if resize_mode != "pad":
        return resized(array, size, out)
    inner = size_within((rows, columns), size)
    result = np.zeros((*size, *array.shape[2:]), array.dtype)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[0], left : left + inner[1]] = resized(array, inner)
    return result


def resize_channels(array: np.ndarray, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """(x, y, C) uint8 or float32 -> (X, Y, C), as `resize_to_size`, for any C."""
    if array.shape[-1] in (3, 4):
        return resize_to_size(array, size, resize_mode)
    # One channel at a time: OpenCV knows no more than four, and leaves out the axis of one.
    planes = [
        resize_to_size(np.ascontiguousarray(array[..., channel]), size, resize_mode)
        for channel in range(array.shape[-1])
    ]
    return np.stack(planes, axis=-1)


def resized(array: np.ndarray, size: tuple[int, int], out: np.ndarray | None = None) -> np.ndarray:
    """(x, y, 3) -> (X, Y, 3), antialiased: nearly Pillow's bilinear filter, in a tenth of its time.

    Integer factors are averaged. The remaining factor, between 1 and 2, is bilinear interpolation,
    of an image blurred by (1 2 1) / 4 if the factor is above 1.5: together about as wide as the
    triangle filter of Pillow.
    """
    if array.shape[:2] == size:
        return array
    factors = [max(1, old // new) for old, new in zip(array.shape, size, strict=False)]
    if max(factors) > 1:
        rows, columns = (side // k for side, k in zip(array.shape, factors, strict=False))
        array = cv2.resize(array, (columns, rows), interpolation=cv2.INTER_AREA)
    rows, columns = (old > BLUR_FACTOR * new for old, new in zip(array.shape, size, strict=False))
    if rows or columns:
        # OpenCV needs twice the time for any kernel other than this.
        kernel = (3 if columns else 1, 3 if rows else 1)
        blurred = None  # a new one
        if array.dtype == np.uint8:
            blurred = thread_buffer("blurred", array.size).reshape(array.shape)
        array = cv2.GaussianBlur(array, kernel, 0, dst=blurred)
    return cv2.resize(array, size[::-1], dst=out, interpolation=cv2.INTER_LINEAR)


def size_within(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The largest (rows, columns) with the aspect ratio of `shape` that fit into `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def thread_buffer(name: str, count: int) -> np.ndarray:
    """A buffer (count,) uint8 of this thread, overwritten by its next image."""
    if count > MAX_BUFFER:
        return np.empty(count, np.uint8)
    buffer = getattr(BUFFERS, name, None)
    if buffer is None or len(buffer) < count:
        buffer = np.empty(count, np.uint8)
        setattr(BUFFERS, name, buffer)
    return buffer[:count]
