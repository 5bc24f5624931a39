"""Figures that are drawn into files."""

import warnings
from pathlib import Path
from typing import Any


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches of 100 pixels."""
    # Made directly and not by pyplot, which would keep it and ask for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """As a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with warnings.catch_warnings():
        # A name in a script that the font does not have: boxes in its place say as much.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        FigureCanvasAgg(figure).print_png(path)
