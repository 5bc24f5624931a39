"""Choose a known data set, and download one that is not there."""

from typing import Any

import streamlit as st

from vit_keras.cli import get_data
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import DataConfig
from vit_keras.data import download
from vit_keras.data.readers import tfds_index
from vit_keras.data.registry import READERS, WELL_KNOWN
from vit_keras.studio.components import kept_values, script_runner
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.command import group_choices

OTHER = "another set of TensorFlow Datasets"


def names() -> list[str]:
    """The well-known data sets, and those that are there."""
    return list(dict.fromkeys([*WELL_KNOWN, *_prepared()]))


def select() -> tuple[str, tuple[str, ...]]:
    """The name of the chosen data set, and its overrides; none while it is not there."""
    here = {*READERS, *_prepared()}
    known = [*names(), OTHER]
    name: Any = kept_values.control(
        st.selectbox,
        "Data set",
        "set",
        known[0],
        options=known,
        format_func=lambda name: name if name in (OTHER, *here) else f"{name} (not downloaded)",
    )
    if name == OTHER:
        name = kept_values.control(
            st.text_input,
            "Name in TFDS",
            "tfds",
            "",
            placeholder="fashion_mnist",
            help="a data set of image classification, of www.tensorflow.org/datasets",
        ).strip()
    if not name:
        return "tfds", ()
    if name not in here and tfds_index.prepared(DataConfig(name=name)) is None:
        _show_download(name)
        return name, ()
    if name in group_choices("data"):
        return name, (f"data={name}",)
    return name, ("data=tfds", f"data.name={quote_override(name)}")


def _prepared() -> list[str]:
    return [name.partition(":")[0] for name, counts in download.prepared().items() if counts]


def _show_download(name: str) -> None:
    tfds_index.check_listed(name)
    root = tfds_index.tfds_root(DataConfig(name=name))
    st.info(
        escape_markdown(
            f"{name} is not on this computer. It is downloaded once, into {root}, which needs a "
            "network."
        )
    )
    script_runner.show("get-data", get_data.add_arguments, lambda _: None, [name], "Download")
