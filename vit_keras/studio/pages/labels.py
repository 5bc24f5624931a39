"""The Labels page: find label errors, decide on each, and write a table of corrected labels.

<root>/.studio/audits/<name>/   what `vit-keras audit` writes, and the decisions on it
"""

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vit_keras.evaluation import audit_source, audit_table
from vit_keras.studio.components import audit_map, audit_review, audit_start, corrected_table
from vit_keras.studio.components.display import show_errors
from vit_keras.studio.jobs.queue import STUDIO

NEWEST = "newest_audit"  # session key: the name of the newest audit when the page was last drawn


def show(root: Path, training: StreamlitPage) -> None:
    """Show the page below its title; `training` is the page to train on the new table."""
    with show_errors():
        audits = root / STUDIO / "audits"
        found = _finished(audits)
        st.write(
            "Labels that are likely wrong, images unlike all others, near twins and ambiguous "
            "images: look at the first of each list, and decide. Your images and tables are not "
            "changed; the decisions become a new table to train on."
        )
        with st.expander("New audit", expanded=not found), show_errors():
            audit_start.show(root, audits)
        if found:
            folder = _select(audits, found)
            with show_errors():
                _show_audit(folder, training)


def _finished(audits: Path) -> list[str]:
    """The names of the finished audits, the newest first."""
    files = sorted(
        audits.glob(f"*/{audit_table.TABLE}"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    return [file.parent.name for file in files if not file.parent.name.startswith(".")]


def _select(audits: Path, names: list[str]) -> Path:
    """Choose an audit: at first the one in the page's address, and one that was just finished."""
    requested = st.query_params.get("audit", "")
    if st.session_state.get(NEWEST, names[0]) != names[0]:
        requested = names[0]
    st.session_state[NEWEST] = names[0]
    index = names.index(requested) if requested in names else 0
    name = st.selectbox(
        "Audit",
        names,
        index=index,
        # Another one after Back, which changes the address.
        key=f"audit {names[0]} {requested}",
        help="the newest first; `vit-keras audit`",
    )
    # Not when the page is opened: Back would only lead to the same page.
    if name != names[index] or requested != st.query_params.get("audit", ""):
        st.query_params["audit"] = name
    return audits / name


def _show_audit(folder: Path, training: StreamlitPage) -> None:
    rows = audit_table.read(folder)
    images, embeddings, table = st.tabs(["Images", "Map", "New table"])
    with images, show_errors():
        st.fragment(audit_review.show)(folder, rows)
    with embeddings, show_errors():
        audit_map.show(folder, rows)
    with table, show_errors():
        corrected_table.show(folder, audit_source.read(folder), training)
