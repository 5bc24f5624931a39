"""Choose the images: a known set, a folder, a table, a file of arrays, a zip from the browser."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.config.fields import Option, options
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import MULTILABEL
from vit_keras.data import download, unzip_images
from vit_keras.data.registry import OF_PATH, WELL_KNOWN
from vit_keras.io import zip_files
from vit_keras.studio.components import setting_inputs
from vit_keras.studio.components.display import escape_markdown, table
from vit_keras.studio.jobs.command import group_choices
from vit_keras.studio.jobs.queue import STUDIO
from vit_keras.text import counted

KNOWN_SET, FOLDER, ZIP, TABLE, ARRAYS = KINDS = (
    "A known data set",
    "A folder on this computer",
    "A zip from this browser",
    "A table of images and labels",
    "A file of arrays (.npz)",
)
FILES = (FOLDER, ZIP, TABLE)  # images that are files on this computer
UNPACKING = threading.Lock()
OTHER = "another set of TensorFlow Datasets"
MANY = 50  # files that are listed
FOLDER_SETTINGS = ("data.layout", "data.missing_classes", "data.suffixes", "data.follow_links")
COLUMNS = (
    *("data.image_column", "data.label_column", "data.label_separator", "data.split_column"),
    *("data.group_column", "data.follow_links"),
)


def select_data(root: Path, kinds: tuple[str, ...] = KINDS) -> tuple[str, tuple[str, ...]]:
    """The name of the chosen data and its overrides, which are empty until a choice is complete."""
    # Keys of their own where the form is another one: `choose_table` sets those of this one.
    own = "" if kinds == KINDS else " of files"
    kind = st.radio("Images", kinds, key=f"images{own}")
    if kind == KNOWN_SET:
        return _select_known()
    if kind == ARRAYS:
        path = st.text_input("Path of the file", key="npz", placeholder="data/arrays.npz")
        return "npz", _path_overrides("npz", path)
    if kind == TABLE:
        path = st.text_input(
            "Path of the table",
            key=f"csv{own}",
            placeholder="photos/labels.csv",
            help="CSV, Parquet, JSON lines, or an export of COCO or Label Studio; paths in it are "
            "relative to its folder",
        )
        return "csv", _overrides_with("csv", path, COLUMNS, "How the table is read")
    if kind == FOLDER:
        path = st.text_input(
            "Path of the folder",
            key="folder",
            placeholder="photos",
            help="with a sub-folder for each class, or with train/, val/ and test/ of such folders",
        )
        return "folder", _folder_overrides(path)
    return "folder", _folder_overrides(_unpack_upload(root))


def choose_table(path: Path, words: Sequence[str]) -> None:
    """Have the forms of the other pages begin with a table, read as the overrides say."""
    st.session_state["images"], st.session_state["csv"] = TABLE, str(path)
    settings = {name: options()[name] for name in COLUMNS}
    for name, _, value in (word.partition("=") for word in words):
        if name in settings:
            typed = value == "true" if settings[name].kind == "switch" else value.strip('"')
            st.session_state[_key_of(str(path), settings[name])] = typed


def _key_of(path: str, option: Option) -> str:
    """The key of the control that `_overrides_with` shows for a setting."""
    return setting_inputs.key_of(option.name, option.default, f"{path} ")


def select_task(data: str) -> tuple[str, ...]:
    """Choose whether images have several labels, where data of this name can have them."""
    if data not in OF_PATH:
        return ()
    several = st.checkbox(
        "An image can have several labels",
        key=f"several labels {data}",
        help=f"`task={MULTILABEL}`: {options()['task'].help}",
    )
    return (f"task={MULTILABEL}",) if several else ()


def _folder_overrides(path: str) -> tuple[str, ...]:
    return _overrides_with("folder", path, FOLDER_SETTINGS, "How the folder is read")


def _overrides_with(data: str, path: str, names: tuple[str, ...], title: str) -> tuple[str, ...]:
    """The path, and how it is read: the answers to what its names leave open."""
    words = _path_overrides(data, path)
    if not words:
        return ()
    settings = [(options()[name], options()[name].default) for name in names]
    with st.expander(title):
        return (*words, *setting_inputs.edit_settings(settings, f"{path} "))


def _path_overrides(name: str, path: str) -> tuple[str, ...]:
    return (f"data={name}", f"data.path={quote_override(path.strip())}") if path.strip() else ()


def _select_known() -> tuple[str, tuple[str, ...]]:
    prepared = [name.partition(":")[0] for name, counts in download.prepared().items() if counts]
    names = list(dict.fromkeys([*WELL_KNOWN, *prepared, OTHER]))
    name: Any = st.selectbox("Data set", names, key="set")
    if name == OTHER:
        name = st.text_input("Name in TFDS", key="tfds", placeholder="fashion_mnist").strip()
    if not name:
        return "tfds", ()
    if name in group_choices("data"):
        return name, (f"data={name}",)
    return name, ("data=tfds", f"data.name={quote_override(name)}")


def _unpack_upload(root: Path) -> str:
    """Upload a zip and unpack it once; the folder, which depends on the content of the zip."""
    file = st.file_uploader(
        "A zip with a folder for each class",
        type="zip",
        key="zip",
        help="links and paths outside the zip are refused; use a folder for larger data",
    )
    if file is None:
        return ""
    digest = hashlib.sha256(file.getbuffer()).hexdigest()
    uploads = root / STUDIO / "uploads"
    name = f"{zip_files.sanitized_name(Path(file.name).stem)[:40]}-{digest[:16]}"
    folder = next(uploads.glob(f"*-{digest[:16]}"), uploads / name)
    with st.spinner("unpacking"), UNPACKING:  # a click meanwhile runs the page in another thread
        if not (folder / unzip_images.MARK).exists():
            file.seek(0)
            unzip_images.unzip_images(file, folder)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    left_out = unzip_images.read_left_out(folder)
    st.markdown(
        f"{escape_markdown(', '.join(classes[:20]))}: unpacked into "
        f"`{STUDIO}/uploads/{folder.name}`"
    )
    if left_out:
        rows = [(file.name, file.reason) for file in left_out[:MANY]]
        with st.expander(counted(len(left_out), "file[s] of the zip [was|were] not unpacked")):
            st.markdown(table([("file", "reason"), *rows]))
    return str(folder)
