"""The images of a folder that can be trained on, and what became of the others."""

import os
from collections import Counter

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import Finding
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.readers import folder_layout, folder_scan
from vit_keras.data.readers.folder_layout import File
from vit_keras.data.readers.folder_scan import FileRecord
from vit_keras.errors import SettingError


def read(config: DataConfig) -> tuple[dict[str, tuple[LazyImages, np.ndarray]], list[Finding]]:
    """Images, not decoded yet, and labels (n,) int32 of each split, and a row for each bad file.

    Raises:
        SettingError: a class has no image; or a file is bad and `data.on_bad_file` is fail.
    """
    size, names, root = (
        folder_layout.size(config),
        folder_layout.class_names(config),
        folder_layout.root(config),
    )
    pairs = scan_files(config, folder_layout.files(config))
    bad = [
        Finding("skipped", file.path, file.split, names[file.label], entry.reason)
        for file, entry in pairs
        if entry.reason
    ]
    if bad and config.on_bad_file == "fail":
        raise SettingError(
            f"{root / bad[0].file}: {bad[0].detail}; {len(bad)} of {len(pairs)} files cannot be "
            "used: mend them, take them away, or set data.on_bad_file=skip"
        )
    good = [(file, entry) for file, entry in pairs if not entry.reason]
    _check_classes(config, [file for file, _ in pairs], good, bad)
    result = {}
    for split in dict.fromkeys(file.split for file, _ in good):
        own = [(file.label, entry) for file, entry in good if file.split == split]
        images = LazyImages(
            root, [entry for _, entry in own], size, config.resize_mode, config.workers
        )
        result[split] = images, np.array([label for label, _ in own], np.int32)
    return result, bad


def scan_files(config: DataConfig, listed: list[File]) -> list[tuple[File, FileRecord]]:
    """Each file with what was seen in it, or with the reason why it is no use."""
    root = folder_layout.root(config)
    stamped = [(file.path, file.bytes, file.mtime) for file in listed if not file.reason]
    seen = iter(folder_scan.scan(root, stamped, config.workers))
    return [
        (file, FileRecord(file.path, 0, 0, "", 0, 0, 0, 1, False, file.reason))
        if file.reason
        else (file, next(seen))
        for file in listed
    ]


def _check_classes(
    config: DataConfig, files: list[File], good: list[tuple[File, FileRecord]], bad: list[Finding]
) -> None:
    """Refuse a class that skipping has left without an image."""
    all_of = Counter((file.split, file.label) for file in files)
    left = Counter((file.split, file.label) for file, _ in good)
    names = folder_layout.class_names(config)
    for split, label in all_of:
        if not left[split, label]:
            row = next(r for r in bad if (r.split, r.class_name) == (split, names[label]))
            place = os.path.join(split, names[label])
            raise SettingError(
                f"data.path={config.path}: none of the {all_of[split, label]} files of {place} can "
                f"be used ({row.file}: {row.detail}); put images there, or take the folder away"
            )
