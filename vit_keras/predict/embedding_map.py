"""A map of embeddings in two dimensions, with thumbnails: images that are alike lie together.

By UMAP (McInnes et al. 2018) where umap-learn is installed, else by t-SNE (van der Maaten and
Hinton 2008), of embeddings of length 1, so that distances are those of the cosine similarity.

n images, D width of the embeddings, (X, Y, C) shape of the model's input.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vit_keras import plotting
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.predict.embedding_files import Rows
from vit_keras.predict.reader import Unreadable
from vit_keras.runs.abstention import unit_length
from vit_keras.text import one_line

MAX_IMAGES = 1000  # on a map, evenly spaced among those there are
MIN_IMAGES = 5
COMPONENTS = 50  # principal components that are mapped, as van der Maaten and Hinton do
PERPLEXITY = 30
SIDE = 12  # inches of the map
THUMBNAIL = 40  # pixels of the longer side
SPACE = 0.045  # between thumbnails, as a part of the map: about as large as they are
MAX_CLASSES = 20  # that have a colour each


class MapSample:
    """Images of an embedding that a map is drawn of, kept as thumbnails.

    Args:
        count: the number of all images.
    """

    def __init__(self, count: int) -> None:
        self._chosen = {*evenly_spaced(count)}
        self.vectors: list[np.ndarray] = []
        self.labels: list[str] = []
        self.thumbnails: list[np.ndarray] = []

    def add(self, first: int, rows: Rows, pixels: list[np.ndarray | Unreadable]) -> None:
        """Keep those of a map among rows that begin with number `first`, if they can be read."""
        for index, image in enumerate(pixels):
            if first + index in self._chosen and not isinstance(image, Unreadable):
                self.vectors.append(rows.vectors[index])
                self.labels.append(rows.labels[index])
                self.thumbnails.append(thumbnail(image))

    def draw(self, file: Path) -> str:
        """Write the map as a PNG; returns what it was drawn by.

        Raises:
            SettingError: there are fewer than five images.
        """
        check_count(len(self.vectors))
        with atomic.atomic_file(file) as new:
            return draw_map(new, np.stack(self.vectors), self.labels, self.thumbnails)


def draw_map(
    file: Path,
    vectors: np.ndarray,
    labels: list[str],
    thumbnails: list[np.ndarray],
    shown: Sequence[int] | None = None,
) -> str:
    """Write the map of embeddings (n, D) as a PNG; returns what it was drawn by.

    Args:
        file: the PNG.
        vectors: the embeddings.
        labels: of each, by which it has its colour.
        thumbnails: of each, (x, y, 3) uint8.
        shown: indices of those whose thumbnail is drawn where there is room; None for any.
    """
    points, method = project(vectors)
    plotting.save_figure(_figure(in_unit_square(points), labels, thumbnails, shown), file)
    return method


def evenly_spaced(count: int) -> list[int]:
    """Up to `MAX_IMAGES` indices among `count`."""
    return np.linspace(0, count - 1, min(count, MAX_IMAGES)).round().astype(int).tolist()


def in_unit_square(points: np.ndarray) -> np.ndarray:
    """(n, 2) -> the same with both axes from 0 to 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / np.maximum(high - low, 1e-12)


def check_file(map: str, overwrite: bool) -> None:
    """Refuse a map that is no PNG, or that cannot be written.

    Raises:
        SettingError: naming the setting `map`.
    """
    file = Path(map).expanduser()
    if file.suffix.lower() != ".png":
        raise SettingError(f"map={map} is drawn as a PNG; end its name in .png")
    try:
        atomic.check_output_file(file, overwrite, "--overwrite")
    except SettingError as error:
        raise SettingError(str(error).replace("output=", "map=")) from None


def check_count(count: int) -> None:
    if count < MIN_IMAGES:
        raise SettingError(
            f"a map takes {MIN_IMAGES} images or more, and there are {count}; name more, or leave "
            "the map out"
        )


def project(vectors: np.ndarray) -> tuple[np.ndarray, str]:
    """(n, D) -> (n, 2), and the name of the method. Equal vectors give equal maps."""
    units = unit_length(vectors.astype("float32"))
    if importlib.util.find_spec("umap") is not None:
        from umap import UMAP

        neighbours = min(15, len(units) - 1)
        found = UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1)
        return np.asarray(found.fit_transform(units)), "UMAP"
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = min(COMPONENTS, *units.shape)
    reduced = PCA(components, random_state=0).fit_transform(units)
    perplexity = min(PERPLEXITY, (len(units) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(reduced)
    return found, "t-SNE"


def spaced(points: np.ndarray, space: float) -> list[int]:
    """(n, 2) in 0..1 -> indices of points of which no two are nearer than `space` in both axes."""
    kept: list[int] = []
    # Files come class by class: in their order, the first class would have most of the room.
    for index in np.random.default_rng(0).permutation(len(points)).tolist():
        if not kept or (np.abs(points[kept] - points[index]).max(axis=1) >= space).all():
            kept.append(index)
    return kept


def thumbnail(pixels: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """(X, Y, C) of 0 to 255 -> (x, y, 3) uint8, the longer side as given.

    Of other images than RGB it shows the first channel.
    """
    rgb = pixels if pixels.shape[-1] == 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    image = Image.fromarray(rgb.round().clip(0, 255).astype("uint8"))
    scale = side / max(image.size)
    size = tuple(max(1, round(scale * pixels)) for pixels in image.size)
    return np.asarray(image.resize(size))  # type: ignore[arg-type]


def _figure(
    points: np.ndarray,
    labels: list[str],
    thumbnails: list[np.ndarray],
    shown: Sequence[int] | None,
) -> Any:
    """Points in the colours of their classes, and thumbnails where there is room."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    shown = range(len(points)) if shown is None else shown
    colors = _colors(labels)
    figure = plotting.figure(SIDE, SIDE)
    axes = figure.subplots()
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[], yticks=[], aspect="equal")
    point_colors = [colors.get(label, "grey") for label in labels]
    axes.scatter(points[:, 0], points[:, 1], s=14, c=point_colors)
    for index in (shown[place] for place in spaced(points[list(shown)], SPACE)):
        box = AnnotationBbox(
            OffsetImage(thumbnails[index], zoom=0.72),  # points of 1/72 inch, of 100 pixels
            points[index],
            pad=0.15,
            bboxprops={"edgecolor": point_colors[index], "linewidth": 2},
        )
        box.set_in_layout(False)  # they are within the axes, and hundreds slow the layout down
        axes.add_artist(box)
    for label, color in colors.items():
        axes.scatter([], [], color=color, label=one_line(label))
    if colors:
        figure.legend(loc="outside lower center", ncols=min(10, len(colors)), frameon=False)
    return figure


def _colors(labels: list[str]) -> dict[str, Any]:
    """A colour for each class, if there are few of them."""
    import matplotlib

    names = sorted({*labels} - {""})
    if len(names) > MAX_CLASSES:
        return {}
    palette = matplotlib.colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: palette(index) for index, name in enumerate(names)}
