"""The confusion matrix of an evaluation as a chart, whose cells open the images behind them."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from vit_keras.evaluation.preflight import ERRORS, EVALUATION
from vit_keras.studio.components import kept_values
from vit_keras.studio.components.display import escape_markdown, show_image, show_note
from vit_keras.text import counted

MAX_CLASSES = 60  # of a chart; the most confused pairs can be chosen of any number
MAX_COUNTS = 20  # classes whose cells have room for a number
SHOWN = 24  # images at once
THUMBNAIL = 110  # pixels
CELL = "cell"  # name of the selection in the chart


class Mistake(NamedTuple):
    """An image that was classified wrongly: its place in `mistakes.csv`, and the row there."""

    number: int
    image: str
    label: str
    predicted: str
    confidence: float


def newest(run: Path) -> Path | None:
    """The folder of the newest evaluation of a run that has a confusion matrix."""
    found = [file.parent for file in run.glob("evaluation*/confusion.csv")]
    return max(found, key=lambda folder: (folder / EVALUATION).stat().st_mtime, default=None)


def show(folder: Path) -> None:
    """Show the matrix of an evaluation, and the images of the cell that is selected."""
    st.markdown("**Confusion matrix**")
    show_note(
        "Rows are the true classes, columns the predicted ones. Click a cell to see its images."
    )
    cell = show_chart(folder, f"confusion {folder}")
    mistakes = read_mistakes(folder)
    if mistakes is None:
        st.write("The list of errors is not there; evaluate the run again to see them.")
        return
    if not mistakes:
        st.write("No image was classified wrongly.")
        return
    pairs = Counter((one.label, one.predicted) for one in mistakes)
    if cell is not None and cell not in pairs:
        label, predicted = map(escape_markdown, cell)
        st.write(
            f"No image of {label} was taken for {predicted}."
            if label != predicted
            else f"The images of {label} that are classified correctly are not kept."
        )
    choices = [None, *(pair for pair, _ in pairs.most_common())]
    chosen = st.selectbox(
        "Errors",
        choices,
        index=choices.index(cell) if cell in pairs else 0,
        format_func=lambda pair: (
            f"all, the most confident first ({len(mistakes)})"
            if pair is None
            else f"{pair[0]} predicted as {pair[1]} ({pairs[pair]})"
        ),
        key=f"errors {folder} {cell}",
    )
    _show_mistakes(
        folder, [one for one in mistakes if chosen in (None, (one.label, one.predicted))]
    )


def show_chart(folder: Path, key: str, is_small: bool = False) -> tuple[str, str] | None:
    """The heat map, each row as shares of its class; the (class, predicted) that is selected.

    Args:
        folder: of the evaluation.
        key: of the chart.
        is_small: beside others.
    """
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    names, cells = _read_cells(folder)
    if len(names) > MAX_CLASSES:
        show_note(f"{len(names)} classes are too many for a chart; see confusion.csv.")
        return None
    has_counts = len(names) <= (MAX_COUNTS // 2 if is_small else MAX_COUNTS)
    event = st.vega_lite_chart(
        pd.DataFrame(cells),
        matrix_spec(names, has_counts),
        height=max(160, min(640, (20 if is_small else 34) * len(names) + 90)),
        width="stretch" if len(names) > 8 or is_small else 480,
        key=key,
        on_select="rerun",
        selection_mode=CELL,
    )
    selected = event["selection"].get(CELL) or []  # type: ignore[index]
    return (selected[0]["class"], selected[0]["predicted"]) if selected else None


def _read_cells(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Class names, and the cells that are not empty."""
    with open(folder / "confusion.csv", encoding="utf-8", newline="") as file:
        (_, *names), *rows = csv.reader(file)
    cells = [
        {
            "class": label,
            "predicted": predicted,
            "images": int(count),
            "share": int(count) / max(1, sum(map(int, counts))),
        }
        for label, *counts in rows
        for predicted, count in zip(names, counts, strict=True)
        if int(count)
    ]
    return names, cells


def matrix_spec(names: list[str], has_counts: bool) -> dict[str, Any]:
    """The heat map in Vega-Lite; its colors are the same in the light and in the dark."""
    of_class = {"type": "nominal", "sort": names, "scale": {"domain": names}}
    axis = {"labelLimit": 140, "labelOverlap": False, "grid": False}
    encoding = {
        "y": {"field": "class", **of_class, "title": "true class", "axis": axis},
        "x": {
            "field": "predicted",
            **of_class,
            "title": "predicted",
            "axis": {**axis, "labelAngle": -45 if max(map(len, names)) > 3 else 0},
        },
    }
    color = {
        "field": "share",
        "type": "quantitative",
        "title": "share",
        "scale": {"range": ["#d6e6f5", "#08306b"], "domain": [0, 1]},
        "legend": None,
    }
    told = [
        {"field": "class", "type": "nominal", "title": "true class"},
        {"field": "predicted", "type": "nominal"},
        {"field": "images", "type": "quantitative"},
        {"field": "share", "type": "quantitative", "format": ".1%"},
    ]
    is_dark = {"test": "datum.share > 0.5", "value": "#ffffff"}
    cells: dict[str, Any] = {
        "params": [{"name": CELL, "select": {"type": "point", "fields": ["class", "predicted"]}}],
        "mark": {"type": "rect", "aria": False, "cursor": "pointer"},
        "encoding": {
            "color": color,
            "tooltip": told,
            "opacity": {"condition": {"param": CELL, "value": 1}, "value": 0.6},
        },
    }
    counts = {
        "mark": {"type": "text", "aria": False, "fontSize": 11},
        "encoding": {
            "text": {"field": "images", "type": "quantitative"},
            "color": {"condition": is_dark, "value": "#111111"},
        },
    }
    return {"encoding": encoding, "layer": [cells, *([counts] if has_counts else [])]}


def read_mistakes(folder: Path) -> list[Mistake] | None:
    """All images that were classified wrongly, by descending confidence.

    None if they were not kept, as of a released run, or cannot be read.
    """
    try:
        with open(folder / "mistakes.csv", encoding="utf-8", newline="") as file:
            return [
                Mistake(
                    number, row["image"], row["class"], row["predicted"], float(row["confidence"])
                )
                for number, row in enumerate(csv.DictReader(file))
            ]
    except (OSError, KeyError, ValueError, csv.Error):
        return None


def _show_mistakes(folder: Path, mistakes: list[Mistake]) -> None:
    slot = f"shown errors {folder}"
    count = kept_values.values().get(slot, SHOWN)
    has_images = (folder / ERRORS).is_dir()
    if not has_images:
        show_note("This evaluation kept no images; evaluate the run again to see them.")
        for one in mistakes[:count]:
            st.markdown(f"{escape_markdown(one.image)}: {_text(one)}")
    else:
        with st.container(horizontal=True):
            for one in mistakes[:count]:
                file = folder / ERRORS / f"{one.number:05}.png"
                with st.container(width=THUMBNAIL):
                    if file.is_file():
                        show_image(
                            file, f"{one.label} ✗ {one.predicted}, {one.confidence:.0%}", THUMBNAIL
                        )
                    else:
                        st.markdown(f"{escape_markdown(one.image)}: {_text(one)}")
    if len(mistakes) > count and st.button(
        f"Show {counted(min(SHOWN, len(mistakes) - count), 'more image[s]')}", key=f"more {folder}"
    ):
        kept_values.values()[slot] = count + SHOWN
        st.rerun()


def _text(one: Mistake) -> str:
    return escape_markdown(f"{one.label} ✗ {one.predicted}, {one.confidence:.0%}")
