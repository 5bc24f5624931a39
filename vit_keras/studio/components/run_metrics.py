"""Show one run: its metrics, curves by epoch, and its predictions for a few images."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.runs import accuracy
from vit_keras.runs.curves import panels_of
from vit_keras.runs.history import ACCURACY, VAL_MAP
from vit_keras.studio.components.display import escape_markdown, table
from vit_keras.studio.jobs.live_run import RunView

METRICS = {  # column of history.csv -> label and number format
    ACCURACY: ("validation accuracy", "{:.1%}"),
    "val_balanced_accuracy": ("balanced accuracy", "{:.1%}"),  # where it is monitored
    "val_macro_f1": ("macro F1", "{:.4f}"),  # likewise
    VAL_MAP: ("validation mAP", "{:.1%}"),  # of several labels, in place of the accuracy
    "val_loss": ("validation loss", "{:.4f}"),
    "learning_rate": ("learning rate", "{:.3g}"),
    "images_per_second": ("images/s", "{:,.0f}"),
}

LEGEND = {"orient": "bottom", "symbolType": "stroke"}
CURVE: dict[str, Any] = {
    # Hidden from screen readers, which would read every point; the last values are text.
    "mark": {"type": "line", "aria": False, "point": {"aria": False}},
    "encoding": {
        "x": {"field": "epoch", "type": "quantitative", "axis": {"format": "d", "tickMinStep": 1}},
        "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}},
        # Dashes as well, for readers who cannot distinguish the colors.
        "color": {"field": "of", "title": None, "legend": LEGEND},
        "strokeDash": {"field": "of", "title": None, "legend": LEGEND},
    },
}
WIDTH = 110  # pixels of an image


def show(view: RunView) -> None:
    """Show the test accuracy of a finished run, and its curves from the first epoch on."""
    if view.metrics:
        name = "mAP" if "test_map" in view.metrics else "accuracy"
        reached = view.metrics.get(f"test_{name.lower()}", float("nan"))
        by_class = escape_markdown(accuracy.class_text(view.metrics, "test_"))
        st.success(
            f"Finished: test {name} {reached:.4f}{by_class}, in "
            f"{escape_markdown(_short_path(view.path))}"
        )
    if "folds" in view.metrics:
        _show_folds(view.metrics)
    if not view.rows:
        return
    last = view.rows[-1]
    st.markdown(f"**After epoch {last['epoch']:.0f}**")
    shown = {key: look for key, look in METRICS.items() if key in last}
    if VAL_MAP in shown:
        del shown[ACCURACY]  # high also where no label is ever given
    for column, (key, (name, pattern)) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(name, pattern.format(last[key]))
    panels = panels_of([view.rows])
    for column, (title, lines) in zip(st.columns(len(panels)), panels.items(), strict=True):
        with column:
            _show_curve(title, lines, view.rows)
    _show_samples(view)


def _show_folds(metrics: dict[str, Any]) -> None:
    """Of an ensemble: the mean of its folds with its interval, and a row for each fold."""
    st.markdown(escape_markdown(accuracy.folds_text(metrics)))
    reached = zip(metrics["fold_val_accuracies"], metrics["fold_test_accuracies"], strict=True)
    rows = [
        (f"fold {number}", *(f"{value:.4f}" for value in pair))
        for number, pair in enumerate(reached, 1)
    ]
    whole = (f"{metrics[name]:.4f}" for name in ("out_of_fold_accuracy", "test_accuracy"))
    head = ("", "validation accuracy", "test accuracy")
    st.markdown(table([head, *rows, ("ensemble, and out of fold", *whole)]))


def _short_path(path: Path) -> Path:
    """The path relative to the folder that the studio was started in, if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _show_curve(title: str, lines: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """One panel of `curves.png`, with its last values as text for screen readers."""
    import pandas as pd  # a dependency of Streamlit; only pages with curves wait for it

    points = pd.DataFrame(
        {"epoch": int(row["epoch"]), "value": row[column], "of": label}
        for column, label in lines.items()
        for row in rows
    )
    last = ", ".join(f"{label} {rows[-1][column]:.3g}" for column, label in lines.items())
    st.markdown(f"**{title}**  \n{last}")  # always two lines, so that the charts line up
    st.vega_lite_chart(points, CURVE, height=220)


def _show_samples(view: RunView) -> None:
    """Validation images, each with its label and its prediction after the last epoch."""
    if not view.samples.get("epochs"):
        return
    last, labels = view.samples["epochs"][-1], view.samples["labels"]
    st.markdown(f"**Validation images after epoch {escape_markdown(last['epoch'])}**")
    predictions = zip(labels, last["predicted"], last["confidence"], strict=True)
    with st.container(horizontal=True):
        for number, (label, predicted, confidence) in enumerate(predictions):
            file = view.path / "samples" / f"{number:02}.png"
            if not file.is_file():
                continue
            is_correct = label == predicted
            outcome = "correct" if is_correct else f"predicted {escape_markdown(predicted)}"
            with st.container(width=WIDTH):
                st.image(str(file), width=WIDTH, alt=f"an image of {label}")
                st.markdown(f"{escape_markdown(label)}: {outcome} ({confidence:.0%})")
