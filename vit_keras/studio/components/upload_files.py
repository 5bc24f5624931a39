"""Images that came from a browser: list their folders, add to them and delete them.

    <root>/.studio/uploads/<name>/<class>/<image>

A zip is unpacked once, into a folder with a part of its hash in the name.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from vit_keras.data import unzip_images
from vit_keras.data.readers import layout_names
from vit_keras.errors import SettingError
from vit_keras.io import atomic, zip_files
from vit_keras.studio.jobs.queue import STUDIO

UNPACKING = threading.Lock()
CHUNK = 2**20  # bytes
DIGEST = 16  # letters of the hash in a name
File = tuple[str, IO[bytes]]  # the name, with the folders that it is in, and the content


class Upload(NamedTuple):
    """A folder of uploaded images."""

    name: str
    files: int
    size: int  # in bytes
    changed: float  # seconds since the epoch


class Added(NamedTuple):
    """What `add` did: how many files it added, and the others with the reason."""

    folder: Path
    added: int
    left_out: list[tuple[str, str]]


def folder_of(root: Path) -> Path:
    """Where the uploads of a studio are."""
    return root / STUDIO / "uploads"


def list_uploads(root: Path) -> list[Upload]:
    """All uploads, the newest first."""
    folders = [path for path in folder_of(root).glob("[!.]*") if path.is_dir()]
    return sorted(map(_measured, folders), key=lambda upload: -upload.changed)


def _measured(folder: Path) -> Upload:
    images = size = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not layout_names.is_hidden(name)]
        visible = [name for name in names if not layout_names.is_hidden(name)]
        images += len(visible)
        size += sum(os.path.getsize(os.path.join(place, name)) for name in visible)
    return Upload(folder.name, images, size, folder.stat().st_mtime)


def delete(root: Path, name: str) -> None:
    """Delete an upload for good.

    Raises:
        SettingError: there is none of that name.
    """
    folder = folder_of(root) / name
    if folder.parent != folder_of(root) or layout_names.is_hidden(name) or not folder.is_dir():
        raise SettingError(f"{name} is no upload; it may have been deleted already")
    gone = folder.with_name(f".gone-{name}")
    folder.rename(gone)  # at once; what is read meanwhile is whole or absent
    shutil.rmtree(gone, ignore_errors=True)


def unzip(root: Path, name: str, file: IO[bytes]) -> Path:
    """Unpack a zip of images unless that was done before; the folder.

    Raises:
        SettingError: as `unzip_images`.
    """
    digest = _sha256(file)[:DIGEST]
    stem = zip_files.sanitized_name(PurePosixPath(name.replace("\\", "/")).stem)[:40]
    uploads = folder_of(root)
    folder = next(uploads.glob(f"[!.]*-{digest}"), uploads / f"{stem}-{digest}")
    with UNPACKING:  # a click meanwhile runs the page in another thread
        if not (folder / unzip_images.MARK).exists():
            file.seek(0)
            unzip_images.unzip_images(file, folder)
    return folder


def _sha256(file: IO[bytes]) -> str:
    """By pieces: `getbuffer` of an upload would make a second copy of it in memory."""
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(CHUNK):
        digest.update(part)
    return digest.hexdigest()


def add(root: Path, name: str, files: Iterable[File], class_name: str | None = None) -> Added:
    """Add files to an upload, which is made if need be.

    Args:
        root: of the studio.
        name: of the upload.
        files: to add; a file that is there already, byte for byte, is not added again.
        class_name: of all of them; by default the folders that they are in below the first one.

    Raises:
        SettingError: a name is empty, or none of the files may be an image of a class.
    """
    folder = folder_of(root) / _named(name, "the name of the data set")
    only = None if class_name is None else (_named(class_name, "the class"),)
    count, left_out = 0, []
    with UNPACKING:
        names = unzip_images.DistinctNames()
        taken = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        for path in sorted(taken):
            names.of(path.parent.relative_to(folder).parts, path.name)
        for given, content in files:
            *parents, last = PurePosixPath(given.replace("\\", "/")).parts or ("",)
            classes = only or tuple(map(zip_files.sanitized_name, parents[1:]))
            if reason := _left_out(last, parents, classes):
                left_out.append((given, reason))
            elif not _is_there(folder.joinpath(*classes), content, taken):
                target = folder.joinpath(*classes, names.of(classes, last))
                with atomic.atomic_file(target, flush=False) as new, open(new, "wb") as out:
                    content.seek(0)
                    shutil.copyfileobj(content, out, CHUNK)
                count += 1
    if not count and left_out:
        raise SettingError(f"no file was added: {left_out[0][0]} is {left_out[0][1]}")
    return Added(folder, count, left_out)


def _named(name: str, what: str) -> str:
    if not name.strip(" ."):
        raise SettingError(f"{what} is empty; type one, such as flowers")
    return zip_files.sanitized_name(name)


def _left_out(name: str, parents: Iterable[str], classes: tuple[str, ...]) -> str:
    """Why a file is no image of a class, by its name; empty if it may be one."""
    if any(map(layout_names.is_hidden, (*parents, name))):
        return "a hidden file"
    if system := next(filter(None, map(layout_names.system_of, parents)), ""):
        return f"in a folder of {system}"
    return layout_names.not_an_image(name) or ("" if classes else "in no folder of a class")


def _is_there(folder: Path, content: IO[bytes], taken: dict[Path, int]) -> bool:
    """Whether the folder has the same content already: a page that is drawn again adds none."""
    content.seek(0, os.SEEK_END)
    size = content.tell()
    same = [path for path, length in taken.items() if length == size and path.parent == folder]
    if not same:
        return False
    wanted = _sha256(content)
    for path in same:
        with open(path, "rb") as file:
            if _sha256(file) == wanted:
                return True
    return False
