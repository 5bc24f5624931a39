"""Scanned records as a listing, which is read as those of folders and tables are."""

from collections.abc import Callable, Mapping
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import Finding
from vit_keras.data.lazy_images import FileRecord
from vit_keras.data.readers.class_layout import Layout
from vit_keras.data.readers.folder_layout import ListedFile, Listing
from vit_keras.data.readers.record_scan import ScannedRecord, Shard
from vit_keras.errors import SettingError
from vit_keras.text import counted


def as_listing(
    found: Mapping[Shard, list[ScannedRecord]],
    number_of: Callable[[Any], int | None],
    class_names: list[str],
    config: DataConfig,
) -> tuple[Listing, list[tuple[ListedFile, FileRecord]]]:
    """The listing of records in their own order, and each image of it with its record.

    Args:
        found: the shards and their records.
        number_of: the class of a label as it is stored; None if it is none.
        class_names: the names of the classes.
        config: of the data.

    Raises:
        SettingError: a record has no label, and `data.on_bad_file` is fail.
    """
    scanned: list[tuple[ListedFile, FileRecord]] = []
    unlabelled: list[Finding] = []
    for shard, records in found.items():
        for label, record in records:
            number = number_of(label)
            if number is None:
                detail = f"{label!r} is no class" if label is not None else "no label"
                unlabelled.append(Finding("no_label", record.path, shard.split, "", detail))
            else:
                scanned.append((ListedFile(record.path, shard.split, number, ""), record))
    if unlabelled and config.on_bad_file == "fail":
        raise SettingError(
            f"{unlabelled[0].file}: {unlabelled[0].detail}; {len(unlabelled)} of "
            f"{counted(len(unlabelled) + len(scanned), 'row[s]')} cannot be used: give each image "
            "a label, or set data.on_bad_file=skip"
        )
    splits = dict.fromkeys(shard.split for shard in found)
    folders = {split: {name: [name] for name in class_names} for split in splits}
    layout = Layout("", {split: split or "the data set" for split in splits}, folders, [])
    return Listing([file for file, _ in scanned], unlabelled, class_names, layout), scanned
