"""Matplotlib figures without a display, saved as PNG."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def figure(width: float, height: float) -> Any:
    """An empty figure; width and height in inches of 100 pixels."""
    # Not by pyplot, which keeps every figure in memory and needs a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Save a figure as a PNG in full colour."""
    _render(figure).save(path)


def save_chart(figure: Any, path: Path) -> None:
    """Save a chart without photographs as a PNG of 256 colours: a third of the bytes."""
    _render(figure).quantize(256).save(path, optimize=True)


def _render(figure: Any) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; the warning adds nothing.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
