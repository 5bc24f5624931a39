"""Choose the images: a known set, a folder, files from the browser, a table, a file of arrays."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vit_keras.config.fields import options
from vit_keras.config.quoting import local_path, quote_override
from vit_keras.config.schema import MULTILABEL
from vit_keras.data.registry import OF_PATH
from vit_keras.predict.tables import SUFFIXES as TABLES
from vit_keras.studio.components import browse, kept_values, known_sets, setting_inputs, uploads
from vit_keras.studio.jobs.command import as_typed

KNOWN_SET, FOLDER, UPLOAD, TABLE, ARRAYS = KINDS = (
    "A known data set",
    "A folder on this computer",
    "Files from this browser",
    "A table of images and labels",
    "A file of arrays (.npz)",
)
FILES = (FOLDER, UPLOAD, TABLE)  # images that are files on this computer
KIND = "images"  # slot of the kind
FIELDS = {FOLDER: "folder", TABLE: "csv", ARRAYS: "npz"}  # slots of the paths
FOLDER_SETTINGS = ("data.layout", "data.missing_classes", "data.suffixes", "data.follow_links")
COLUMNS = (
    *("data.image_column", "data.label_column", "data.label_separator", "data.split_column"),
    *("data.group_column", "data.follow_links"),
)


def select_data(root: Path, kinds: tuple[str, ...] = KINDS) -> tuple[str, tuple[str, ...]]:
    """The name of the chosen data and its overrides, which are empty until a choice is complete."""
    # All pages share one choice; one that a page cannot use stays as it is.
    is_shared = kept_values.values().get(KIND, KNOWN_SET) in kinds
    slot = KIND if is_shared else f"{KIND} of files"
    kind = kept_values.control(st.radio, "Images", slot, kinds[0], options=kinds, horizontal=True)
    if kind == KNOWN_SET:
        return known_sets.select()
    if kind == ARRAYS:
        path = _select_path("Path of the file", "npz", "data/arrays.npz", suffixes=(".npz",))
        return "npz", _path_overrides("npz", path)
    if kind == TABLE:
        path = _select_path(
            "Path of the table",
            "csv",
            "photos/labels.csv",
            "CSV, Parquet, JSON lines, or an export of COCO or Label Studio; paths in it are "
            "relative to its folder",
            TABLES,
        )
        return "csv", _overrides_with("csv", path, COLUMNS, "How the table is read")
    if kind == UPLOAD:
        return "folder", _folder_overrides(uploads.select_upload(root))
    path = _select_path(
        "Path of the folder",
        "folder",
        "photos",
        "with a sub-folder for each class, or with train/, val/ and test/ of such folders",
    )
    return "folder", _folder_overrides(path)


def _select_path(
    label: str, slot: str, placeholder: str, help: str = "", suffixes: Sequence[str] = ()
) -> str:
    """A path that is typed, or chosen in a dialog."""
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    with left:
        typed = kept_values.control(
            st.text_input, label, slot, "", placeholder=placeholder, help=help or None
        )
    with right:
        browse.button(slot, suffixes)
    return local_path(typed)


def choose_table(path: Path, words: Sequence[str]) -> None:
    """Have the forms of the other pages begin with a table, read as the overrides say."""
    choose(["data=csv", f"data.path={quote_override(path)}", *words])


def choose(words: Sequence[str]) -> None:
    """Have the forms of all pages begin with the data that overrides name.

    Args:
        words: `data=folder`, `data.path=photos` and how they are read.
    """
    typed = as_typed(words)
    name = typed.pop("data", "digits")
    path = typed.pop("data.path", "")
    name = typed.pop("data.name", name)
    kind = {"folder": FOLDER, "csv": TABLE, "npz": ARRAYS}.get(name, KNOWN_SET)
    chosen = {KIND: kind, FIELDS.get(kind, "set"): path if kind in FIELDS else name}
    if upload := uploads.name_of(path):
        chosen = {KIND: UPLOAD, uploads.SLOT: upload}
    if kind == KNOWN_SET and name not in known_sets.names():
        chosen |= {"set": known_sets.OTHER, "tfds": name}
    kept_values.put(
        {
            **chosen,
            **{setting_inputs.slot_of(f"{path} ", one): text for one, text in typed.items()},
            f"several labels {name}": typed.get("task") == MULTILABEL,
        }
    )


def select_task(data: str) -> tuple[str, ...]:
    """Choose whether images have several labels, where data of this name can have them."""
    if data not in OF_PATH:
        return ()
    several = kept_values.control(
        st.checkbox,
        "An image can have several labels",
        f"several labels {data}",
        False,
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
