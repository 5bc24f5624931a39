"""Predict large images by tiles, and show the map of each."""

import base64
from typing import Any

import streamlit as st

from vit_keras.data.image_formats import MIN_SIDE
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.predict.tiles import COMBINE, MAX_OVERLAP, OVERLAP
from vit_keras.runs import saved_run
from vit_keras.runs.status import RunState
from vit_keras.studio.components import display, predictions
from vit_keras.studio.components.display import escape_markdown, table
from vit_keras.studio.components.gallery import Upload
from vit_keras.studio.components.prediction_detail import BARS
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png

RESULTS = "tile_results"  # session key of the maps so far


def edit_settings() -> dict[str, Any] | None:
    """The settings of tiles; None to predict images whole."""
    if not st.checkbox(
        "Cut into tiles",
        key="cut_into_tiles",
        help="for images far larger than the model's input: each tile is predicted, and shown on "
        "a map",
    ):
        return None
    left, middle, right = st.columns(3)
    return {
        "tile_size": left.number_input(
            "Tile height in pixels",
            min_value=MIN_SIDE,
            value=None,
            step=1,
            placeholder="that of the model's input",
            key="tile_size",
        ),
        "overlap": middle.number_input(
            "Overlap",
            0.0,
            MAX_OVERLAP,
            OVERLAP,
            key="overlap",
            help="fraction of a tile that the next one covers too, at least",
        ),
        "combine": right.selectbox(
            "Combine",
            COMBINE,
            key="combine",
            help="the class of the image: by the mean of its tiles' probabilities, or by the "
            "largest, which finds what is in a few tiles",
        ),
    }


def show(run: RunState, images: list[Upload], settings: dict[str, Any]) -> None:
    """Show the class of each image and the map of its tiles."""
    results: dict[tuple, dict[str, Any]] = st.session_state.setdefault(RESULTS, {})
    versions = saved_run.file_versions(run.path)
    for image in images:
        key = (run.name, versions, image.id, *settings.values())
        if key not in results:
            with st.spinner("predicting the tiles; the model is opened first"):
                results[key] = _predict(run, image, settings)
        _show_image(image, results[key])


def _predict(run: RunState, image: Upload, settings: dict[str, Any]) -> dict[str, Any]:
    file = base64.b64encode(image.content).decode("ascii")
    found: dict[str, Any] = worker("models").call(
        "tiles", run=str(run.path), image=file, **settings
    )
    if "unreadable" not in found:
        top = tuple(Candidate(*candidate) for candidate in found["top"])
        predictions.add_to_history(run, Prediction(image.name, top))
    return found


def _show_image(image: Upload, found: dict[str, Any]) -> None:
    name = escape_markdown(image.name)
    if "unreadable" in found:
        st.error(f"{name} cannot be predicted by tiles: {escape_markdown(found['unreadable'])}")
        return
    label, _, confidence = found["top"][0]
    st.subheader(f"{name}: {escape_markdown(label)}, {confidence:.1%}")
    (rows, columns), (height, width) = found["grid"], found["tile"]
    caption = f"{rows} x {columns} tiles of {height} x {width} pixels"
    display.show_image(decode_png(found["map"]), caption)
    with st.expander(f"Confidence of the classes of {name}"):
        shown = [(label, f"{confidence:.4f}") for label, _, confidence in found["top"][:BARS]]
        st.markdown(table([("class", "confidence"), *shown]))
