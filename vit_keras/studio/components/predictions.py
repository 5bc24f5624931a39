"""Predict images, and show confidences as bars and explanations as overlays."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from vit_keras.predict import outputs
from vit_keras.predict.decisions import NONE_OF_THESE, Decision
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.runs import saved_run
from vit_keras.runs.status import RunState
from vit_keras.studio.components import display
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png

BATCH = 8  # images of one request, as many as the worker predicts at a time
BARS = 20  # classes that have a bar; a table lists all
WIDTH = 160  # pixels of an image
HISTORY = "history"  # session key of the predictions so far
ENGINES = "engines"  # of what predicted last, by the name of the run
CHART: dict[str, Any] = {
    # Hidden from screen readers, which would read every bar; the table has the values.
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
class Upload:
    """An image file from the browser: its name, an id of its content, and the content."""

    name: str
    id: str
    content: bytes


@dataclass(frozen=True)
class HistoryEntry:
    """A prediction of this session and the run that made it."""

    run: str
    prediction: Prediction


def show(run: RunState, images: list[Upload]) -> None:
    """Show a table of the predictions, and one image in detail."""
    saved = saved_run.open_run(run.path)
    calibrated = _choose_calibration(saved)
    results = _predict(run, images, calibrated)
    readable = []
    for image, result in zip(images, results, strict=True):
        if isinstance(result, Prediction):
            readable.append((image, result))
        else:
            st.error(
                f"{escape_markdown(image.name)} cannot be read as an image: "
                f"{escape_markdown(result)}"
            )
    if not readable:
        return
    number = 0
    if len(readable) > 1:
        rows = [_row(prediction) for _, prediction in readable]
        st.markdown(table([_heads([prediction for _, prediction in readable]), *rows]))
        number = st.selectbox(
            "Image in detail",
            range(len(readable)),
            format_func=lambda index: f"{index + 1}: {readable[index][0].name}",
            key=f"detail {len(readable)}",
        )
    _show_detail(run, *readable[number])
    by = st.session_state.get(ENGINES, {}).get(run.name)
    decision = saved.decision if calibrated else saved.calibration.sentence_without
    st.caption(escape_markdown(f"{decision}; computed by {by}"))


def _choose_calibration(saved: saved_run.SavedRun) -> bool:
    """Whether the temperature is to be used; asked only of a run that has one."""
    if saved.is_multilabel or saved.temperature == 1:
        return True
    return st.toggle(
        f"Calibrated confidences (temperature {saved.temperature:.3f})",
        value=True,
        key="calibrated",
        help=f"temperature scaling, {saved.calibration.source}",
    )


def _predict(run: RunState, images: list[Upload], calibrated: bool) -> list[Prediction | str]:
    """Prediction of each image, or why it cannot be read; cached in the session."""
    results: dict[tuple, Prediction | str] = st.session_state.setdefault("results", {})
    versions = saved_run.file_versions(run.path)
    keys = [(run.name, versions, calibrated, image.id) for image in images]
    missing = [pair for pair in zip(keys, images, strict=True) if pair[0] not in results]
    if missing:
        with st.spinner("predicting; the model is opened first"):
            for start in range(0, len(missing), BATCH):
                _predict_batch(run, missing[start : start + BATCH], results, calibrated)
    return [results[key] for key in keys]


def _predict_batch(
    run: RunState,
    batch: list[tuple[tuple, Upload]],
    results: dict[tuple, Prediction | str],
    calibrated: bool,
) -> None:
    files = [base64.b64encode(image.content).decode("ascii") for _, image in batch]
    responses = worker("models").call(
        "predict", run=str(run.path), images=files, calibrated=calibrated
    )
    for (key, image), response in zip(batch, responses, strict=True):
        if "unreadable" in response:
            results[key] = str(response["unreadable"])
            continue
        top = tuple(Candidate(*candidate) for candidate in response["top"])
        found, given = response["decision"], response["labels"]
        decision = Decision(**{**found, "classes": tuple(found["classes"])}) if found else None
        labels = None if given is None else tuple(c for c in top if c.index in given)
        prediction = results[key] = Prediction(image.name, top, decision, labels)
        st.session_state.setdefault(ENGINES, {})[run.name] = response["engine"]
        add_to_history(run, prediction)


def _show_detail(run: RunState, image: Upload, prediction: Prediction) -> None:
    st.subheader(escape_markdown(_title(prediction)))
    _show_decision(prediction)
    left, right = st.columns([2, 3])
    with right:
        _show_bars(prediction)
    with left, show_errors():  # last: a map takes longer than a prediction
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
        help="attention rollout, or the relevance of each patch for a class; bright is high",
    )
    target = targets[number]
    index = target.index if target else None
    with st.spinner("computing the map"):
        found = _overlay(str(run.path), prediction.top, image.content, index)
    with st.container(horizontal=True):
        display.show_image(decode_png(found["input"]), "Model input", WIDTH)
        if "overlay" in found:
            display.show_image(decode_png(found["overlay"]), _map_title(target), WIDTH)
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
    st.vega_lite_chart(bars, CHART, height=26 * len(first) + 40)
    title = "All classes" if len(top) <= BARS else f"All {len(top)} classes"
    with st.expander(title):
        rows = [(candidate.label, f"{candidate.confidence:.4f}") for candidate in top]
        st.markdown(table([("class", "confidence"), *rows]))


def _unique_label(candidate: Candidate, others: tuple[Candidate, ...]) -> str:
    """The class name, with its index if another class has the same name: bars must differ."""
    is_unique = sum(other.label == candidate.label for other in others) == 1
    return candidate.label if is_unique else f"{candidate.label} ({candidate.index})"


def add_to_history(run: RunState, prediction: Prediction) -> None:
    st.session_state.setdefault(HISTORY, []).append(HistoryEntry(run.name, prediction))


def show_history() -> None:
    """Show the predictions of this session, the last first, and offer them as a CSV file."""
    entries: list[HistoryEntry] = st.session_state.get(HISTORY, [])
    if not entries:
        return
    shown = [entry.prediction for entry in entries]
    is_mixed = len({one.labels is None for one in shown}) > 1  # of runs of either task
    content = outputs.to_json(shown) if is_mixed else outputs.to_csv(shown)
    name = "predictions.json" if is_mixed else "predictions.csv"
    with st.container(horizontal=True):
        st.download_button(
            f"Predictions as {name[-4:].removeprefix('.').upper()}",
            content,
            name,
            "application/json" if is_mixed else "text/csv",
            on_click="ignore",  # nothing on the page changes
            help="all predictions of this session",
        )
        if st.button("Clear", key="clear_history"):
            st.session_state[HISTORY] = []
            st.rerun()
    with st.expander("Predictions of this session"):
        rows = [(entry.run, *_row(entry.prediction)) for entry in reversed(entries[-100:])]
        heads = _heads([entry.prediction for entry in entries])
        st.markdown(table([("run", *heads), *rows]))


def _heads(predictions: Sequence[Prediction]) -> tuple[str, str, str, str]:
    """The heads of `_row`: a run with several labels has no single class."""
    has_labels = any(one.labels is not None for one in predictions)
    named = ("labels", "confidences") if has_labels else ("class", "confidence")
    return ("file", *named, "decision")


def _title(prediction: Prediction) -> str:
    """The class with its confidence, or each label with its own."""
    if prediction.labels is None:
        return f"{prediction.label}: {prediction.confidence:.1%}"
    return ", ".join(f"{c.label}: {c.confidence:.1%}" for c in prediction.labels) or "no label"


def _row(prediction: Prediction) -> tuple[str, str, str, str]:
    if prediction.labels is not None:
        labels = ", ".join(c.label for c in prediction.labels) or "none"
        confidences = ", ".join(f"{c.confidence:.4f}" for c in prediction.labels)
        return prediction.source, labels, confidences, "-"
    confidence, decision = f"{prediction.confidence:.4f}", outputs.decision_text(prediction)
    return prediction.source, prediction.label, confidence, decision or "-"
