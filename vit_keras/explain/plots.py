"""The pictures of an explanation, as PNG files. Letters as in `attention_maps.py`."""

from pathlib import Path

import numpy as np

from vit_keras import plotting

COLOURS = "inferno"  # of every map: dark is little, bright is much
HEADS_IN_A_ROW = 8


def overview(
    path: Path, shown: dict[str, np.ndarray], heads: np.ndarray, layer: str, title: str
) -> None:
    """What a newcomer looks at first: `shown` side by side, and below it each head of one block.

    Args:
        path: of the PNG.
        shown: title -> picture, (X, Y, 3) in 0..1.
        heads: (H, X, Y, 3), the overlay of each head.
        layer: the block's name.
        title: above all.
    """
    columns = min(HEADS_IN_A_ROW, max(len(shown), len(heads)))
    rows = 1 + -(-len(heads) // columns)
    figure = plotting.figure(2.2 * columns, 2.35 * rows + 0.5)
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, picture) in zip(grid[0], shown.items(), strict=False):
        axes.imshow(picture)
        axes.set_title(name, fontsize=9)
    for index, (axes, head) in enumerate(zip(grid[1:].flat, heads, strict=False)):
        axes.imshow(head)
        axes.set_title(f"{layer}, head {index}" if not index else f"head {index}", fontsize=9)
    plotting.save_figure(figure, path)


def overlay(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """An image (X, Y, C) in 0..255 under a map (R, S) of any scale: -> (x, y, 3) in 0..1.

    Small images come out larger, so that the patches of an 8x8 digit can be told apart.
    """
    from matplotlib import colormaps

    grey = enlarged(image).mean(axis=-1, keepdims=True)
    heat = _resized(scaled(weights), grey.shape[:2], "BILINEAR")
    return 0.5 * grey + 0.5 * colormaps[COLOURS](heat)[..., :3]


def enlarged(image: np.ndarray) -> np.ndarray:
    """(X, Y, C) in 0..255 -> (x, y, 3) in 0..1, with x and y 160 at least, pixels kept square."""
    factor = -(-160 // min(image.shape[:2]))
    picture = image.repeat(factor, axis=0).repeat(factor, axis=1) / 255
    return picture.repeat(3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]


def scaled(weights: np.ndarray) -> np.ndarray:
    """The smallest to 0, the largest to 1; all alike to 0."""
    low, high = weights.min(), weights.max()
    return (weights - low) / (high - low) if high > low else np.zeros(weights.shape)


def picture(path: Path, colours: np.ndarray) -> None:
    """(x, y, 3) in 0..1 as a PNG of so many pixels."""
    from PIL import Image

    Image.fromarray((colours * 255).round().astype("uint8")).save(path)


def mosaic(path: Path, cells: np.ndarray, title: str, axis_names: tuple[str, str]) -> None:
    """Maps side by side, each on its own scale: (rows, columns, R, S), or with C at the end."""
    rows, columns = cells.shape[:2]
    figure = plotting.figure(
        max(5.5, min(12, 0.8 * columns) + 1), max(3.0, min(12, 0.8 * rows)) + 1
    )
    axes = figure.subplots()
    framed = np.stack([[_framed(scaled(cell)) for cell in row] for row in cells])
    # (rows, columns, R, S, ...) -> (rows R, columns S, ...): each cell in its place.
    joined = np.concatenate(np.concatenate(framed, axis=1), axis=1)
    if joined.ndim == 3:
        joined = np.nan_to_num(joined, nan=1.0)
    axes.imshow(joined, cmap=COLOURS, interpolation="nearest")
    side, across = framed.shape[2:4]
    axes.set_yticks(np.arange(rows) * side + side / 2, range(rows))
    axes.set_xticks(np.arange(columns) * across + across / 2, range(columns))
    axes.set(title=title, ylabel=axis_names[0], xlabel=axis_names[1])
    plotting.save_figure(figure, path)


def filters(path: Path, filters: np.ndarray) -> None:
    """(n, P, P, C), seven in a row, each on its own scale."""
    across = min(7, len(filters))
    whole_rows = filters[: len(filters) // across * across]
    cells = whole_rows.reshape(-1, across, *filters.shape[1:])
    cells = cells[..., 0] if cells.shape[-1] == 1 else cells
    mosaic(path, cells, "the patch embedding's main filters", ("", ""))


def _framed(cell: np.ndarray) -> np.ndarray:
    """A map with a thin edge on two sides, as wide as a quarter of a patch."""
    larger = cell.astype(float).repeat(4, axis=0).repeat(4, axis=1)
    edge = [(0, 1), (0, 1)] + [(0, 0)] * (cell.ndim - 2)
    return np.pad(larger, edge, constant_values=np.nan)


def distances(path: Path, distance: np.ndarray) -> None:
    """A point for each head: (blocks, H), in pixels."""
    figure = plotting.figure(6, 4)
    axes = figure.subplots()
    blocks = np.repeat(np.arange(len(distance)), distance.shape[1])
    axes.scatter(blocks, distance.ravel(), alpha=0.7)
    axes.plot(distance.mean(axis=1), color="grey", label="mean of the heads")
    axes.set(title="how far each head looks", xlabel="block", ylabel="mean distance in pixels")
    axes.set_ylim(0, 1.1 * distance.max())
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    plotting.save_figure(figure, path)


def _resized(weights: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(weights.astype("float32"))
    return np.asarray(image.resize(size[::-1], Image.Resampling[how]))
