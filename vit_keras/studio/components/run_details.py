"""A model's layers as a drawing, read from its file: Keras is not needed for that.

A run's settings and architecture: its own files, and its layers as a drawing.
"""

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
from vit_keras.studio.components.display import show_errors
from vit_keras.text import first_line

MANY_LAYERS = 60  # layers; more cannot be read on a page


def dot(file: Path) -> str:
    """A `.keras` file as a graph in Graphviz' language, from the pixels down to the logits.

    Raises:
        SettingError: it is damaged, or no functional model of few enough layers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        nodes = [f"{_quoted(layer['name'])} [label={_label(layer)}]" for layer in layers]
        edges = [
            f"{_quoted(a)} -> {_quoted(layer['name'])}" for layer in layers for a in _inputs(layer)
        ]
    except (*UNREADABLE, TypeError) as error:
        raise SettingError(
            f"{file.name} says nothing of its layers ({first_line(error)}); the table has them"
        ) from None
    if len(nodes) > MANY_LAYERS:
        raise SettingError(f"{len(nodes)} layers are too many for a drawing; the table has them")
    # Grey lines and filled boxes can be seen on a light page and on a dark one.
    look = (
        'bgcolor="transparent"; '
        'node [shape=box, style="rounded,filled", fillcolor="#e8eefc", fontcolor="#111111", '
        'color="#808080", fontname="sans-serif"]; edge [color="#808080"]'
    )
    return f"digraph {{ {look}; {'; '.join([*nodes, *edges])} }}"


def _label(layer: dict[str, Any]) -> str:
    shape = layer["config"].get("batch_shape")
    size = f"\n{' x '.join(map(str, shape[1:]))}" if shape else ""
    return _quoted(f"{layer['name']}\n{layer['class_name']}{size}")


def _inputs(layer: dict[str, Any]) -> list[str]:
    """The names of the layers that it takes its tensors from, each once."""
    found = _histories(layer.get("inbound_nodes", []))
    return list(dict.fromkeys(found))


def _histories(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "keras_history" in value:
            yield str(value["keras_history"][0])
        for item in value.values():
            yield from _histories(item)
    elif isinstance(value, list):
        for item in value:
            yield from _histories(item)


def _quoted(text: str) -> str:
    """A text of Graphviz' language; its quotes and newlines are written as in JSON."""
    return json.dumps(text, ensure_ascii=False)


HEIGHT = 400  # pixels of a file that is shown


def show(run: RunState) -> None:
    """Folded, one below the other."""
    with st.expander("Description"), show_errors():
        st.code(tables.description_text(describe(str(run.path))), language=None, height=HEIGHT)
    _file(run.path / CONFIG, "Settings", "yaml")
    _file(run.path / "model_summary.txt", "Table of layers", None)
    with st.expander("Diagram of the layers"), show_errors():
        st.graphviz_chart(dot(run.path / MODEL))


def _file(file: Path, title: str, language: str | None) -> None:
    with st.expander(title), show_errors():
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            st.code(text, language=language, height=HEIGHT)
        else:
            st.write(f"This run has no {file.name}.")
