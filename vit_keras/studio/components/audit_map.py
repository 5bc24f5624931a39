"""The map of an audit's embeddings: a point for each image, with its thumbnail under the mouse."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.evaluation import audit_map
from vit_keras.evaluation.audit_table import Audited
from vit_keras.predict.embedding_map import MAX_CLASSES

AXIS = {"type": "quantitative", "axis": None, "scale": {"domain": [-0.03, 1.03]}}
SYMBOLS = {"orient": "bottom", "symbolFillColor": "gray"}  # seen on light and on dark pages
ERROR, RIGHT = "likely wrong", "not suspected"
CHART: dict[str, Any] = {
    # Hidden from screen readers, which would read every point; the lists have them.
    "mark": {"type": "point", "filled": True, "opacity": 0.8, "aria": False},
    "encoding": {
        "x": {"field": "x", **AXIS},
        "y": {"field": "y", **AXIS},
        "color": {
            "field": "class",
            "type": "nominal",
            "scale": {"scheme": "tableau10"},
            "legend": {"orient": "bottom"},
        },
        "shape": {
            "field": "label",
            "type": "nominal",
            "scale": {"domain": [RIGHT, ERROR], "range": ["circle", "triangle-up"]},
            "legend": SYMBOLS,
        },
        "size": {
            "field": "label",
            "type": "nominal",
            "scale": {"domain": [RIGHT, ERROR], "range": [40, 220]},
            "legend": SYMBOLS,
        },
        # Vega shows a field of the name `image` as an image.
        "tooltip": [{"field": name} for name in ("image", "file", "class", "most probable")],
    },
}


def show(folder: Path, rows: Sequence[Audited]) -> None:
    """Show the map; the classes are those of before any decision."""
    found = audit_map.read(folder)
    if found is None:
        st.write("This audit has no map: an earlier version, or fewer than five images.")
        return
    by_image = {(row.path, row.label): row for row in rows}
    points = [
        _point(image, by_image[image["path"], image["label"]])
        for image in found.images
        if (image["path"], image["label"]) in by_image
    ]
    st.markdown(
        f"{len(points):,} of {len(rows):,} images by {found.method} of their embeddings: images "
        "that the model finds alike lie together. A triangle among points of another class is a "
        "label to look at; point at it to see the image."
    )
    points.sort(key=lambda point: point["label"] == ERROR)  # in front of the others
    import pandas as pd  # a dependency of Streamlit; only pages with charts wait for it

    st.vega_lite_chart(pd.DataFrame(points), _chart(points), height=600)


def _chart(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The chart, with as many colours as there are classes; without a legend of very many."""
    classes = len({point["class"] for point in points})
    if classes <= 10:
        return CHART
    color = {**CHART["encoding"]["color"], "scale": {"scheme": "tableau20"}}
    if classes > MAX_CLASSES:
        color["legend"] = None
    return {**CHART, "encoding": {**CHART["encoding"], "color": color}}


def _point(image: dict[str, Any], row: Audited) -> dict[str, Any]:
    file = Path(row.path)
    return {
        **{name: image[name] for name in ("x", "y", "image")},
        "file": f"{file.parent.name}/{file.name}",
        "class": row.label,
        "most probable": f"{row.most_probable} {row.confidence:.0%}",
        "label": ERROR if row.is_label_error else RIGHT,
    }
