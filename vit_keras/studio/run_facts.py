"""A run's settings and architecture: its own files, and its layers as a drawing."""

from pathlib import Path

import streamlit as st

from vit_keras import run_tables
from vit_keras.run import CONFIG
from vit_keras.run_description import describe
from vit_keras.run_state import RunState
from vit_keras.saved_run import MODEL
from vit_keras.studio import diagram
from vit_keras.studio.plain import errors_shown

HEIGHT = 400  # pixels of a file that is shown


def show(run: RunState) -> None:
    """Folded, one below the other."""
    with st.expander("Description"), errors_shown():
        st.code(run_tables.description(describe(str(run.path))), language=None, height=HEIGHT)
    _file(run.path / CONFIG, "Settings", "yaml")
    _file(run.path / "model_summary.txt", "Table of layers", None)
    with st.expander("Diagram of the layers"), errors_shown():
        st.graphviz_chart(diagram.dot(run.path / MODEL))


def _file(file: Path, title: str, language: str | None) -> None:
    with st.expander(title), errors_shown():
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            st.code(text, language=language, height=HEIGHT)
        else:
            st.write(f"This run has no {file.name}.")
