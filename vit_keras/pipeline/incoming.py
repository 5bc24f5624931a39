"""What is in the folder of new images, and what of it is new. Imports no Keras.

A file is left out, with the reason, if it cannot be read, if it is an image of a version in use, or
nearly one (difference hash and thumbnail, as `data.duplicates` compares them): an image that is
nearly a test image must not be trained on.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates
from vit_keras.data.dataset import Split
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.readers import folder_files, folder_layout
from vit_keras.data.readers.folder_files import FolderTree
from vit_keras.data.readers.folder_layout import ListedFile
from vit_keras.data.readers.folder_scan import scan_files, with_pixel_options
from vit_keras.pipeline.versions import LeftOut, Version
from vit_keras.text import one_line

NO_CLASS = "in no folder of a class"


class Found(NamedTuple):
    """A file of the incoming images."""

    label: str
    record: FileRecord  # whose path is within the folder


class Incoming(NamedTuple):
    """Everything in the folder of new images, but for what is hidden."""

    root: Path
    images: list[Found]  # that can be read
    left_out: list[LeftOut]
    options: PixelOptions  # by which they are decoded

    @property
    def content(self) -> list[tuple[str, ...]]:
        """By which it is known whether anything has changed."""
        read = [(one.record.path, one.label, one.record.sha256) for one in self.images]
        return sorted([*read, *self.left_out])


def read_incoming(config: DataConfig) -> Incoming:
    """List and open the files of `config.path`, which has a folder for each class.

    Raises:
        SettingError: it cannot be listed.
    """
    root, rules = folder_layout.root(config), folder_layout.listing_rules(config)
    classes = FolderTree(root, f"incoming={config.path}", rules).folders("")
    listed, left_out = list[ListedFile](), list[LeftOut]()
    for number, name in enumerate(classes):
        for file in sorted(folder_files.find_files(root, name, rules)):
            if file.is_candidate:
                listed.append(ListedFile(file.path, "", number, file.reason))
            else:
                left_out.append(LeftOut(file.path, name, file.reason))
    for file in sorted(folder_files.find_files(root, "", rules, classes)):
        left_out.append(LeftOut(file.path, "", file.reason or NO_CLASS))
    options, scanned = with_pixel_options(config, scan_files(config, listed, root))
    found = [Found(classes[file.label], _named(record)) for file, record in scanned]
    left_out += [LeftOut(f.record.path, f.label, f.record.reason) for f in found if f.record.reason]
    left_out = [LeftOut(one_line(one.file), one_line(one.label), one.reason) for one in left_out]
    return Incoming(root, [f for f in found if not f.record.reason], left_out, options)


def _named(record: FileRecord) -> FileRecord:
    """The record, with a reason if no table can name its file."""
    try:
        record.path.encode()
    except UnicodeEncodeError:
        return record._replace(reason=record.reason or "its name is not in UTF-8; rename it")
    return record


def select_new(
    incoming: Incoming,
    config: DataConfig,
    used: Sequence[Version],
    set_aside: Iterable[Version],
) -> tuple[list[Found], list[LeftOut]]:
    """(images that are new, those that are not with the reason).

    What was ingested before, and stays in the folder, is neither.

    Args:
        incoming: what there is.
        config: of the folder of the versions.
        used: versions in use, that nothing may be like.
        set_aside: versions that are not; their images may come again with another label.
    """
    new, left_out = list[Found](), list[LeftOut]()
    known = _Known(used, set_aside)
    labels: dict[str, set[str]] = defaultdict(set)
    for one in incoming.images:
        labels[one.record.sha256].add(one.label)
    for one in incoming.images:
        if known.has(one):
            continue
        if reason := known.why_not(one, labels[one.record.sha256]):
            left_out.append(LeftOut(one.record.path, one.label, reason))
        else:
            new.append(one)
    near = _near_copies(new, incoming, config, used) if new and used else {}
    left_out += [LeftOut(path, label, reason) for (path, label), reason in near.items()]
    return [one for one in new if (one.record.path, one.label) not in near], left_out


class _Known:
    """Images that are there, by their SHA-256."""

    def __init__(self, used: Iterable[Version], set_aside: Iterable[Version]) -> None:
        self.used = {
            one.sha256: (f"{version.name}/{one.file}", one.label)
            for version in used
            for one in version.images
        }
        self.set_aside = {(one.sha256, one.label) for v in set_aside for one in v.images}
        self.seen: dict[str, str] = {}

    def has(self, one: Found) -> bool:
        """Whether the image was ingested with this label, in use or not."""
        sha256 = one.record.sha256
        is_used = sha256 in self.used and self.used[sha256][1] == one.label
        return is_used or (sha256, one.label) in self.set_aside

    def why_not(self, one: Found, labels: set[str]) -> str:
        """Why an image that has `labels` is not new; empty if it is, and then it is seen."""
        sha256 = one.record.sha256
        if sha256 in self.used:
            file, label = self.used[sha256]
            return f"there already: {file}{_other(label, one.label)}"
        if len(labels) > 1:
            return f"the same image is in {' and '.join(sorted(labels))}"
        if sha256 in self.seen:
            return f"the same image as {self.seen[sha256]}"
        self.seen[sha256] = one.record.path
        return ""


def _other(label: str, mine: str) -> str:
    return "" if label == mine else f", as {label}"


def _near_copies(
    new: Sequence[Found], incoming: Incoming, config: DataConfig, used: Sequence[Version]
) -> dict[tuple[str, str], str]:
    """(path, label) of a new image -> which image of a version it nearly equals."""
    data = Path(str(config.path))
    there = [(f"{v.name}/{one.file}", one.label) for v in used for one in v.images]
    names = sorted({label for _, label in there} | {one.label for one in new})
    listed = [ListedFile(path, "", names.index(label), "") for path, label in there]
    kept = [one for one in scan_files(config, listed, data) if not one[1].reason]
    old = Split(
        _images([record for _, record in kept], data, incoming.options),
        np.array([file.label for file, _ in kept], np.int32),
    )
    fresh = Split(
        _images([one.record for one in new], incoming.root, incoming.options),
        np.array([names.index(one.label) for one in new], np.int32),
    )
    paths = {str((incoming.root / one.record.path).absolute()): one for one in new}
    found = {}
    for finding in duplicates.find_duplicates({"data": old, "incoming": fresh}, names):
        if finding.problem == "near_duplicate":
            one, other = paths[finding.file], Path(finding.other_file).relative_to(data.absolute())
            label = _other(finding.other_class, one.label)
            found[one.record.path, one.label] = f"nearly the same image as {other}{label}"
    return found


def _images(records: Sequence[FileRecord], root: Path, options: PixelOptions) -> LazyImages:
    """Lazy images of two folders can be compared where their paths are absolute."""
    files = [one._replace(path=str((root / one.path).absolute())) for one in records]
    return LazyImages(Path("/"), files, duplicates.THUMBNAIL, "stretch", None, options)


def group_near(found: Sequence[Found], incoming: Incoming) -> np.ndarray:
    """(n,): numbers that are equal for images that are nearly the same, and stay in one split."""
    images = _images([one.record for one in found], incoming.root, incoming.options)
    groups = duplicates.group_images(images, "near")
    assert groups is not None
    return np.unique(groups, return_inverse=True)[1]
