"""A model's layers as a drawing, read from its file: Keras is not needed for that."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit_keras.archives import UNREADABLE, first_line
from vit_keras.errors import SettingError

MANY = 60  # layers; more cannot be read on a page


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
    if len(nodes) > MANY:
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
