"""The Inference page: predict images with a run, evaluate it, and export it."""

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from vit_keras.cli import evaluate, export
from vit_keras.data import registry
from vit_keras.data.readers.layout_names import SCIENTIFIC, SUFFIXES
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
    tiles,
)
from vit_keras.studio.components.display import show_errors
from vit_keras.studio.components.predictions import Upload
from vit_keras.studio.worker.client import worker

SPLITS = {ALL: "All images", TEST: "Test split, or 20% of the images if there is none"}


def show(root: Path) -> None:
    """Show the page below its title."""
    with show_errors():
        run = run_table.select_run(root)
        if run is None:
            return
        if st.session_state.get("warm_run") != run.path:  # not at every click
            st.session_state["warm_run"] = run.path
            worker("models").warm_up("open", run=str(run.path))
        predict_tab, evaluate_tab, export_tab, details_tab = st.tabs(
            ["Predict", "Evaluate", "Export", "Run details"]
        )
        with predict_tab, show_errors():
            _show_predict(run)
        with evaluate_tab, show_errors():
            _show_evaluate(run, root)
        with export_tab, show_errors():
            _show_export(run)
        with details_tab, show_errors():
            run_details.show(run)


def _show_predict(run: RunState) -> None:
    images = _upload_images()
    tile_settings = tiles.edit_settings()
    if images:
        with show_errors():
            if tile_settings is None:
                predictions.show(run, images)
            else:
                tiles.show(run, images, tile_settings)
    predictions.show_history()


def _upload_images() -> list[Upload]:
    """Image files from the browser, and one from the webcam."""
    files = st.file_uploader(
        "Images",
        type=[suffix.removeprefix(".") for suffix in (*SUFFIXES, *SCIENTIFIC)],
        accept_multiple_files=True,
        key="images_to_predict",
        help="one or more image files; they are not stored",
    )
    images = [Upload(file.name, file.file_id, file.getvalue()) for file in files]
    if st.checkbox("Use the webcam", key="webcam"):
        photo = st.camera_input("Webcam image", key="camera")
        if photo is not None:
            content = photo.getvalue()
            digest = hashlib.sha256(content).hexdigest()
            images.append(Upload("webcam.jpg", digest, content))
    return images


def _show_evaluate(run: RunState, root: Path) -> None:
    st.write("Accuracy, confusion matrix and calibration on labelled images of the same classes.")
    own = "Data of the run"
    choice = st.radio("Evaluate on", (own, "Other data"), key="evaluate_on", horizontal=True)
    data_words: tuple[str, ...] = ()
    if choice != own:
        data, data_words = data_source.select_data(root)
        if not data_words:
            st.info("Choose the images.")
            return
        data_words = ("--data", *data_words, *_select_split(data))
    has_map = st.checkbox(
        "Draw a map of the images",
        key="draw_map",
        help="up to 1,000 of them in two dimensions, by the features of the model, with thumbnails "
        "of those that are predicted wrongly; takes some seconds",
    )
    words = [str(run.path), *data_words, *(("--map",) if has_map else ())]
    add_arguments = evaluate.add_arguments
    script_runner.show("evaluate", add_arguments, check_evaluation, words, "Evaluate")
    evaluation.show(run.path)


def _select_split(data: str) -> tuple[str, ...]:
    """Choose all images or the test split, which is the default of a known data set."""
    is_known = data not in registry.OF_PATH
    split = st.radio(
        "Images of this data",
        (ALL, TEST),
        index=int(is_known),
        format_func=lambda split: SPLITS[split],
        key=f"split {is_known}",
        horizontal=True,
    )
    return ("--split", ALL) if split == ALL else ()


def _show_export(run: RunState) -> None:
    st.write("The model for another program: pixels in, probabilities out, compared with Keras.")
    usable = [name for name, form in FORMATS.items() if _is_installed(form.packages.values())]
    form = st.selectbox("Format", usable, key="export_format")
    words = [str(run.path), "--format", form]
    script_runner.show("export", export.add_arguments, preflight.check_export, words, "Export")
    folder = run.path / "export" / form
    if (folder / preflight.EXPORT).is_file():
        name = f"{run.path.name}-{form}.zip"
        st.download_button("Download", lambda: archive.zip_bytes(folder), name, "application/zip")
    missing = [name for name in FORMATS if name not in usable]
    if missing:
        st.write(f"Formats whose packages are not installed: {', '.join(missing)}.")


def _is_installed(modules: Iterable[str]) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)
