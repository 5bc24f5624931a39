"""Figures that are drawn into files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches of 100 pixels."""
    # Made directly and not by pyplot, which would keep it and ask for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """As a PNG."""
    _save_as(figure).save(path)


def save_chart(figure: Any, path: Path) -> None:
    """As a PNG of 256 colours, a third of the bytes: a chart without photos has no more."""
    _save_as(figure).quantize(256).save(path, optimize=True)


def _save_as(figure: Any) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in a script that the font does not have: boxes in its place say as much.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
