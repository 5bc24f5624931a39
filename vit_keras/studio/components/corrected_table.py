"""Write the decisions on an audit as a new table, and go on to train on it."""

import os
import shlex
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vit_keras.evaluation import audit_source, relabel
from vit_keras.evaluation.audit_source import Source
from vit_keras.evaluation.relabel import Relabelled
from vit_keras.studio.components import data_source, training_choice
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs.command import command_line

WRITTEN = "written table"  # session key of the last table of each audit


def show(folder: Path, source: Source | None, training: StreamlitPage) -> None:
    """Choose a name, write the table, and show the command that trains on it."""
    st.write(
        "A new table of paths and labels, without the images that are left out. Images that are "
        "undecided have the label that they had."
    )
    tables: dict[str, Relabelled] = st.session_state.setdefault(WRITTEN, {})
    written = tables.get(folder.name)
    default = str(_free_file(folder, source))
    output = st.text_input(
        "Path of the new table",
        default,
        key=f"new table {default}",
        help="a .csv that is not there yet; beside the images, so that they can be moved together",
    ).strip()
    words = (str(folder), "--output", output)
    st.code(command_line("relabel", words), language=None, wrap_lines=True)
    if st.button("Write the new table", type="primary", key="write_table"):
        with show_errors():
            tables[folder.name] = relabel.relabel(folder, Path(output))
            st.rerun()
    if written is not None:
        _show_written(written, training)


def _free_file(folder: Path, source: Source | None) -> Path:
    """A new file beside the table or the folder that was audited, or beside the audit's files."""
    place = folder / folder.name
    if source is not None:
        place = Path(str(audit_source.data_config(source.data).path))
    stem, number = place.with_name(f"{place.stem}_corrected"), 1
    while os.path.lexists(file := Path(f"{stem}.csv" if number == 1 else f"{stem}_{number}.csv")):
        number += 1
    return file


def _show_written(written: Relabelled, training: StreamlitPage) -> None:
    show = st.warning if written.not_found else st.success
    show(escape_markdown(f"{written.file}: {written}. Train on it:"))
    st.code(shlex.join(relabel.training_words(written)), language=None, wrap_lines=True)
    if st.button("Use it on the Training page", key="train_on_table"):
        data_source.choose_table(written.file, written.words)
        st.session_state[training_choice.TO_OPEN] = training_choice.NEW
        st.switch_page(training)
