"""One run: figures, curves by epoch, and what it says of a few images."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.runs.curves import PANELS
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.live_run import RunView

FIGURES = {  # column of history.csv -> what it is called, and how it is written
    "val_accuracy": ("validation accuracy", "{:.1%}"),
    "val_loss": ("validation loss", "{:.4f}"),
    "learning_rate": ("learning rate", "{:.3g}"),
    "images_per_second": ("images/s", "{:,.0f}"),
}

LEGEND = {"orient": "bottom", "symbolType": "stroke"}
CURVE: dict[str, Any] = {
    # A screen reader would name every point; the words are beside.
    "mark": {"type": "line", "aria": False, "point": {"aria": False}},
    "encoding": {
        "x": {"field": "epoch", "type": "quantitative", "axis": {"format": "d", "tickMinStep": 1}},
        "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}},
        # Told apart by the line besides, for those who do not see the colours differ.
        "color": {"field": "of", "title": None, "legend": LEGEND},
        "strokeDash": {"field": "of", "title": None, "legend": LEGEND},
    },
}
WIDTH = 110  # pixels of an image


def show(view: RunView) -> None:
    """What there is of a run; nothing before its first epoch has ended."""
    if view.metrics:
        accuracy = view.metrics.get("test_accuracy", float("nan"))
        st.success(
            f"Finished: test accuracy {accuracy:.4f}, in {escape_markdown(_as_typed(view.path))}"
        )
    if not view.rows:
        return
    last = view.rows[-1]
    st.markdown(f"**After epoch {last['epoch']:.0f}**")
    for column, (key, (name, pattern)) in zip(
        st.columns(len(FIGURES)), FIGURES.items(), strict=True
    ):
        column.metric(name, pattern.format(last[key]))
    for place, (title, lines) in zip(st.columns(len(PANELS)), PANELS.items(), strict=True):
        with place:
            _curve(title, lines, view.rows)
    _samples(view)


def _as_typed(path: Path) -> Path:
    """As it is named in the folder that the studio was started in."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _curve(title: str, lines: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """One panel of `curves.png`, its last values in words for those who do not see it."""
    import pandas as pd  # Streamlit's own; a page without curves does not wait for it

    table = pd.DataFrame(
        {"epoch": int(row["epoch"]), "value": row[column], "of": label}
        for column, label in lines.items()
        for row in rows
    )
    now = ", ".join(f"{label} {rows[-1][column]:.3g}" for column, label in lines.items())
    st.markdown(f"**{title}**  \n{now}")  # on two lines, so that charts side by side line up
    st.vega_lite_chart(table, CURVE, height=220)


def _samples(view: RunView) -> None:
    """The images, each with its label and what is predicted of it by now."""
    if not view.samples.get("epochs"):
        return
    last, labels = view.samples["epochs"][-1], view.samples["labels"]
    st.markdown(f"**Validation images after epoch {escape_markdown(last['epoch'])}**")
    shown = [
        (view.path / "samples" / f"{number:02}.png", label, predicted, confidence)
        for number, (label, predicted, confidence) in enumerate(
            zip(labels, last["predicted"], last["confidence"], strict=True)
        )
    ]
    with st.container(horizontal=True):
        for path, label, predicted, confidence in shown:
            if path.is_file():
                said = (
                    "recognised"
                    if label == predicted
                    else f"taken for {escape_markdown(predicted)}"
                )
                with st.container(width=WIDTH):
                    st.image(str(path), width=WIDTH, alt=f"an image of {label}")
                    st.markdown(f"{escape_markdown(label)}: {said} ({confidence:.0%})")
