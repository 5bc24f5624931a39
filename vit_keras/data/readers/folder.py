"""Read a folder of images: its files as lazy images, and what is found to be wrong with them.

With task=multilabel, an image that is in the folders of several classes has all of their labels.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, Finding, SourceData, Split
from vit_keras.data.image_bytes import FolderFiles, ImageBytes
from vit_keras.data.image_findings import image_findings
from vit_keras.data.image_formats import NO_IMAGE
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.readers import folder_layout
from vit_keras.data.readers.folder_layout import ListedFile, Listing, is_needed
from vit_keras.data.readers.folder_scan import scan_files, with_pixel_options
from vit_keras.data.readers.layout_names import is_named_as_image
from vit_keras.data.resize import requested_size
from vit_keras.errors import SettingError
from vit_keras.text import counted

Scanned = list[tuple[ListedFile, FileRecord]]


def read(config: DataConfig) -> SourceData:
    """The folder's splits as lazy images, and a finding for each bad file.

    Raises:
        SettingError: a class has no image; or a file is bad and `data.on_bad_file` is fail.
    """
    requested_size(config)  # is checked before the folder is listed
    return read_listing(
        config,
        folder_layout.root(config),
        folder_layout.list_folder(config),
        _with_all_labels if config.several_labels else None,
    )


def read_listing(
    config: DataConfig,
    root: Path,
    listing: Listing,
    join: Callable[[DataConfig, Scanned], Scanned] | None = None,
) -> SourceData:
    """The splits of the files in `listing`, whose paths are in `root`; see `read`.

    Args:
        config: of the data.
        root: the folder.
        listing: its files.
        join: what makes one image of several of the files that can be used.
    """
    scanned = scan_files(config, listing.files, root)
    return read_scanned(config, FolderFiles(root), listing, scanned, requested_size(config), join)


def read_scanned(
    config: DataConfig,
    source: ImageBytes,
    listing: Listing,
    scanned: Scanned,
    size: tuple[int, int],
    join: Callable[[DataConfig, Scanned], Scanned] | None = None,
    is_grey: bool = False,
) -> SourceData:
    """The splits of images that were scanned; see `read`.

    Args:
        config: of the data.
        source: where the bytes of the images come from.
        listing: the images, and what else there is.
        scanned: each image of it with its record.
        size: (X, Y) of the images.
        join: what makes one image of several that can be used.
        is_grey: whether images have one channel.
    """
    class_names = listing.class_names
    options, scanned = with_pixel_options(config, scanned)

    def named(file: ListedFile) -> str:
        return "; ".join(class_names[label] for label in file.labels)

    findings = [
        Finding(problem_of(record), file.path, file.split, named(file), record.reason)
        for file, record in scanned
        if record.reason
    ]
    skipped = [finding for finding in findings if finding.problem == "skipped"]
    if skipped and config.on_bad_file == "fail":
        raise SettingError(
            f"{source.place(skipped[0].file)}: {skipped[0].detail}; {len(skipped)} of "
            f"{counted(len(scanned), 'file[s]')} cannot be used: repair or remove them, or set "
            "data.on_bad_file=skip"
        )
    _check_classes(config, listing, scanned, findings)
    findings = [*folder_layout.layout_findings(listing), *findings, *listing.others]
    images = [(file, record) for file, record in scanned if not record.reason]
    if join is not None:
        images = join(config, images)
    splits = {}
    for name in dict.fromkeys(file.split for file, _ in images):
        usable = [(file, record) for file, record in images if file.split == name]
        records = [record for _, record in usable]
        labels = _label_array(config, [file for file, _ in usable], len(class_names))
        groups = [file.group for file, _ in usable] if config.group_column else None
        lazy = LazyImages(
            *(source, records, size, config.resize_mode, config.workers, options, groups, is_grey)
        )
        splits[name or "train"] = Split(lazy, labels)
        findings += image_findings(lazy, [named(file) for file, _ in usable], name)
    return SourceData(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        class_names=class_names,
        findings=tuple(findings),
        bit_depth=options.bit_depth,
        value_range=options.value_range,
    )


def _with_all_labels(config: DataConfig, scanned: Scanned) -> Scanned:
    """Equal files of a split as one image, with the labels of all, in the order of a table.

    They are known by their SHA-256, whether they are links, hard links or copies.

    Raises:
        SettingError: no image is in the folders of two classes.
    """
    found: dict[tuple[str, str], tuple[ListedFile, FileRecord]] = {}
    for file, record in scanned:
        key = (file.split, record.sha256)
        first, first_record = found.get(key, (file, record))
        labels = tuple(sorted({*first.labels, *file.labels}))
        found[key] = (first._replace(several=labels), first_record)
    images = list(found.values())
    if all(len(file.labels) == 1 for file, _ in images):
        raise SettingError(
            f"data.path={config.path} has each image in the folder of one class; leave "
            "task=multilabel out, or put an image, or a link to it, into the folder of each of its "
            "labels"
        )
    splits = list(dict.fromkeys(file.split for file, _ in images))
    return sorted(images, key=lambda one: (splits.index(one[0].split), one[0].labels, one[0].path))


def _label_array(config: DataConfig, files: list[ListedFile], classes: int) -> np.ndarray:
    """(n,) the class of each file; or (n, classes), 1 for each label of a file."""
    if not config.several_labels:
        return np.array([file.label for file in files], np.int32)
    labels = np.zeros((len(files), classes), np.float32)
    for row, file in zip(labels, files, strict=True):
        row[list(file.labels)] = 1
    return labels


def info(config: DataConfig) -> DatasetInfo:
    return DatasetInfo(
        requested_size(config), config.channels or 3, len(folder_layout.class_names(config))
    )


def class_names(config: DataConfig) -> list[str]:
    return folder_layout.class_names(config)


def image_counts(config: DataConfig) -> dict[str, int]:
    files = folder_layout.list_files(config)
    if not config.several_labels:
        return dict(Counter(file.split or "train" for file in files))
    # Links lead to one file; copies count as several images, as they are not compared yet.
    root, kept = folder_layout.root(config), set[tuple]()
    for file in files:
        status = None if file.reason else os.stat(root / file.path)
        one = (status.st_dev, status.st_ino) if status else file.path
        kept.add((file.split or "train", one))
    return dict(Counter(split for split, _ in kept))


def problem_of(record: FileRecord) -> str:
    """Whether a file was expected to be an image: `skipped`, or else `ignored`."""
    is_other = record.reason == NO_IMAGE and not is_named_as_image(record.path)
    return "ignored" if is_other else "skipped"


def _check_classes(
    config: DataConfig,
    listing: Listing,
    scanned: list[tuple[ListedFile, FileRecord]],
    findings: list[Finding],
) -> None:
    """Refuse a class whose files are all skipped, unless a split may lack it."""
    files = Counter((file.split, label) for file, _ in scanned for label in file.labels)
    usable = Counter(
        (file.split, label)
        for file, record in scanned
        for label in file.labels
        if not record.reason
    )
    for split, label in files:
        name = listing.class_names[label]
        if usable[split, label] or not is_needed(config, listing.class_names, split, name):
            continue
        path, reason = next(
            (file.path, record.reason)
            for file, record in scanned
            if file.split == split and label in file.labels
        )
        folder = listing.layout.folders[split][name][0]
        raise SettingError(
            f"data.path={config.path}: none of the {counted(files[split, label], 'file[s]')} of "
            f"{folder} can be used ({path}: {reason}); add images, or "
            f"{folder_layout.way_out(split)}"
        )
    readable = {file.split for file, record in scanned if not record.reason}
    for split in {file.split for file, _ in scanned} - readable:
        first = next(row for row in findings if row.split == split)
        where = f" of the {split} split" if split else ""
        raise SettingError(
            f"data.path={config.path}: none of the files{where} can be used ({first.file}: "
            f"{first.detail}); add images"
        )
