"""Crop, stretch or pad to the size of the input."""

import numpy as np


def resize(rgb, size, resize_mode, dtype="uint8"):
    """(rows, columns, channels) -> (*size, channels): crop, stretch or pad."""
    shape = rgb.shape[:2]
    inner = inner_size(shape, size) if resize_mode == "pad" else size
    if resize_mode == "crop":  # the largest part in the middle with the shape of the result
        scale = min(shape[0] / size[0], shape[1] / size[1])
        rows, columns = (max(1, round(side * scale)) for side in size)
        top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
        rgb = rgb[top : top + rows, left : left + columns]
    rgb = along_axes(rgb, *(lambda old, new=new: weights(old, new) for new in inner))
    result = np.zeros((*size, rgb.shape[-1]), dtype)  # the bars of pad are black
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    is_float = dtype == "float32"
    result[top : top + inner[0], left : left + inner[1]] = rgb if is_float else levels(rgb)
    return result


def inner_size(shape, size):
    """The largest (rows, columns) with the aspect ratio of `shape` that fit into `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def along_axes(rgb, rows, columns):
    """Apply a matrix for the length of the first axis, and one for that of the second."""
    rgb = np.tensordot(rows(rgb.shape[0]).astype("float32"), rgb, 1)
    rgb = np.moveaxis(np.tensordot(columns(rgb.shape[1]).astype("float32"), rgb, (1, 1)), 0, 1)
    return rgb


def levels(rgb):
    return rgb.round().clip(0, 255)


def weights(old, new):
    """(new, old): reduce one axis by an integer factor, by averaging, then interpolate linearly."""
    middle = old // max(1, old // new)
    edges, pixels = np.linspace(0, old, middle + 1), np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    mean = np.maximum(overlap, 0) * middle / old
    if middle > 1.5 * new:  # what remains to be reduced would alias: blurred by (1 2 1) / 4
        padded = np.pad(mean, ((1, 1), (0, 0)), "reflect")
        mean = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    centres = ((np.arange(new) + 0.5) * middle / new - 0.5).clip(0, middle - 1)
    linear = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(middle)))
    return linear @ mean


def three_eighths(old):
    """(3/8 old, old): of each 8 pixels of a JPEG, 3 from their 3 lowest frequencies."""
    blocks = -(-old // 8)
    few, many = (
        np.cos(np.pi * np.outer(np.arange(3), 2 * np.arange(n) + 1) / (2 * n)) for n in (3, 8)
    )
    block = few.T @ (many * np.array([[1 / 8], [1 / 4], [1 / 4]]))
    pixels = np.arange(8 * blocks).clip(0, old - 1)[:, None] == np.arange(old)  # edges repeated
    return (np.kron(np.eye(blocks), block) @ pixels)[: -(-3 * old // 8)]
