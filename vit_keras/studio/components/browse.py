"""A dialog to choose a folder or a file of the computer that the studio runs on."""

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.studio.components import kept_values
from vit_keras.studio.components.display import escape_markdown
from vit_keras.text import counted

ROOTS = "browse_roots"  # session key: the folders that the dialog may look into
HERE = "browse_here"  # session key: the folder that it shows
UP = ".."


def button(slot: str, suffixes: Sequence[str] = ()) -> None:
    """A button that opens the dialog; what is chosen is the value of a kept control.

    Args:
        slot: of the control, a text field for a path.
        suffixes: endings of the files to choose; none to choose a folder.
    """
    if st.button("Browse", key=f"browse {slot}"):
        st.session_state[HERE] = _start(str(kept_values.values().get(slot, "")))
        _dialog(slot, tuple(suffixes))


def roots() -> list[Path]:
    """The folders that the dialog may look into."""
    return [Path(path) for path in st.session_state.get(ROOTS, ())]


def is_allowed(path: Path) -> bool:
    """Whether a path is in one of the roots, wherever its links lead."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots())


def _start(typed: str) -> Path:
    """The folder that was typed, or the one that holds it; else the first root."""
    path = Path(typed).expanduser().absolute()
    for folder in (path, path.parent):
        if typed and folder.is_dir() and is_allowed(folder):
            return folder
    return next(iter(roots()), Path.cwd())


@st.dialog("Choose from this computer", width="large")
def _dialog(slot: str, suffixes: tuple[str, ...]) -> None:
    here: Path = st.session_state[HERE]
    if len(roots()) > 1:
        _select_root(here)
    st.markdown(f"**{escape_markdown(here)}**")
    try:
        folders, files = _entries(here, suffixes)
    except OSError as error:
        st.error(escape_markdown(f"{here} cannot be listed ({error.strerror})"))
        folders, files = [], []
    up = [UP] if is_allowed(here.parent) and here.parent != here else []
    opened = st.selectbox(
        "Open a folder",
        ["", *up, *folders],
        key=f"browse in {here}",
        format_func=lambda name: {UP: "one folder up", "": "stay in this folder"}.get(name, name),
    )
    if opened:
        st.session_state[HERE] = here.parent if opened == UP else here / opened
        st.rerun(scope="fragment")
    if not suffixes:
        st.write(f"{counted(len(folders), 'sub-folder[s]')}, {counted(len(files), 'file[s]')}")
        if st.button("Choose this folder", type="primary", key="choose_folder"):
            _choose(slot, here)
        return
    file = st.selectbox("File", files, index=None, key=f"files in {here}")
    if st.button("Choose this file", type="primary", disabled=not file, key="choose_file"):
        _choose(slot, here / str(file))


def _select_root(here: Path) -> None:
    current = next((root for root in roots() if here.is_relative_to(root)), roots()[0])
    root = st.selectbox("Begin in", roots(), index=roots().index(current), key=f"root of {here}")
    if root != current:
        st.session_state[HERE] = root
        st.rerun(scope="fragment")


def _entries(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The names of the visible folders and files in a folder, sorted; of all files by default."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if not entry.is_symlink() or is_allowed(Path(entry.path)):
                    folders.append(entry.name)
            elif not suffixes or entry.name.lower().endswith(suffixes):
                files.append(entry.name)
    return sorted(folders, key=str.casefold), sorted(files, key=str.casefold)


def _choose(slot: str, path: Path) -> None:
    kept_values.put({slot: str(path)})
    st.rerun()
