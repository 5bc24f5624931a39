"""Charts of an evaluation: reliability diagram, robustness, and accuracy at other sizes."""

from typing import Any

import streamlit as st

from vit_keras.studio.components.charts import LEGEND, MARK
from vit_keras.studio.components.display import show_note
from vit_keras.studio.components.palette import PALETTE

Rows = list[dict[str, Any]]
SHARE = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": ".0%"}}
HEIGHT = 280  # pixels


def show_reliability(rows: Rows) -> None:
    """The accuracy of images by their confidence, without and with the temperature."""
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    points = [
        {**row, "of": "uncalibrated" if row["temperature"] == 1 else "calibrated"}
        for row in rows
        if row["images"]
    ]
    if not points:
        return
    st.markdown("**Reliability diagram (calibration)**")
    show_note(
        "Accuracy of the images of each confidence. On the dotted line a model that says 80% is "
        "right 80% of the time; below it, the model is too sure of itself."
    )
    names = list(dict.fromkeys(point["of"] for point in points))
    scale = {"domain": names, "range": PALETTE[: len(names)]}
    color = {"field": "of", "type": "nominal", "title": None, "scale": scale, "legend": LEGEND}
    told = [
        {"field": name, "type": "quantitative", "format": form}
        for name, form in (("confidence", ".1%"), ("accuracy", ".1%"), ("images", ",d"))
    ]
    curve: dict[str, Any] = {
        "mark": {"type": "line", "aria": False, "point": {"aria": False}},
        "encoding": {
            "x": {**SHARE, "field": "confidence"},
            "y": {**SHARE, "field": "accuracy"},
            "color": color,
            "tooltip": told,
        },
    }
    ideal: dict[str, Any] = {
        "data": {"values": [{"at": 0}, {"at": 1}]},
        "mark": {"type": "line", "aria": False, "color": MARK, "strokeDash": [3, 3]},
        "encoding": {"x": {**SHARE, "field": "at"}, "y": {**SHARE, "field": "at"}},
    }
    title = {"x": {"title": "confidence"}, "y": {"title": "accuracy"}}
    for axis, text in title.items():
        curve["encoding"][axis] |= text
        ideal["encoding"][axis] |= text
    _draw(pd.DataFrame(points), {"layer": [ideal, curve]}, 480)


def show_robustness(rows: Rows) -> None:
    """The accuracy by the strength of each corruption."""
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    if not rows:
        return
    st.markdown("**Robustness to common corruptions**")
    show_note("Accuracy on images that are made worse, by the strength of what is done to them.")
    spec = {
        "mark": {"type": "line", "aria": False, "point": {"aria": False}},
        "encoding": {
            "x": {"field": "strength", "type": "ordinal", "axis": {"labelAngle": 0}},
            "y": {**SHARE, "field": "accuracy", "title": "accuracy"},
            "color": {
                "field": "corruption",
                "type": "nominal",
                "title": None,
                "scale": {"range": PALETTE},
                "legend": LEGEND,
            },
            "tooltip": [
                {"field": "corruption", "type": "nominal"},
                {"field": "means", "type": "nominal"},
                {"field": "amount", "type": "quantitative"},
                {"field": "accuracy", "type": "quantitative", "format": ".1%"},
            ],
        },
    }
    _draw(pd.DataFrame(rows), spec, 480)


def show_sizes(rows: Rows) -> None:
    """The accuracy at other image sizes, with its 95% interval."""
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    if not rows:
        return
    st.markdown("**Accuracy at other image sizes**")
    x = {"field": "image_size", "type": "quantitative", "title": "height in pixels"}
    y: dict[str, Any] = {
        "type": "quantitative",
        "scale": {"zero": False},
        "title": "accuracy",
        "axis": {"format": "~%"},
    }
    spec = {
        "encoding": {"x": {**x, "scale": {"zero": False}}},
        "layer": [
            {
                "mark": {"type": "rule", "aria": False, "color": MARK},
                "encoding": {"y": {**y, "field": "accuracy_low"}, "y2": {"field": "accuracy_high"}},
            },
            {
                "mark": {
                    "type": "line",
                    "aria": False,
                    "color": PALETTE[0],
                    "point": {"aria": False, "color": PALETTE[0]},
                },
                "encoding": {"y": {**y, "field": "accuracy"}},
            },
        ],
    }
    _draw(pd.DataFrame(rows), spec, 480)


def _draw(points: Any, spec: dict[str, Any], width: int) -> None:
    with st.container(width=width):
        st.vega_lite_chart(points, spec, height=HEIGHT)
