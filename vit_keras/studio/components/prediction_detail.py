"""One prediction in detail: its most probable classes, and maps of what the model looks at."""

import base64
from typing import Any

import streamlit as st

from vit_keras.predict import outputs
from vit_keras.predict.decisions import NONE_OF_THESE
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.runs.status import RunState
from vit_keras.studio.components import display, gallery
from vit_keras.studio.components.display import (
    escape_markdown,
    is_dark,
    show_errors,
    show_note,
    table,
)
from vit_keras.studio.components.gallery import Upload
from vit_keras.studio.components.palette import PALETTE
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png

BARS = 20  # classes that have a bar; a table lists all
WIDTH = 240  # pixels of an image
CHART: dict[str, Any] = {
    # Hidden from screen readers, which would read every bar; the table has the values.
    "encoding": {
        "y": {"field": "class", "type": "nominal", "sort": None, "title": None},
        "x": {
            "field": "confidence",
            "type": "quantitative",
            "scale": {"domain": [0, 1.15]},
            "axis": {"format": "%", "title": None, "values": [0, 0.25, 0.5, 0.75, 1]},
        },
    },
    "layer": [
        {"mark": {"type": "bar", "aria": False, "color": PALETTE[0]}},
        {
            "mark": {"type": "text", "aria": False, "align": "left", "dx": 4, "fontSize": 12},
            "encoding": {"text": {"field": "confidence", "type": "quantitative", "format": ".1%"}},
        },
    ],
}
# The colors of a map from little to much, as `explain.plots` has them.
LEGEND = """<div style="display:flex;gap:.5em;align-items:center;font-size:.875rem">
<span>low</span><div role="img" aria-label="color scale from low to high" style="width:150px;height:
.8em;border-radius:3px;background:linear-gradient(90deg,#000004,#420a68,#932667,#dd513a,#fca50a,
#fcffa4)"></div><span>high</span></div>"""
HELP = {
    "rollout": "Attention rollout: how much each patch of the image contributes to the prediction, "
    "by the attention of all layers (Abnar and Zuidema 2020).",
    "relevance": "Class relevance: which patches speak for this class, by attention weighted with "
    "gradients (Chefer et al. 2021).",
}


def show(run: RunState, image: Upload, prediction: Prediction) -> None:
    """Show the image as it was given, the bars of its classes, and a map."""
    st.subheader(escape_markdown(gallery.title(prediction)))
    _show_decision(prediction)
    left, right = st.columns([2, 3])
    with right:
        _show_bars(prediction)
    with left:
        given = gallery.thumbnail(image.content)
        if given is not None:
            display.show_image(given, image.name, WIDTH)
    with show_errors():  # last: a map takes longer than a prediction
        _show_explanation(run, image, prediction)


def _show_decision(prediction: Prediction) -> None:
    """Say that the prediction is not to be used, and why, where it abstains."""
    found = prediction.decision
    if found is None or not found.abstain:
        return
    heading = "None of these" if found.reason in NONE_OF_THESE else "Undecided"
    st.warning(escape_markdown(f"{heading}: {outputs.decision_text(prediction)}"))


def _show_explanation(run: RunState, image: Upload, prediction: Prediction) -> None:
    targets = [None, *(prediction.labels or prediction.top[:BARS])]
    number = st.selectbox(
        "Explanation",
        range(len(targets)),
        format_func=lambda index: _map_title(targets[index]),
        key=f"target {run.name} {image.id}",
        help=f"{HELP['rollout']} {HELP['relevance']}",
    )
    target = targets[number]
    index = target.index if target else None
    with st.spinner("computing the map"):
        found = _overlay(str(run.path), prediction.top, image.content, index)
    with st.container(horizontal=True):
        display.show_image(decode_png(found["input"]), "Model input", WIDTH)
        if "overlay" in found:
            display.show_image(decode_png(found["overlay"]), _map_title(target), WIDTH)
    if "overlay" in found:
        st.html(LEGEND)
        show_note(HELP["relevance" if target else "rollout"])
    if "no_overlay" in found:
        st.info(escape_markdown(found["no_overlay"]))


def _map_title(target: Candidate | None) -> str:
    return f"Class relevance: {target.label}" if target else "Attention rollout"


# The confidences are part of the key: after more training the run has other maps.
@st.cache_data(max_entries=100, show_spinner=False)
def _overlay(run: str, top: tuple, content: bytes, target: int | None) -> dict[str, str]:
    file = base64.b64encode(content).decode("ascii")
    found: dict[str, str] = worker("models").call("overlay", run=run, image=file, target=target)
    return found


def _show_bars(prediction: Prediction) -> None:
    import pandas as pd  # a dependency of Streamlit; only pages with bars wait for it

    top = prediction.top
    first = top[:BARS]
    bars = pd.DataFrame(
        {"class": _unique_label(candidate, first), "confidence": candidate.confidence}
        for candidate in first
    )
    st.vega_lite_chart(bars, _bars_spec(is_dark()), height=26 * len(first) + 40)
    title = "All classes" if len(top) <= BARS else f"All {len(top)} classes"
    with st.expander(title):
        rows = [(candidate.label, f"{candidate.confidence:.4f}") for candidate in top]
        st.markdown(table([("class", "confidence"), *rows]))


def _bars_spec(has_dark_page: bool) -> dict[str, Any]:
    """The bars in Vega-Lite, with their figures in the colour of the page's text."""
    bar, text = CHART["layer"]
    ink = {**text["mark"], "color": "#fafafa" if has_dark_page else "#31333f"}
    return {**CHART, "layer": [bar, {**text, "mark": ink}]}


def _unique_label(candidate: Candidate, others: tuple[Candidate, ...]) -> str:
    """The class name, with its index if another class has the same name: bars must differ."""
    is_unique = sum(other.label == candidate.label for other in others) == 1
    return candidate.label if is_unique else f"{candidate.label} ({candidate.index})"
