"""Images from the browser: a zip, a folder or photos of one class; those that are there already."""

import time
from pathlib import Path

import streamlit as st

from vit_keras.data import unzip_images
from vit_keras.data.readers.layout_names import SUFFIXES
from vit_keras.studio.components import kept_values, upload_files
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.components.upload_files import Upload
from vit_keras.studio.jobs.queue import STUDIO
from vit_keras.text import counted

SLOT = "upload"  # of the kept values: the name of the chosen upload
NEW = ""  # in its place: a new one
ZIP, FOLDER, PHOTOS = WAYS = ("A zip", "A folder", "Photos of one class")
MANY = 50  # files that are listed
LEFT_OUT = "left_out"  # session key: an upload, and the files that were not added to it last
ROUND = "upload_round"  # session key: a number in the keys of the uploaders, which empties them
IN_MEMORY = "The studio holds what is uploaded in memory until it is written to its folder."


def select_upload(root: Path) -> str:
    """The folder of the chosen upload; empty until there is one."""
    known = {upload.name: upload for upload in upload_files.list_uploads(root)}
    name = kept_values.control(
        st.selectbox,
        "Upload",
        SLOT,
        NEW,
        options=[NEW, *known],
        format_func=lambda name: _described(known[name]) if name else "New upload",
    )
    with st.container(border=True, key="uploads"):
        if not name:
            with show_errors():
                _show_new(root)
            return ""
        _show_upload(root, known[name])
    return str(upload_files.folder_of(root) / name)


def name_of(path: str) -> str:
    """The name of the upload that a path leads to; empty if it leads elsewhere."""
    folder = Path(path)
    return folder.name if folder.parent.parts[-2:] == (STUDIO, "uploads") else ""


def _described(upload: Upload) -> str:
    size = upload.size / 1e6
    of_size = f"{size:,.0f} MB" if size >= 1 else f"{upload.size / 1e3:,.0f} kB"
    return f"{upload.name} ({counted(upload.files, 'file[s]')}, {of_size})"


def _show_new(root: Path) -> None:
    way = st.radio("What to upload", WAYS, key="way_to_upload", horizontal=True)
    number = st.session_state.get(ROUND, 0)
    if way == ZIP:
        file = st.file_uploader(
            "A zip with a folder for each class",
            type="zip",
            key=f"zip {number}",
            help=f"Links and paths outside the zip are refused. {IN_MEMORY}",
        )
        if file is not None:
            with st.spinner("unpacking"):
                _choose(upload_files.unzip(root, file.name, file))
    elif way == FOLDER:
        files = st.file_uploader(
            "A folder with a sub-folder for each class",
            accept_multiple_files="directory",
            key=f"folder {number}",
            help=IN_MEMORY,
        )
        if files:
            name = Path(files[0].name).parts[0]
            _add(root, name, [(file.name, file) for file in files], None)
    else:
        _show_photos(root, st.text_input("Name of the data set", key="upload_name"))


def _show_photos(root: Path, name: str) -> None:
    class_name = st.text_input("Class", key="upload_class", placeholder="rose")
    files = st.file_uploader(
        "Photos of this class",
        type=[suffix.removeprefix(".") for suffix in SUFFIXES],
        accept_multiple_files=True,
        key=f"photos {st.session_state.get(ROUND, 0)}",
        help=f"Drop them here, then go on with the next class. {IN_MEMORY}",
    )
    if st.button("Add the photos", disabled=not files, key="add_photos"):
        with show_errors():
            _add(root, name, [(file.name, file) for file in files], class_name)


def _add(root: Path, name: str, files: list[upload_files.File], class_name: str | None) -> None:
    with st.spinner("writing"):
        added = upload_files.add(root, name, files, class_name)
    st.session_state[LEFT_OUT] = (added.folder.name, added.left_out)
    st.toast(f"{counted(added.added, 'file[s]')} added")
    _choose(added.folder)


def _choose(folder: Path) -> None:
    """Have the pages go on with an upload, and draw this one again, with an empty uploader."""
    kept_values.put({SLOT: folder.name})
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1
    st.rerun()


def _show_upload(root: Path, upload: Upload) -> None:
    folder = upload_files.folder_of(root) / upload.name
    classes = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    on = time.strftime("%Y-%m-%d %H:%M", time.localtime(upload.changed))
    st.markdown(
        f"{escape_markdown(', '.join(classes[:20]))}: uploaded on {on} into "
        f"`{STUDIO}/uploads/{upload.name}`"
    )
    of_zip = (folder / unzip_images.MARK).is_file()
    name, left_out = st.session_state.get(LEFT_OUT, ("", []))
    if of_zip:
        left_out = [(file.name, file.reason) for file in unzip_images.read_left_out(folder)]
    if left_out and (of_zip or name == upload.name):
        what = "of the zip [was|were] not unpacked" if of_zip else "[was|were] not added"
        with st.expander(counted(len(left_out), f"file[s] {what}")):
            st.markdown(table([("file", "reason"), *left_out[:MANY]]))
    with st.expander("Add photos of a class", expanded=len(classes) < 2), show_errors():
        _show_photos(root, upload.name)
    asked = f"delete upload {upload.name}"
    if st.button("Delete this upload", key="delete_upload"):
        st.session_state[asked] = True
    if st.session_state.get(asked):
        st.warning("A run that was trained on it could then not be resumed or evaluated again.")
        if st.button("Delete it permanently", type="primary", key="delete_upload_now"):
            with show_errors():
                upload_files.delete(root, upload.name)
                del st.session_state[asked]
                kept_values.put({SLOT: NEW})
                st.rerun()
