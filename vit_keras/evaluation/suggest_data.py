"""Which images a suggestion is made of, checked before Keras is imported."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.predict import file_labels, inputs, tables
from vit_keras.predict.backbone import find_run
from vit_keras.text import one_line
from vit_keras.validators import check_choice, check_int

TYPICAL, COVERAGE, MARGIN = METHODS = ("typical", "coverage", "margin")
COUNT = 200


@dataclass(frozen=True)
class SuggestData:
    """The images of a suggestion.

    Attributes:
        candidates: paths of the images without a label.
        labelled: paths of those that have one -> the label; "" where only that is known.
        others: files of the folders that are no images by their names, each with the reason.
        method: one of `METHODS`.
        count: how many images to suggest.
    """

    candidates: list[str]
    labelled: dict[str, str]
    others: list[tuple[str, str]]
    method: str
    count: int

    @property
    def class_names(self) -> list[str]:
        return sorted({label for label in self.labelled.values() if label})


def suggest_data(
    model: str | Path,
    images: Sequence[str],
    labelled: Sequence[str] = (),
    method: str | None = None,
    count: int = COUNT,
    image_column: str | None = None,
) -> SuggestData:
    """Find the images, and the method for what is known of them.

    Args:
        model: the folder of a run, or a handle as of `load_pretrained`.
        images: files, folders and globs, or a table.
        labelled: folders and tables of images that have labels.
        method: one of `METHODS`; `margin` where two classes have labels, otherwise `typical`.
        count: how many images to suggest.
        image_column: of a table in `images`, the column of the paths.

    Raises:
        SettingError: something of it does not exist, all images have labels, or the method needs a
            classifier.
    """
    check_int("count", count)
    saved = find_run(model)
    table = tables.find_table(images, image_column)
    found = inputs.FoundFiles(table.files, []) if table else inputs.find_files(images)
    known: dict[str, str] = {}
    for place in labelled:
        known |= _labelled(place)
    real = {os.path.realpath(path) for path in known}
    candidates = [path for path in found.images if os.path.realpath(path) not in real]
    if not candidates:
        raise SettingError(
            f"images={one_line(' '.join(images))}: all {len(found.images)} have labels in "
            "labelled=...; name a folder with others"
        )
    classes = {label for label in known.values() if label}
    if method is None:
        method = MARGIN if len(classes) > 1 else TYPICAL
    check_choice("method", method, METHODS)
    if method == MARGIN and len(classes) < 2 and (saved is None or saved.is_multilabel):
        raise SettingError(
            "method=margin needs labels of two classes, by labelled=..., or a run with one label "
            "for each image; use method=typical"
        )
    return SuggestData(candidates, known, found.others, method, count)


def _labelled(place: str) -> dict[str, str]:
    """The images of a folder, or those of a table whose label is filled in."""
    if table := tables.find_table([place]):
        rows = zip(table.files, file_labels.table_labels(table), strict=True)
        if found := {path: label for path, label in rows if label}:
            return found
        raise SettingError(
            f"labelled={place} has no label in any row; fill in its column `label`, or leave it out"
        )
    known = file_labels.folder_labels([place])
    return {
        path: known.get(os.path.normpath(path), "") for path in inputs.find_image_files([place])
    }
