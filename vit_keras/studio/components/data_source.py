"""Which images: a known set, a folder, a file of arrays, or a zip from the browser."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.config.overrides import quote_override
from vit_keras.data import download, unzip_images
from vit_keras.data.registry import WELL_KNOWN
from vit_keras.io import zip_files
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.command import group_choices
from vit_keras.studio.jobs.queue import STUDIO

KNOWN_SET, FOLDER, ZIP, ARRAYS = (
    "A known data set",
    "A folder on this computer",
    "A zip from this browser",
    "A file of arrays (.npz)",
)
UNPACKING = threading.Lock()
OTHER = "another set of TensorFlow Datasets"


def ask(root: Path) -> tuple[str, tuple[str, ...]]:
    """The name of the data, and the words that say where they are; without any, not chosen yet."""
    kind = st.radio("Images", (KNOWN_SET, FOLDER, ZIP, ARRAYS), key="images")
    if kind == KNOWN_SET:
        return _known()
    if kind == ARRAYS:
        path = st.text_input("Path of the file", key="npz", placeholder="data/arrays.npz")
        return "npz", _at("npz", path)
    if kind == FOLDER:
        path = st.text_input(
            "Path of the folder",
            key="folder",
            placeholder="photos",
            help="with a sub-folder for each class, or train/, val/ and test/ with those",
        )
        return "folder", _at("folder", path)
    return "folder", _at("folder", _zip(root))


def _at(name: str, path: str) -> tuple[str, ...]:
    return (f"data={name}", f"data.path={quote_override(path.strip())}") if path.strip() else ()


def _known() -> tuple[str, tuple[str, ...]]:
    here = [name.partition(":")[0] for name, counts in download.prepared().items() if counts]
    names = list(dict.fromkeys([*WELL_KNOWN, *here, OTHER]))
    name: Any = st.selectbox("Data set", names, key="set")
    if name == OTHER:
        name = st.text_input("Its name", key="tfds", placeholder="fashion_mnist").strip()
    if not name:
        return "tfds", ()
    if name in group_choices("data"):
        return name, (f"data={name}",)
    return name, ("data=tfds", f"data.name={quote_override(name)}")


def _zip(root: Path) -> str:
    """Unpack what was uploaded, once; gives the folder: of another name it is the same one."""
    file = st.file_uploader(
        "A zip with a folder for each class",
        type="zip",
        key="zip",
        help="links, and paths that lead out of it, are refused; larger ones go by a folder",
    )
    if file is None:
        return ""
    digest = hashlib.sha256(file.getbuffer()).hexdigest()
    uploads = root / STUDIO / "uploads"
    name = f"{zip_files.sanitized_name(Path(file.name).stem)[:40]}-{digest[:16]}"
    folder = next(uploads.glob(f"*-{digest[:16]}"), uploads / name)
    with st.spinner("unpacking"), UNPACKING:  # a click meanwhile draws the page beside this
        if not (folder / unzip_images.MARK).exists():
            file.seek(0)
            unzip_images.unzip_images(file, folder)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    st.markdown(
        f"{escape_markdown(', '.join(classes[:20]))}: unpacked into "
        f"`{STUDIO}/uploads/{folder.name}`"
    )
    return str(folder)
