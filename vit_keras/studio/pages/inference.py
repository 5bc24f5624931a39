"""The page on which a run is tried: on images from the browser, on labelled ones, and exported."""

import hashlib
import importlib.util
from pathlib import Path

import streamlit as st

from vit_keras.cli import evaluate, export
from vit_keras.data.readers.folder_layout import SUFFIXES
from vit_keras.evaluation.preflight import ALL, TEST, check_evaluation
from vit_keras.export import preflight
from vit_keras.export.formats import FORMATS
from vit_keras.runs import archive
from vit_keras.runs.status import RunState
from vit_keras.studio.components import (
    data_source,
    evaluation,
    predictions,
    run_details,
    run_table,
    script_runner,
)
from vit_keras.studio.components.display import show_errors
from vit_keras.studio.components.predictions import Shown
from vit_keras.studio.worker.client import worker

OF_THESE = {
    ALL: "every image",
    TEST: "those to test on: its test split, or a fifth where it has none",
}


def show(root: Path) -> None:
    """The whole page, below its title."""
    with show_errors():
        run = run_table.ask(root)
        if run is None:
            return
        if st.session_state.get("warmed") != run.path:  # not at every click
            st.session_state["warmed"] = run.path
            worker("models").warm("open", run=str(run.path))
        predicted, measured, exported, facts = st.tabs(
            ["Predict", "Labelled images", "Export", "The run"]
        )
        with predicted, show_errors():
            _predict(run)
        with measured, show_errors():
            _measure(run, root)
        with exported, show_errors():
            _export(run)
        with facts, show_errors():
            run_details.show(run)


def _predict(run: RunState) -> None:
    images = _given()
    if images:
        with show_errors():
            predictions.show(run, images)
    predictions.show_history()


def _given() -> list[Shown]:
    """Files from the browser, and the webcam's picture."""
    files = st.file_uploader(
        "Images",
        type=[suffix.removeprefix(".") for suffix in SUFFIXES],
        accept_multiple_files=True,
        key="images_to_predict",
        help="one or many; they are predicted here and kept nowhere",
    )
    images = [Shown(file.name, file.file_id, file.getvalue()) for file in files]
    if st.checkbox("Use the webcam", key="webcam"):
        picture = st.camera_input("A picture of the webcam", key="camera")
        if picture is not None:
            content = picture.getvalue()
            name = hashlib.sha256(content).hexdigest()
            images.append(Shown("webcam.jpg", name, content))
    return images


def _measure(run: RunState, root: Path) -> None:
    st.write(
        "Labelled images of the same classes: how many are recognised, and what is taken for what."
    )
    own = "What the run was trained on"
    which = st.radio("Measured on", (own, "Other images"), key="measured_on", horizontal=True)
    other_words: tuple[str, ...] = ()
    if which != own:
        data, other_words = data_source.ask(root)
        if not other_words:
            st.info("Say where the images are.")
            return
        other_words = ("--data", *other_words, *_split(data))
    words = [str(run.path), *other_words]
    add_arguments = evaluate.add_arguments
    script_runner.show("evaluate", add_arguments, check_evaluation, words, "Measure")
    evaluation.show(run.path)


def _split(data: str) -> tuple[str, ...]:
    """Every image of somebody's own; of a known set, whose others are there to train on, a part."""
    is_known = data not in ("folder", "npz")
    split = st.radio(
        "Of these",
        (ALL, TEST),
        index=int(is_known),
        format_func=lambda split: OF_THESE[split],
        key=f"measured_split {is_known}",
        horizontal=True,
    )
    return ("--split", ALL) if split == ALL else ()


def _export(run: RunState) -> None:
    st.write("The model for another program: pixels in, probabilities out, compared with Keras.")
    usable = [name for name, form in FORMATS.items() if _is_here(form.packages.values())]
    form = st.selectbox("Format", usable, key="export_format")
    words = [str(run.path), "--format", form]
    script_runner.show("export", export.add_arguments, preflight.check_export, words, "Export")
    folder = run.path / "export" / form
    if (folder / preflight.EXPORT).is_file():
        name = f"{run.path.name}-{form}.zip"
        st.download_button(
            "Download it", lambda: archive.zip_bytes(folder), name, "application/zip"
        )
    lacking = [name for name in FORMATS if name not in usable]
    if lacking:
        st.write(f"Not installed here: what {', '.join(lacking)} needs.")


def _is_here(modules: object) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)  # type: ignore
