"""The Inference page: predict images with a run, evaluate it, and export it."""

import hashlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.cli import evaluate, export
from vit_keras.data import registry
from vit_keras.data.readers.layout_names import SCIENTIFIC, SUFFIXES
from vit_keras.evaluation.preflight import ALL, TEST, check_evaluation
from vit_keras.export import preflight
from vit_keras.export.formats import FORMATS
from vit_keras.runs import archive, tables
from vit_keras.runs.run_dir import read_json
from vit_keras.runs.status import RunState
from vit_keras.studio.components import (
    data_source,
    evaluation,
    figures,
    predictions,
    run_details,
    run_table,
    script_runner,
    tiles,
)
from vit_keras.studio.components.display import short_path, show_errors
from vit_keras.studio.components.gallery import Upload
from vit_keras.studio.jobs.command import as_typed, command_line
from vit_keras.studio.worker.client import worker

SPLITS = {ALL: "All images", TEST: "Test split, or 20% of the images if there is none"}
OWN, OTHER = "Test split of the training data", "Other data"
TABS = ("Predict", "Evaluate", "Export", "Run details")
SERVED_AT = "http://127.0.0.1:8000"  # where `vit-keras serve` listens by default
TO_OPEN = "inference_tab"  # session key: the tab that is opened when the page is drawn next


def show(root: Path) -> None:
    """Show the page below its title."""
    with show_errors():
        run = run_table.select_run(root)
        if run is None:
            return
        if st.session_state.get("warm_run") != run.path:  # not at every click
            st.session_state["warm_run"] = run.path
            worker("models").warm_up("open", run=str(run.path))
        if TO_OPEN in st.session_state:
            st.session_state["tabs of inference"] = st.session_state.pop(TO_OPEN)
        tabs = st.tabs(TABS, key="tabs of inference", on_change="rerun")
        for tab, draw in zip(tabs, (_show_predict, _show_evaluate, _show_export), strict=False):
            with tab, show_errors():
                draw(run, root)
        with tabs[-1], show_errors():
            run_details.show(run)


def _show_predict(run: RunState, root: Path) -> None:
    images = _upload_images()
    tile_settings = tiles.edit_settings()
    if images:
        with show_errors():
            if tile_settings is None:
                predictions.show(run, images)
            else:
                tiles.show(run, images, tile_settings)
    predictions.show_history()
    _go_on("Evaluate", "Next: evaluate it", "how often it is right, on labelled images")


def _go_on(tab: str, label: str, help: str) -> None:
    """A button at the end of a tab that opens the next one."""
    st.divider()
    if st.button(label, key=f"next {tab}", help=help):
        st.session_state[TO_OPEN] = tab
        st.rerun()


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
    st.write(
        "Accuracy, confusion matrix and calibration on labelled images of the same classes, which "
        "the model was not trained on."
    )
    choice = st.radio("Evaluate on", (OWN, OTHER), key="evaluate_on", horizontal=True)
    data_words: tuple[str, ...] = ()
    split = TEST
    if choice == OTHER:
        data, data_words = data_source.select_data(root)
        if not data_words:
            st.info("Choose the images.")
            return
        split = _select_split(data)
        data_words = ("--data", *data_words, *(("--split", ALL) if split == ALL else ()))
    has_map = st.checkbox(
        "Draw a map of the images",
        key="draw_map",
        help="up to 1,000 of them in two dimensions, by the features of the model, with thumbnails "
        "of those that are predicted wrongly; takes some seconds",
    )
    words = [str(short_path(run.path)), *data_words, *(("--map",) if has_map else ())]
    add_arguments = evaluate.add_arguments
    if script_runner.show("evaluate", add_arguments, check_evaluation, words, "Evaluate"):
        evaluation.show(run.path, lambda report: _is_of(report, data_words, split))
    _go_on("Export", "Next: export it", "the model for another program, a phone or a web service")


def _is_of(report: dict[str, Any], words: tuple[str, ...], split: str) -> bool:
    """Whether an evaluation is of the data that are chosen: others are not shown below them."""
    data = report["data"]
    if not words:
        return bool(data.get("is_the_runs_own", True))
    chosen = as_typed(word for word in words[1:] if word.startswith("data"))
    name = chosen.get("data.name", chosen["data"])
    places = chosen.get("data.path"), data.get("path")
    place, there = (one and os.path.abspath(os.path.expanduser(one)) for one in places)
    return (name, place, split) == (data.get("name"), there, data.get("split", TEST))


def _select_split(data: str) -> str:
    """Choose all images or the test split, which is the default of a known data set."""
    is_known = data not in registry.OF_PATH
    return st.radio(
        "Images of this data",
        (ALL, TEST),
        index=int(is_known),
        format_func=lambda split: SPLITS[split],
        key=f"split {is_known}",
        horizontal=True,
    )


def _show_export(run: RunState, root: Path) -> None:
    st.write(
        "The model as a file for another program, which gives it an image and gets the probability "
        "of each class. The file is tried on images of the test split: its answers should be those "
        "that the model gives here, in Keras."
    )
    usable = [name for name, form in FORMATS.items() if _is_installed(form.packages.values())]
    form = st.selectbox(
        "Format",
        usable,
        index=usable.index("onnx") if "onnx" in usable else 0,
        format_func=lambda name: f"{name}: {FORMATS[name].purpose}",
        key="export_format",
    )
    words = [str(short_path(run.path)), "--format", form]
    folder = run.path / "export" / form
    is_there = (folder / preflight.EXPORT).is_file()
    script_runner.show(
        "export",
        export.add_arguments,
        preflight.check_export,
        words,
        "Export",
        is_next=not is_there,
    )
    if is_there:
        with show_errors():
            _show_exported(run, folder)
    missing = [name for name in FORMATS if name not in usable]
    if missing:
        st.write(f"Formats whose packages are not installed: {', '.join(missing)}.")
    _show_serving(run)


def _show_serving(run: RunState) -> None:
    """How the model is put to use without the studio."""
    st.divider()
    st.markdown("**Serve it**")
    st.write(
        "In a terminal, this command answers requests of other programs, and is a page to drop "
        f"images on at `{SERVED_AT}`. It exports to ONNX first where that was not done."
    )
    st.code(command_line("serve", (str(short_path(run.path)),)), language=None, wrap_lines=True)
    st.write("This one classifies every image in a folder and writes a table of the classes:")
    words = (str(short_path(run.path)), "photos", "--output", "classes.csv")
    st.code(command_line("predict", words), language=None, wrap_lines=True)


def _show_exported(run: RunState, folder: Path) -> None:
    """What an export was measured to be, and a button to download it."""
    report = read_json(folder / preflight.EXPORT)
    shown = {
        "Size": tables.format_size(int(report.get("bytes", 0))),
        "Same class as Keras": _same(report),
        "Largest difference of probabilities": _number(report.get("max_difference")),
    }
    for column, (label, text) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, text or "not measured")
    name = f"{run.path.name}-{folder.name}.zip"
    st.download_button(
        "Download", lambda: archive.zip_bytes(folder), name, "application/zip", type="primary"
    )


def _same(report: dict[str, Any]) -> str:
    share = report.get("top1_agreement")
    return "" if share is None else figures.percent(share, report.get("images"))


def _number(value: float | None) -> str:
    return "" if value is None else figures.number(value)


def _is_installed(modules: Iterable[str]) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)
