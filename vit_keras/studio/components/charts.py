"""Charts of the pages, alike everywhere: curves by epoch, and bars.

They are hidden from screen readers, which would read every point; each has its figures beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from vit_keras.runs.curves import panels_of
from vit_keras.runs.listing import IS_SHARE
from vit_keras.studio.components import figures, kept_values
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.components.palette import PALETTE, ROLES, names_legend

Rows = Sequence[Mapping[str, Any]]  # of history.csv
LOGARITHMIC = ("loss", "learning rate")  # panels that can have such an axis
NARROW = {"learning rate": 2}  # of 3, the width of the other panels
HEIGHT = 240  # pixels
MARK = "#8a8a8a"  # of the best epoch; visible in the light and in the dark
LEGEND = {"orient": "bottom", "symbolType": "stroke", "columns": 1, "labelLimit": 0}
TICKS = 8  # of an axis of whole numbers, at most
X = {
    "field": "epoch",
    "type": "quantitative",
    "title": "epoch",
    "axis": {"format": "d", "tickMinStep": 1, "grid": False},
}
# Training dashed; validation, which is compared, solid: the same in curves.png.
DASH: dict[str, list[Any]] = {"domain": ["training", "validation"], "range": [[4, 3], [1, 0]]}


def show_curves(
    runs: Mapping[str, Rows],
    best: Mapping[str, int],
    slot: str = "curves",
    images: Mapping[str, int] | None = None,
) -> None:
    """Loss, accuracy and learning rate by epoch, with controls of their smoothing and axis.

    Args:
        runs: name -> rows of its history, of one run or of several.
        best: name -> its best epoch, which is marked.
        slot: of the controls; two charts on one page have different ones.
        images: of each split of a single run, where they are known.
    """
    runs = {name: rows for name, rows in runs.items() if rows}
    if not runs:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        smoothing = kept_values.control(
            st.slider,
            "Smoothing",
            f"{slot} smoothing",
            0.0,
            min_value=0.0,
            max_value=0.95,
            step=0.05,
            width=220,
            help="exponential moving average of the epochs before; the thin line has no smoothing",
        )
        is_log = kept_values.control(
            st.toggle,
            "Logarithmic axis",
            f"{slot} logarithmic",
            False,
            help="of the loss and the learning rate",
        )
    panels = panels_of([list(map(dict, rows)) for rows in runs.values()])
    widths = [NARROW.get(title, 3) for title in panels]
    for column, (title, lines) in zip(st.columns(widths), panels.items(), strict=True):
        with column:
            with_log = is_log and title in LOGARITHMIC
            _show_panel(title, lines, runs, best, smoothing, with_log, images or {})
    if len(runs) > 1:  # once, where there is room for whole names
        st.html(names_legend([*runs]))


def _show_panel(
    title: str,
    lines: Mapping[str, str],
    runs: Mapping[str, Rows],
    best: Mapping[str, int],
    smoothing: float,
    is_log: bool,
    images: Mapping[str, int],
) -> None:
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    points = pd.DataFrame(
        point
        for name, rows in runs.items()
        for column, label in lines.items()
        for point in _points(name, label, rows, column, smoothing, best.get(name))
    )
    if is_log:
        points = points[(points["value"] > 0) & (points["smooth"] > 0)]
    st.markdown(f"**{escape_markdown(title)}**  \n{_last_values(lines, runs, images)}")
    is_share = all(IS_SHARE.search(column) for column in lines)
    spec = curve_spec([*runs], list(lines.values()), bool(smoothing), is_log, is_share)
    st.vega_lite_chart(points, spec, height=HEIGHT)


def _points(
    name: str, label: str, rows: Rows, column: str, smoothing: float, best: int | None
) -> list[dict[str, Any]]:
    values = [float(row[column]) for row in rows]
    points = zip(rows, values, smooth(values, smoothing), strict=True)
    return [
        {
            "run": name,
            "of": label,
            "epoch": int(row["epoch"]),
            "value": value,
            "smooth": smoothed,
            "best": "best epoch" if row["epoch"] == best else "",
        }
        for row, value, smoothed in points
    ]


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """The exponential moving average, without the bias of its start; `weight` is of the past."""
    average, total, result = 0.0, 0.0, []
    for value in values:
        average = weight * average + (1 - weight) * value
        total = weight * total + (1 - weight)
        result.append(average / total)
    return result


def whole_ticks(most: int) -> list[int]:
    """Where an axis of whole numbers from 0 to `most` has ticks: at steps of 1, 2, 5, 10, 20..."""
    steps = (factor * 10**power for power in range(12) for factor in (1, 2, 5))
    step = next(step for step in steps if most // step < TICKS)
    return list(range(0, most + 1, step))


def curve_spec(
    names: Sequence[str],
    labels: Sequence[str],
    is_smoothed: bool,
    is_log: bool,
    is_share: bool = False,
) -> dict[str, Any]:
    """A panel in Vega-Lite: lines, of one run a rule at its best epoch, and values to point at.

    Args:
        names: of the runs; of several, each has a color.
        labels: `training` and `validation`, each with another dash, or another single one.
        is_smoothed: whether the values themselves are a thin line below.
        is_log: whether the axis of the values is logarithmic.
        is_share: whether the values are from 0 to 1, and in percent.
    """
    scale = {"type": "log"} if is_log else {"zero": False}
    y: dict[str, Any] = {"type": "quantitative", "title": None, "scale": scale}
    if is_share:
        y["axis"] = {"format": "~%"}
    several = len(names) > 1
    told_apart = list(names if several else labels)
    colors = [ROLES.get(one, PALETTE[0]) for one in labels]
    if several:
        colors = list(PALETTE[: len(names)])
    color = {
        "field": "run" if several else "of",
        "type": "nominal",
        "title": None,
        "scale": {"domain": told_apart, "range": colors},
        # Of several runs it is below the charts; a single line needs none.
        "legend": None if several or len(labels) == 1 else LEGEND,
    }
    has_dash = set(labels) <= set(DASH["domain"])
    dash = {"field": "of", "type": "nominal", "title": None, "scale": DASH, "legend": LEGEND}
    if several:
        dash["legend"] = None  # no room: said below the charts
    look = {"color": color, **({"strokeDash": dash} if has_dash else {})}
    told = [
        *([{"field": "run", "type": "nominal"}] if several else []),
        {"field": "of", "type": "nominal", "title": "curve"},
        {"field": "epoch", "type": "quantitative"},
        {"field": "value", "type": "quantitative", "format": ".2~%" if is_share else ".4~r"},
        {"field": "best", "type": "nominal", "title": " "},
    ]
    group = [{"field": "run"}, {"field": "of"}]
    line = {"type": "line", "aria": False, "strokeWidth": 2}
    thin = {**line, "strokeWidth": 1, "opacity": 0.3}
    rule = {"type": "rule", "aria": False, "color": MARK, "strokeDash": [2, 2]}
    is_best = {"filter": "datum.best != ''"}
    layers: list[dict[str, Any]] = [
        {"mark": line, "encoding": {"y": {**y, "field": "smooth"}, **look, "detail": group}}
    ]
    if is_smoothed:
        layers.insert(0, {"mark": thin, "encoding": {"y": {**y, "field": "value"}, **look}})
    if not several:
        layers.append({"transform": [is_best], "mark": rule})
    circle = {"type": "point", "aria": False, "filled": True, "size": 60}
    values = {"y": {**y, "field": "smooth"}, "color": color, "tooltip": told}
    layers.append({"transform": [is_best], "mark": circle, "encoding": values})
    # Lines have no points to point at, which would hide them: these are seen under the mouse alone.
    hover = {"param": "under", "empty": False, "value": 1}
    layers.append(
        {
            "params": [
                {
                    "name": "under",
                    "select": {
                        "type": "point",
                        "on": "pointerover",
                        "nearest": True,
                        "clear": "pointerout",
                    },
                }
            ],
            "mark": {**circle, "size": 40},
            "encoding": {**values, "opacity": {"condition": hover, "value": 0}},
        }
    )
    return {"encoding": {"x": X}, "layer": layers}


def _last_values(
    lines: Mapping[str, str], runs: Mapping[str, Rows], images: Mapping[str, int]
) -> str:
    """The last values as text, on one line so that the charts beside each other line up."""
    if len(runs) > 1:
        return f"{len(runs)} runs"
    (rows,) = runs.values()
    counts = {"training": images.get("train"), "validation": images.get("validation")}
    shown = (
        f"{label} {figures.metric(column, float(rows[-1][column]), counts.get(label))}"
        for column, label in lines.items()
    )
    return escape_markdown(", ".join(shown))
