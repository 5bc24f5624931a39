"""Predict images, and show them as a gallery and one of them in detail."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from vit_keras.predict import outputs
from vit_keras.predict.decisions import Decision
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.runs import saved_run
from vit_keras.runs.status import RunState
from vit_keras.studio.components import gallery, kept_values, prediction_detail
from vit_keras.studio.components.display import escape_markdown, show_note, table
from vit_keras.studio.components.gallery import Upload
from vit_keras.studio.worker.client import worker

BATCH = 8  # images of one request, as many as the worker predicts at a time
HISTORY = "history"  # session key of the predictions so far
ENGINES = "engines"  # of what predicted last, by the name of the run


@dataclass(frozen=True)
class HistoryEntry:
    """A prediction of this session and the run that made it."""

    run: str
    prediction: Prediction


def show(run: RunState, images: list[Upload]) -> None:
    """Show a gallery of the predictions, and one image in detail."""
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
    number = gallery.select(readable) if len(readable) > 1 else 0
    prediction_detail.show(run, *readable[number])
    by = st.session_state.get(ENGINES, {}).get(run.name)
    decision = saved.decision if calibrated else saved.calibration.sentence_without
    show_note(escape_markdown(f"{decision}; computed by {by}"))


def _choose_calibration(saved: saved_run.SavedRun) -> bool:
    """Whether the temperature is to be used; asked only of a run that has one."""
    if saved.is_multilabel or saved.temperature == 1:
        return True
    return bool(
        kept_values.control(
            st.toggle,
            f"Calibrated confidences (temperature {saved.temperature:.3f})",
            "calibrated",
            True,
            help=f"Calibration makes a confidence of 80% right 80% of the time. By temperature "
            f"scaling, {saved.calibration.source}.",
        )
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


def _row(prediction: Prediction) -> tuple[str, str, str, str]:
    if prediction.labels is not None:
        labels = ", ".join(c.label for c in prediction.labels) or "none"
        confidences = ", ".join(f"{c.confidence:.4f}" for c in prediction.labels)
        return prediction.source, labels, confidences, "-"
    confidence, decision = f"{prediction.confidence:.4f}", outputs.decision_text(prediction)
    return prediction.source, prediction.label, confidence, decision or "-"
