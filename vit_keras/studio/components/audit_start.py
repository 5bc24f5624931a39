"""Start an audit of labelled images: `vit-keras audit` with what is chosen on the page."""

import os
from pathlib import Path

import streamlit as st

from vit_keras.cli import audit
from vit_keras.config.fields import options
from vit_keras.config.quoting import quote_override
from vit_keras.data import registry
from vit_keras.runs.saved_run import open_run
from vit_keras.studio.components import data_source, run_table, script_runner
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.command import override, to_text
from vit_keras.text import folder_name

A_RUN, WEIGHTS = "A run", "Pretrained weights"
OTHER, OWN = "Other images", "Images of the run"


def show(root: Path, audits: Path) -> None:
    """Choose a model and images, and start the audit."""
    kind = st.radio(
        "Features of",
        (A_RUN, WEIGHTS),
        key="features of",
        horizontal=True,
        help="A model that was not trained on these images finds more.",
    )
    words: tuple[str, ...] = ()
    if kind == WEIGHTS:
        model = st.text_input(
            "Pretrained weights",
            key="handle of weights",
            placeholder="hf:google/vit-base-patch16-224",
            help="a file, or an address as of `pretrained.handle`",
        ).strip()
    else:
        run = run_table.select_run(root)
        model = "" if run is None else str(run.path)
        if run and st.radio("Which images", (OTHER, OWN), key="audit of", horizontal=True) == OWN:
            words = words_of_run(run.path)
            if not words:
                return
    if not words:
        words = data_source.select_data(root, data_source.FILES)[1]
    if not words or not model:
        st.info("Choose the images and the model.")
        return
    output = audits / _free_name(audits, words)
    arguments = ["--data", *words, "--model", model, "--output", str(output)]
    script_runner.show("audit", audit.add_arguments, audit.check, arguments, "Find label errors")


def words_of_run(run: Path) -> tuple[str, ...]:
    """The overrides of a run's data; none, and a message, if they are no files of one label."""
    data = open_run(run).config.data
    if data.name not in registry.OF_FILES or data.several_labels:
        what = "several labels" if data.several_labels else f"{data.name}, which has no image files"
        st.info(escape_markdown(f"The run was trained on {what}; choose other images."))
        return ()
    names = data_source.FOLDER_SETTINGS if data.name == "folder" else data_source.COLUMNS
    words = [f"data={data.name}", f"data.path={quote_override(os.path.abspath(str(data.path)))}"]
    for name in names:
        option, value = options()[name], getattr(data, name.partition(".")[2])
        if value != option.default:
            words.append(override(name, option.kind, option.is_optional, to_text(value)))
    return tuple(words)


def _free_name(audits: Path, words: tuple[str, ...]) -> str:
    """A new name for an audit of these data: `photos`, `photos-2`."""
    path = next(word for word in words if word.startswith("data.path=")).partition("=")[2]
    stem, number = folder_name(Path(path.strip('"')).stem), 1
    while (audits / (name := stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return name
