"""What a model makes of images: each one's confidences as bars, and what the model looks at."""

import base64
from dataclasses import dataclass
from typing import Any

import streamlit as st

from vit_keras.predict import outputs
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.runs import saved_run
from vit_keras.runs.status import RunState
from vit_keras.studio.components import display
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png

AT_A_TIME = 8  # images that are asked for at once, as many as the worker's model takes
BARS = 20  # classes; those behind are in a table
WIDTH = 160  # pixels of a picture
HISTORY = "history"  # in the session: what was predicted in this sitting
CHART: dict[str, Any] = {
    # A screen reader would name every bar; the words are beside.
    "mark": {"type": "bar", "aria": False},
    "encoding": {
        "y": {"field": "class", "type": "nominal", "sort": None, "title": None},
        "x": {
            "field": "confidence",
            "type": "quantitative",
            "scale": {"domain": [0, 1]},
            "axis": {"format": "%", "title": None},
        },
    },
}


@dataclass(frozen=True)
class Shown:
    """An image that was handed over: its name there, the browser's id for it, and the file."""

    name: str
    id: str
    content: bytes


@dataclass(frozen=True)
class Line:
    """A line of the history."""

    run: str
    prediction: Prediction


def show(run: RunState, images: list[Shown]) -> None:
    """The images' classes, one image in detail, and the predictions as a file."""
    results = _results(run, images)
    good = [
        (image, r) for image, r in zip(images, results, strict=True) if isinstance(r, Prediction)
    ]
    for image, result in zip(images, results, strict=True):
        if not isinstance(result, Prediction):
            st.error(
                f"{escape_markdown(image.name)} is no image that can be read: "
                f"{escape_markdown(result)}"
            )
    if not good:
        return
    if len(good) > 1:
        st.markdown(table([("file", "class", "confidence"), *map(_row, [r for _, r in good])]))
    number = 0
    if len(good) > 1:
        number = st.selectbox(
            "Image in detail",
            range(len(good)),
            format_func=lambda index: f"{index + 1}: {good[index][0].name}",
            key=f"detail {len(good)}",
        )
    _detail(run, *good[number])


def _results(run: RunState, images: list[Shown]) -> list[Prediction | str]:
    """What became of each image, asked for once as long as the run and the page are the same."""
    known: dict[tuple, Prediction | str] = st.session_state.setdefault("results", {})
    stamps = saved_run.stamps(run.path)
    keys = [(run.name, stamps, image.id) for image in images]
    missing = [(k, image) for k, image in zip(keys, images, strict=True) if k not in known]
    if missing:
        with st.spinner("predicting; the first time, a model is opened"):
            for start in range(0, len(missing), AT_A_TIME):
                _ask(run, missing[start : start + AT_A_TIME], known)
    return [known[key] for key in keys]


def _ask(
    run: RunState, missing: list[tuple[tuple, Shown]], known: dict[tuple, Prediction | str]
) -> None:
    files = [base64.b64encode(image.content).decode("ascii") for _, image in missing]
    found = worker("models").ask("predict", run=str(run.path), images=files)
    for (key, image), one in zip(missing, found, strict=True):
        if "unreadable" in one:
            known[key] = str(one["unreadable"])
            continue
        top = tuple(Candidate(*candidate) for candidate in one["top"])
        prediction = known[key] = Prediction(image.name, top)
        st.session_state.setdefault(HISTORY, []).append(Line(run.name, prediction))


def _detail(run: RunState, image: Shown, prediction: Prediction) -> None:
    st.subheader(escape_markdown(f"{prediction.label}: {prediction.confidence:.1%}"))
    left, right = st.columns([2, 3])
    with right:
        _bars(prediction)
    with left, show_errors():  # last: a map takes longer than a prediction
        _pictures(run, image, prediction)


def _pictures(run: RunState, image: Shown, prediction: Prediction) -> None:
    targets = [None, *prediction.top[:BARS]]
    number = st.selectbox(
        "What the model looks at",
        range(len(targets)),
        format_func=lambda index: _said(targets[index]),
        key=f"target {run.name} {image.id}",
        help="attention rollout, or the relevance of each patch for a class; bright is much",
    )
    target = targets[number]
    index = target.index if target else None
    with st.spinner("looking"):
        found = _overlay(str(run.path), prediction.top, image.content, index)
    with st.container(horizontal=True):
        display.show_picture(decode_png(found["seen"]), "as the model sees it", WIDTH)
        if "overlay" in found:
            display.show_picture(decode_png(found["overlay"]), _said(target), WIDTH)
    if "without" in found:
        st.info(escape_markdown(found["without"]))


def _said(target: Candidate | None) -> str:
    """What a map shows."""
    return f"what speaks for {target.label}" if target else "where attention flows"


# The prediction is part of the key: a run that was trained on has other maps.
@st.cache_data(max_entries=100, show_spinner=False)
def _overlay(run: str, top: tuple, content: bytes, target: int | None) -> dict[str, str]:
    file = base64.b64encode(content).decode("ascii")
    found: dict[str, str] = worker("models").ask("overlay", run=run, image=file, target=target)
    return found


def _bars(prediction: Prediction) -> None:
    import pandas as pd  # Streamlit's own; a page without bars does not wait for it

    top = prediction.top
    first = top[:BARS]
    bars = pd.DataFrame(
        {"class": _apart(one, first), "confidence": one.confidence} for one in first
    )
    st.vega_lite_chart(bars, CHART, height=26 * len(first) + 40)
    title = "All classes" if len(top) <= BARS else f"All {len(top)} classes"
    with st.expander(title):
        rows = [(one.label, f"{one.confidence:.4f}") for one in top]
        st.markdown(table([("class", "confidence"), *rows]))


def _apart(one: Candidate, others: tuple[Candidate, ...]) -> str:
    """A class by its name; names need not differ, and bars have to."""
    is_alone = sum(other.label == one.label for other in others) == 1
    return one.label if is_alone else f"{one.label} ({one.index})"


def show_history() -> None:
    """What was predicted since the page was opened, as a CSV file, and the last first."""
    lines: list[Line] = st.session_state.get(HISTORY, [])
    if not lines:
        return
    content = outputs.to_csv([line.prediction for line in lines])
    with st.container(horizontal=True):
        st.download_button(
            "Predictions as CSV",
            content,
            "predictions.csv",
            "text/csv",
            on_click="ignore",  # nothing on the page changes
            help="all that were predicted in this sitting",
        )
        if st.button("Forget them", key="forget_history"):
            st.session_state[HISTORY] = []
            st.rerun()
    with st.expander("Predicted in this sitting"):
        rows = [(line.run, *_row(line.prediction)) for line in reversed(lines[-100:])]
        st.markdown(table([("run", "file", "class", "confidence"), *rows]))


def _row(prediction: Prediction) -> tuple[str, str, str]:
    return prediction.source, prediction.label, f"{prediction.confidence:.4f}"
