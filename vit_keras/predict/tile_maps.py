"""Predict files by tiles, with a map of each: a picture, and a table with a row for each tile."""

import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras import plotting
from vit_keras.data import decode
from vit_keras.data.image_formats import pillow_warnings_ignored
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.predict import inputs
from vit_keras.predict.outputs import FilePredictions
from vit_keras.predict.predictor import Prediction, Predictor, Unreadable
from vit_keras.predict.tiles import MAPS, TiledPrediction, predict_by_tiles
from vit_keras.text import folder_name

HEAD = ("file", "row", "column", "top", "left", "height", "width", "class", "confidence")
MAX_CLASSES = 10  # that have a colour
WIDTH = 4  # inches of the longer side of a panel

Write = Callable[[TiledPrediction], None]


def predict_files(
    predictor: Predictor, files: inputs.FoundFiles, maps: str | Path | None = None, **settings: Any
) -> FilePredictions:
    """Predict files by tiles, one image in memory at a time.

    Args:
        predictor: of a run.
        files: as `inputs.find_files` gives them.
        maps: a new folder for the maps; None for none.
        **settings: of `predict_by_tiles`.

    Raises:
        SettingError: the folder cannot be written to.
    """
    started = time.perf_counter()
    results: list[Prediction | Unreadable] = []
    interval = 0.1 if sys.stderr.isatty() else 10  # as `outputs.predict_files`
    with _map_writer(maps, predictor.class_names) as write, pillow_warnings_ignored():
        for file in tqdm(files.images, "predicting", unit=" images", mininterval=interval):
            try:
                found = predict_by_tiles(predictor, file, **settings)
            except (OSError, decode.UnreadableError, SettingError) as error:
                results.append(Unreadable(file, decode.error_reason(error)))
                continue
            write(found)
            results.append(found.prediction)
    seconds = time.perf_counter() - started
    return FilePredictions(results, seconds, files.others, predictor.engine.name)


@contextlib.contextmanager
def _map_writer(maps: str | Path | None, class_names: list[str]) -> Iterator[Write]:
    """A function that adds the map of an image to the folder `maps`, which is written as a whole.

    `tiles.csv` has a row for each tile of all images, `<name of the image>.png` its picture.
    """
    if maps is None:
        yield lambda found: None
        return
    names: set[str] = set()
    folder = atomic.output_folder(maps, MAPS)
    with (
        atomic.atomic_folder(folder, MAPS) as new,
        open(new / MAPS, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*HEAD, "image_class", "image_class_confidence"])

        def write(found: TiledPrediction) -> None:
            name = stem = folder_name(Path(found.prediction.source).stem)
            while name in names:  # files of the same name in several folders
                name = f"{stem}-{len(names)}"
            names.add(name)
            writer.writerows(_rows(found, class_names))
            draw_map(new / f"{name}.png", found, class_names)

        yield write


def _rows(found: TiledPrediction, class_names: list[str]) -> Iterator[list[object]]:
    """The place of each tile in pixels, its class, and its probability of the image's class."""
    of_image = found.prediction.top[0]
    for row, column in np.ndindex(found.probabilities.shape[:2]):
        shares = found.probabilities[row, column]
        best = int(shares.argmax())
        place = [row, column, found.tops[row], found.lefts[column], *found.tile]
        own = [class_names[best], f"{shares[best]:.6f}"]
        whole = [of_image.label, f"{shares[of_image.index]:.6f}"]
        yield [found.prediction.source, *place, *own, *whole]


def draw_map(path: Path, found: TiledPrediction, class_names: list[str]) -> None:
    """The image, the class of each tile, and the probability of the image's class, side by side."""
    height, width = found.image_size
    scale = WIDTH / max(height, width)
    figure = plotting.figure(3 * max(1.5, width * scale) + 2, max(1.5, height * scale) + 1)
    panels = figure.subplots(1, 3)
    picture = found.thumbnail
    if picture.ndim == 3:
        picture = picture[..., :3] if picture.shape[-1] >= 3 else picture[..., 0]
    for axes in panels:
        axes.imshow(picture, extent=(0, width, height, 0), cmap="gray")
        axes.set_axis_off()
    edges = (
        borders(found.lefts, found.tile[1], width),
        borders(found.tops, found.tile[0], height),
    )
    top = found.prediction.top[0]
    panels[0].set_title(f"{top.label} {top.confidence:.1%}", parse_math=False)
    _draw_classes(panels[1], edges, found, class_names)
    shares = found.probabilities[..., top.index]
    heat = panels[2].pcolormesh(*edges, shares, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    panels[2].set_title(f"probability of {top.label}", parse_math=False)
    figure.colorbar(heat, ax=panels[2], shrink=0.8)
    plotting.save_figure(figure, path)


def _draw_classes(
    axes: Any, edges: tuple[np.ndarray, np.ndarray], found: TiledPrediction, class_names: list[str]
) -> None:
    """The class of each tile by its colour; of many classes, the most frequent ones."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    best = found.probabilities.argmax(axis=-1)
    classes, counts = np.unique(best, return_counts=True)
    shown = classes[np.argsort(-counts, kind="stable")][:MAX_CLASSES]
    cells, legend = np.zeros((*best.shape, 4)), []
    for color, index in zip(colormaps["tab10"](range(MAX_CLASSES)), shown, strict=False):
        cells[best == index] = (*color[:3], 0.5)
        legend.append(Patch(color=color, label=class_names[index]))
    axes.pcolormesh(*edges, cells)
    axes.legend(handles=legend, loc="upper right", fontsize=7)
    axes.set_title("class of each tile")


def borders(first: np.ndarray, side: int, length: int) -> np.ndarray:
    """Borders between the cells of tiles that overlap: half-way between their centres, (n + 1,)."""
    centres = first + side / 2
    return np.concatenate([[0], (centres[1:] + centres[:-1]) / 2, [length]])
