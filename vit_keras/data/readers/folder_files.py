"""The files of a folder and the folders below it: each once, or with the reason why it is not read.

Nothing is opened. Hidden files and folders are ignored. A folder of a system (`__MACOSX`, `@eaDir`)
is reported as a whole.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from vit_keras.data.readers import class_layout, layout_names
from vit_keras.errors import SettingError
from vit_keras.text import counted

FOLDER_AS_IMAGE = "a folder named like an image"
LEADS_OUT = "a link out of the folder, which data.follow_links=true would follow"


class FoundFile(NamedTuple):
    """A file, or a folder that is not looked into."""

    path: str  # within the root
    reason: str  # why it is not opened; empty if it may be an image
    is_candidate: bool = True  # whether it was expected to be an image


class ListingRules(NamedTuple):
    """How a folder is listed.

    Attributes:
        boundary: the folder that links must not lead out of; by default they may lead anywhere.
        suffixes: the only endings to read; by default a file's content decides.
        is_literal: whether to list as version 0.1 did: no folder is a system's, a folder named
            like an image is none, and links to folders are not followed.
        allowed: endings that are read although other files than images often have them.
    """

    boundary: str | None = None
    suffixes: tuple[str, ...] | None = None
    is_literal: bool = False
    allowed: tuple[str, ...] = ()

    def system_of(self, name: str) -> str:
        return "" if self.is_literal else layout_names.system_of(name)

    def not_an_image(self, name: str) -> str:
        if self.suffixes is None and name.lower().endswith(self.allowed):
            return ""
        return layout_names.not_an_image(name, self.suffixes)


class FolderTree:
    """The folders of a data set on a disk, as `class_layout` looks at them."""

    def __init__(self, root: Path, name: str, rules: ListingRules) -> None:
        self.root, self.name, self.rules = root, name, rules

    def folders(self, folder: str) -> list[str]:
        """The names of the sub-folders that are looked into, sorted."""
        return sorted(
            entry.name
            for entry in self._folders(folder)
            if not self._leads_out(entry) and not _is_circle(entry)
        )

    def check_links(self, folder: str) -> None:
        """Refuse sub-folders that are links out of the data set: they may be classes.

        Raises:
            SettingError: naming the link.
        """
        for entry in self._folders(folder):
            if self._leads_out(entry):
                raise SettingError(
                    f"{entry.path} is a link out of {self.name}; set data.follow_links=true to "
                    "follow it, or remove it"
                )

    def _folders(self, folder: str) -> Iterator[os.DirEntry]:
        for entry in entries(self.root / folder):
            if _is_folder(entry) and not self.rules.system_of(entry.name):
                yield entry

    def _leads_out(self, entry: os.DirEntry) -> bool:
        boundary = self.rules.boundary
        return boundary is not None and entry.is_symlink() and leads_out(entry.path, boundary)

    def holds(self, folder: str) -> str:
        """What is in a folder and below: images, other files alone, or nothing."""
        found = class_layout.EMPTY
        for file in find_files(self.root, folder, self.rules):
            if file.is_candidate:
                return class_layout.IMAGES
            if os.path.basename(file.path).lower() not in layout_names.SYSTEM_FILES:
                found = class_layout.OTHERS
        return found

    def count_images(self, folder: str) -> int:
        """The number of files that may be images in the folder itself."""
        return sum(
            not _is_folder(entry) and not self.rules.not_an_image(entry.name)
            for entry in entries(self.root / folder)
        )


def entries(path: Path) -> Iterator[os.DirEntry]:
    """What is in a folder, but for what is hidden.

    Raises:
        SettingError: it cannot be listed.
    """
    try:
        with os.scandir(path) as found:
            for entry in found:
                if not layout_names.is_hidden(entry.name):
                    yield entry
    except OSError as error:
        raise SettingError(f"{path} cannot be listed ({error.strerror})") from None


def find_files(
    root: Path,
    folder: str = "",
    rules: ListingRules = ListingRules(),  # noqa: B008  (it cannot be changed)
    stop: Collection[str] = (),
) -> Iterator[FoundFile]:
    """Every file in `folder` and below it, in no order.

    A linked folder is read after all others, and only if it is not read already: no file comes
    twice, and no circle of links is followed.

    Args:
        root: the folder of the data set.
        folder: the folder within `root` to search.
        rules: what is left out, with a reason.
        stop: folders within `root` that are not looked into.
    """
    seen: set[str] = set()  # real paths
    pending, links = [folder], list[str]()
    while pending or links:
        path = pending.pop() if pending else links.pop(0)
        real = os.path.realpath(root / path)
        if real in seen:
            yield FoundFile(path, "a link to a folder that is read already", is_candidate=False)
            continue
        seen.add(real)
        is_empty = True
        for entry in entries(root / path):
            is_empty = False
            inner = os.path.join(path, entry.name)
            if inner in stop:
                continue
            if not _is_folder(entry):
                yield _found_file(entry, inner, rules)
            elif reason := _not_entered(entry, rules):
                yield reason._replace(path=inner)
            else:
                (links if entry.is_symlink() else pending).append(inner)
        if is_empty and layout_names.is_named_as_image(path) and path != folder:
            yield FoundFile(path, FOLDER_AS_IMAGE)


def _not_entered(entry: os.DirEntry, rules: ListingRules) -> FoundFile | None:
    """Why a folder is not looked into, as a file without its path; None if it is."""
    if system := rules.system_of(entry.name):
        inside = () if entry.is_symlink() else os.walk(entry.path)  # a link may lead anywhere
        count = sum(len(files) for _, _, files in inside)
        return FoundFile("", f"a folder of {system}, with {counted(count, 'file[s]')}", False)
    if rules.is_literal and entry.name.lower().endswith(rules.suffixes or ()):
        return FoundFile("", FOLDER_AS_IMAGE)
    if not entry.is_symlink():
        return None
    if rules.is_literal:
        return FoundFile("", "a link to a folder", is_candidate=False)
    if rules.boundary is not None and leads_out(entry.path, rules.boundary):
        return FoundFile("", LEADS_OUT)
    if _is_circle(entry):
        return FoundFile("", "a link to a folder that contains it", is_candidate=False)
    return None


def _is_circle(entry: os.DirEntry) -> bool:
    """Whether the folder is a link to one that contains it."""
    return entry.is_symlink() and contains(entry.path, Path(entry.path).parent)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _found_file(entry: os.DirEntry, path: str, rules: ListingRules) -> FoundFile:
    if reason := rules.not_an_image(entry.name):
        return FoundFile(path, reason, is_candidate=False)
    return FoundFile(path, fault(entry, rules.boundary))


def fault(entry: os.DirEntry | Path, boundary: str | None) -> str:
    """Why a file cannot be opened; empty if it can."""
    try:
        status = entry.stat()
    except OSError as error:
        is_broken = entry.is_symlink() and isinstance(error, FileNotFoundError)
        return "a broken link" if is_broken else f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would block for ever
        return "no regular file"
    if boundary is not None and entry.is_symlink() and leads_out(entry, boundary):
        return LEADS_OUT
    return ""


def leads_out(path: str | os.PathLike, boundary: str) -> bool:
    """Whether a link leads out of the folder `boundary`, which ends in a separator."""
    return not os.path.realpath(path).startswith(boundary)


def contains(link: str, folder: Path) -> bool:
    """Whether a link leads to `folder` or to a folder above it."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(link))
