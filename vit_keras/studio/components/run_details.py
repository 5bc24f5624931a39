"""Description, settings, layer table and layer diagram of a run. Imports no Keras."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.runs import tables
from vit_keras.runs.describe import describe
from vit_keras.runs.run_dir import CONFIG
from vit_keras.runs.saved_run import MODEL
from vit_keras.runs.status import RunState
from vit_keras.studio.components.display import is_dark, show_errors
from vit_keras.text import first_line

HEIGHT = 400  # pixels of a text that scrolls
MAX_LAYERS = 60  # more cannot be read in a diagram
# Grey lines are visible on a light page and on a dark one; the boxes follow the page.
STYLE = (
    'bgcolor="transparent"; '
    'node [shape=box, style="rounded,filled", {boxes}, '
    'color="#808080", fontname="sans-serif"]; edge [color="#808080"]'
)
LIGHT = 'fillcolor="#e8eefc", fontcolor="#111111"'
DARK = 'fillcolor="#26324d", fontcolor="#f5f5f5"'


def show(run: RunState) -> None:
    """Show the details in expanders, one below the other."""
    with st.expander("Description"), show_errors():
        st.code(tables.description_text(describe(str(run.path))), language=None, height=HEIGHT)
    _show_file(run.path / CONFIG, "Settings", "yaml")
    _show_file(run.path / "model_summary.txt", "Table of layers", None)
    with st.expander("Diagram of the layers"), show_errors():
        st.graphviz_chart(layer_diagram(run.path / MODEL, is_dark()))


def _show_file(file: Path, title: str, language: str | None) -> None:
    with st.expander(title), show_errors():
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            st.code(text, language=language, height=HEIGHT)
        else:
            st.write(f"This run has no {file.name}.")


def layer_diagram(file: Path, has_dark_page: bool = False) -> str:
    """The layers of a `.keras` file as a graph in the DOT language, from input to output.

    Args:
        file: the model.
        has_dark_page: whether the boxes are dark, too.

    Raises:
        SettingError: the file is damaged, not a functional model, or has too many layers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        nodes = [f"{_quoted(layer['name'])} [label={_label(layer)}]" for layer in layers]
        edges = [
            f"{_quoted(source)} -> {_quoted(layer['name'])}"
            for layer in layers
            for source in _inputs(layer)
        ]
    except (*UNREADABLE, TypeError) as error:
        raise SettingError(
            f"the layers of {file.name} cannot be read ({first_line(error)}); see the table"
        ) from None
    if len(nodes) > MAX_LAYERS:
        raise SettingError(f"{len(nodes)} layers are too many for a diagram; see the table")
    style = STYLE.format(boxes=DARK if has_dark_page else LIGHT)
    return f"digraph {{ {style}; {'; '.join([*nodes, *edges])} }}"


def _label(layer: dict[str, Any]) -> str:
    shape = layer["config"].get("batch_shape")
    size = f"\n{' x '.join(map(str, shape[1:]))}" if shape else ""
    return _quoted(f"{layer['name']}\n{layer['class_name']}{size}")


def _inputs(layer: dict[str, Any]) -> list[str]:
    """Names of the layers whose outputs this layer takes, each once."""
    return list(dict.fromkeys(_source_layers(layer.get("inbound_nodes", []))))


def _source_layers(value: Any) -> Iterator[str]:
    """Names in the `keras_history` entries anywhere in a serialised call."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield str(value["keras_history"][0])
        for item in value.values():
            yield from _source_layers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _source_layers(item)


def _quoted(text: str) -> str:
    """A string of the DOT language, whose quotes and newlines are escaped as in JSON."""
    return json.dumps(text, ensure_ascii=False)
