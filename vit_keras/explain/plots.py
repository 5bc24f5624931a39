"""Plots of an explanation, as PNG files. Letters as in `attention_maps.py`."""

from pathlib import Path

import numpy as np

from vit_keras import plotting

COLORMAP = "inferno"  # dark is little, bright is much
MAPS_PER_ROW = 8
FILTERS_PER_ROW = 7
MIN_SIDE = 160  # pixels of an enlarged image


def overview(
    path: Path, shown: dict[str, np.ndarray], below: dict[str, np.ndarray], title: str
) -> None:
    """The main maps side by side, and below them the smaller ones, as of each head of a block.

    Args:
        path: of the PNG.
        shown: title -> image (X, Y, 3) in 0..1.
        below: likewise.
        title: of the figure.
    """
    columns = min(MAPS_PER_ROW, max(len(shown), len(below)))
    rows = 1 + -(-len(below) // columns)
    figure = plotting.figure(2.2 * columns, 2.35 * rows + 0.5)
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, image) in zip(grid[0], shown.items(), strict=False):
        axes.imshow(image)
        axes.set_title(name, fontsize=9)
    for axes, (name, image) in zip(grid[1:].flat, below.items(), strict=False):
        axes.imshow(image)
        axes.set_title(name, fontsize=9)
    plotting.save_figure(figure, path)


def overlay(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Overlay an image (X, Y, C) in 0..255 with a map (R, S) of any scale: -> (x, y, 3) in 0..1.

    Small images are enlarged, so that the patches of an 8x8 digit are visible.
    """
    from matplotlib import colormaps

    grey = enlarged(image).mean(axis=-1, keepdims=True)
    heat = _resized(normalised(weights), grey.shape[:2], "BILINEAR")
    return 0.5 * grey + 0.5 * colormaps[COLORMAP](heat)[..., :3]


def enlarged(image: np.ndarray) -> np.ndarray:
    """(X, Y, C) in 0..255 -> (x, y, 3) in 0..1, by an integer factor to at least 160 pixels."""
    factor = -(-MIN_SIDE // min(image.shape[:2]))
    result = image.repeat(factor, axis=0).repeat(factor, axis=1) / 255
    return result[..., :1].repeat(3, axis=-1) if result.shape[-1] < 3 else result[..., :3]


def normalised(weights: np.ndarray) -> np.ndarray:
    """Min-max normalisation to 0..1; a constant map becomes 0."""
    low, high = weights.min(), weights.max()
    return (weights - low) / (high - low) if high > low else np.zeros(weights.shape)


def save_image(path: Path, image: np.ndarray) -> None:
    """Save (x, y, 3) in 0..1 as a PNG of x times y pixels."""
    from PIL import Image

    Image.fromarray((image * 255).round().astype("uint8")).save(path)


def mosaic(path: Path, cells: np.ndarray, title: str, axis_names: tuple[str, str]) -> None:
    """A grid of maps (rows, columns, R, S) or (rows, columns, R, S, C), each normalised."""
    rows, columns = cells.shape[:2]
    figure = plotting.figure(
        max(5.5, min(12, 0.8 * columns) + 1), max(3.0, min(12, 0.8 * rows)) + 1
    )
    axes = figure.subplots()
    framed = np.stack([[_framed(normalised(cell)) for cell in row] for row in cells])
    # (rows, columns, R, S, ...) -> (rows R, columns S, ...)
    joined = np.concatenate(np.concatenate(framed, axis=1), axis=1)
    if joined.ndim == 3:
        joined = np.nan_to_num(joined, nan=1.0)
    axes.imshow(joined, cmap=COLORMAP, interpolation="nearest")
    height, width = framed.shape[2:4]
    axes.set_yticks(np.arange(rows) * height + height / 2, range(rows))
    axes.set_xticks(np.arange(columns) * width + width / 2, range(columns))
    axes.set(title=title, ylabel=axis_names[0], xlabel=axis_names[1])
    plotting.save_figure(figure, path)


def filters(path: Path, filters: np.ndarray) -> None:
    """A mosaic of filters (n, P, P, C)."""
    columns = min(FILTERS_PER_ROW, len(filters))
    full_rows = filters[: len(filters) // columns * columns]
    cells = full_rows.reshape(-1, columns, *filters.shape[1:])
    cells = cells[..., 0] if cells.shape[-1] == 1 else cells
    mosaic(path, cells, "principal components of the patch embedding", ("", ""))


def _framed(cell: np.ndarray) -> np.ndarray:
    """A map (R, S) -> (4R + 1, 4S + 1), with a thin line (NaN) at the bottom and the right."""
    larger = cell.astype(float).repeat(4, axis=0).repeat(4, axis=1)
    edge = [(0, 1), (0, 1)] + [(0, 0)] * (cell.ndim - 2)
    return np.pad(larger, edge, constant_values=np.nan)


def attention_distances(path: Path, distance: np.ndarray) -> None:
    """Mean attention distance (blocks, H) in pixels: a point per head, and their mean."""
    figure = plotting.figure(6, 4)
    axes = figure.subplots()
    blocks = np.repeat(np.arange(len(distance)), distance.shape[1])
    axes.scatter(blocks, distance.ravel(), alpha=0.7)
    axes.plot(distance.mean(axis=1), color="grey", label="mean of the heads")
    axes.set(title="mean attention distance of each head", xlabel="block", ylabel="pixels")
    axes.set_ylim(0, 1.1 * distance.max())
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    plotting.save_figure(figure, path)


def _resized(weights: np.ndarray, size: tuple[int, int], resampling: str) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(weights.astype("float32"))
    return np.asarray(image.resize(size[::-1], Image.Resampling[resampling]))
