"""Plot loss, accuracy, monitored score and learning rate by epoch, of one run or of several."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vit_keras import plotting
from vit_keras.runs.history import VAL_MAP

LOSS = {"loss": {"loss": "training", "val_loss": "validation"}}
ACCURACY = {"accuracy": {"accuracy": "training", "val_accuracy": "validation"}}
OF_LABELS = {  # of runs with several labels, in place of the accuracy
    "mean average precision": {"map": "training", VAL_MAP: "validation"}
}
MONITORED = {  # of runs whose best epoch is chosen by it
    "balanced accuracy": {"val_balanced_accuracy": "validation"},
    "macro F1": {"val_macro_f1": "validation"},
}
LEARNING_RATE = {"learning rate": {"learning_rate": "of the last update"}}
DASHES = ("--", "-")  # training dashed; validation, which is compared, solid


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the rows of `history.csv` as a PNG, 400 x 360 pixels for each panel."""
    figure, panels = _figure(shown := panels_of([rows]))
    epochs = [row["epoch"] for row in rows]
    for axes, lines in zip(panels, shown.values(), strict=True):
        for column, label in lines.items():
            axes.plot(epochs, [row[column] for row in rows], label=label, marker=".")
        axes.legend()
    plotting.save_figure(figure, path)


def draw_curves_together(runs: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the rows of several runs in one plot, one color per run."""
    figure, panels = _figure(shown := panels_of(runs.values()))
    for axes, lines in zip(panels, shown.values(), strict=True):
        dashes = DASHES[-len(lines) :]
        for number, (name, rows) in enumerate(runs.items()):
            epochs = [row["epoch"] for row in rows]
            for (column, label), dash in zip(lines.items(), dashes, strict=True):
                values = [row[column] for row in rows]
                look = dict(linestyle=dash, marker=".", color=f"C{number}")
                axes.plot(epochs, values, label=f"{label}, {name}", **look)
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)  # a folder may be called $x$
    plotting.save_figure(figure, path)


def panels_of(runs: Iterable[list[dict[str, Any]]]) -> dict[str, dict[str, str]]:
    """Title -> the columns of a panel and their labels, for the rows of one run or of several."""
    columns = [{*rows[0]} if rows else set[str]() for rows in runs]
    shared = set.intersection(*columns) if columns else set[str]()

    def known(panels: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return {title: lines for title, lines in panels.items() if {*lines} <= shared}

    return {**LOSS, **(known(OF_LABELS) or ACCURACY), **known(MONITORED), **LEARNING_RATE}


def _figure(shown: Mapping[str, Any]) -> tuple[Any, Any]:
    """A figure and an axes for each panel."""
    figure = plotting.figure(4 * len(shown), 3.6)
    panels = figure.subplots(1, len(shown))
    for axes, title in zip(panels, shown, strict=True):
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
    return figure, panels
