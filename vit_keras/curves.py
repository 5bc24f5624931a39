"""The curves of a run as one picture: loss, accuracy and learning rate by epoch."""

from pathlib import Path
from typing import Any

PANELS = {
    "loss": {"loss": "training", "val_loss": "validation"},
    "accuracy": {"accuracy": "training", "val_accuracy": "validation"},
    "learning rate": {"learning_rate": "at the epoch's end"},
}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the rows of `history.csv` as a PNG of 1200 x 360 pixels."""
    # The figure is made directly and not by pyplot, which would keep it and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, (title, lines) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for column, label in lines.items():
            axes.plot(epochs, [row[column] for row in rows], label=label, marker=".")
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    FigureCanvasAgg(figure).print_png(path)
