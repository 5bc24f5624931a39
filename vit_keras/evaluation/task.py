"""An evaluation task: a run and the data that it is evaluated on."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.config.schema import Config, DataConfig
from vit_keras.data import quality_report, registry
from vit_keras.data.dataset import SourceData, Split, Splits
from vit_keras.data.image_hashes import image_hashes
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.splits import OnlyCopiesError, load_splits
from vit_keras.errors import SettingError
from vit_keras.evaluation.preflight import (
    ALL,
    EVALUATION,
    TEST,
    check_classes,
    check_split,
    evaluation_folder,
    spelled_as,
)
from vit_keras.io import atomic
from vit_keras.runs.saved_run import SavedRun
from vit_keras.runs.training_images import read_training_images
from vit_keras.text import abbreviated_list, counted

log = logging.getLogger("vit_keras")

CHANGED_DATA = "The data changed after training: their fingerprint differs."
MAY_BE_TRAINED_ON = (
    "If a folder is split at random, added or removed images change the split, and the model may "
    "have been trained on some of the test images."
)


@dataclass(frozen=True)
class EvaluationTask:
    """A run and the data that it is evaluated on.

    Attributes:
        saved: the run.
        config: its settings, with these data.
        in_memory: data of a Python program that replace the data set; None without.
        splits: the data; `test` is evaluated, which is all images if `split` is "all".
        fingerprint: of the data.
        is_training_data: whether they are the data that the run was trained on.
        note: a warning about the data; empty if there is none.
        split: which of the images are evaluated, "test" or "all".
        trained_on: how many of the evaluated images are equal to training images; None if that is
            not known.
    """

    saved: SavedRun
    config: Config
    in_memory: SourceData | None
    splits: Splits
    fingerprint: str
    is_training_data: bool
    note: str
    split: str = TEST
    trained_on: int | None = None

    def output_folder(self, output: str | Path | None) -> Path:
        """The folder of the evaluation, checked.

        Raises:
            SettingError: it has other files, or is for the evaluation on the training data.
        """
        name = re.sub(r"[^\w.-]+", "_", self.config.data.name)
        other = f"{name}-{self.fingerprint[:8]}" + ("-all" if self.split == ALL else "")
        folder = evaluation_folder(self.saved, output, "" if self.is_training_data else other)
        if not self.is_training_data and folder == evaluation_folder(self.saved, None):
            raise SettingError(
                f"output={output} is for the run's evaluation on its own data, and these are "
                "others; leave it out, or choose another folder"
            )
        atomic.check_output_folder(folder, EVALUATION)
        return folder

    @cached_property
    def files(self) -> list[str] | None:
        """Paths of the evaluated images within their folder; None for other sources."""
        images = self.undecoded_images
        return [file.path for file in images.files] if isinstance(images, LazyImages) else None

    @cached_property
    def undecoded_images(self) -> np.ndarray | LazyImages:
        """The evaluated images: those of files and records as such, the others as arrays."""
        images = self.splits.test.images
        is_of_files = self.in_memory is None and self.config.data.name in registry.LAZY
        if is_of_files and not isinstance(images, LazyImages):  # decoded: list them again
            images = self.test_split_at(None).images
        return images

    def test_split_at(self, size: tuple[int, int] | None) -> Split:
        """The evaluated images at another size: files are decoded at `size`, arrays unchanged."""
        if self.in_memory is not None:
            return self.splits.test
        data = self.config.data
        resized = replace(data, cache_mb=0, image_size=size or data.image_size)
        if (
            size is not None
            and registry.dataset_info(resized).size == registry.dataset_info(data).size
        ):
            return self.splits.test
        loaded = _load_splits(resized, self.config.train.seed, None, self.split)
        loaded = _with_classes(loaded, self.splits.class_names)
        return _with_test(loaded, self.split).test


def evaluation_task(
    saved: SavedRun,
    config: Config,
    in_memory: SourceData | None,
    overrides: Sequence[str],
    split: str,
) -> EvaluationTask:
    """Load the data, and compare their fingerprint with that of the training data.

    Raises:
        SettingError: the data cannot be read, do not match the model, or are the training data and
            `split` is "all".
    """
    splits = _load_splits(config.data, config.train.seed, in_memory, split)
    fingerprint, trained_on = splits.fingerprint, _training_fingerprint(saved)
    is_replaced = bool(overrides) or in_memory is not None
    is_training_data = not is_replaced if trained_on is None else fingerprint == trained_on
    check_split(saved, split, is_training_data)
    note = "" if is_training_data else CHANGED_DATA
    if is_replaced and not is_training_data:
        note = f"Not the data that the run was trained on. {' '.join(overrides)}".strip()
    evaluated = _with_test(splits, split)
    _check_splits(saved, evaluated, config.data)
    present = spelled_as(saved.class_names, splits.class_names)
    if absent := [name for name in saved.class_names if name not in present]:
        note = f"{note} No images of {abbreviated_list(absent)}.".strip()
    evaluated = _with_classes(evaluated, saved.class_names)
    not_read = [row for row in splits.findings if row.problem in quality_report.NOT_READ]
    for line in quality_report.summary(not_read):
        log.warning("warning: %s", line)
    task = EvaluationTask(
        saved, config, in_memory, evaluated, fingerprint, is_training_data, note, split
    )
    return task if is_training_data else _with_trained_on(task)


def _with_trained_on(task: EvaluationTask) -> EvaluationTask:
    """Count the images of other data that are training images of the run, and note them."""
    known = read_training_images(task.saved.path)
    images = task.undecoded_images if known else None
    count = None if known is None or images is None else image_hashes(images).count_in(known)
    note = ""
    if count:
        of_all = counted(len(task.splits.test.labels), "image[s]")
        note = counted(
            count, f"of {of_all} [was|were] trained on: metrics are too good (data leakage)."
        )
    elif count is None and task.note.startswith(CHANGED_DATA):
        note = MAY_BE_TRAINED_ON
    return replace(task, trained_on=count, note=f"{task.note} {note}".strip())


def _load_splits(data: DataConfig, seed: int, in_memory: SourceData | None, split: str) -> Splits:
    """The splits of the data as a training draws them, by which those of a run are recognised."""
    try:
        return load_splits(data, seed, in_memory)
    except OnlyCopiesError:
        if split != ALL:
            raise
        # No run was trained on them with this setting, and all of them are measured together.
        ungrouped = replace(data, group_duplicates="none", group_column=None)
        return load_splits(ungrouped, seed, in_memory)


def _with_test(splits: Splits, split: str) -> Splits:
    return replace(splits, test=splits.all) if split == ALL else splits


def _with_classes(splits: Splits, class_names: list[str]) -> Splits:
    """The splits with the labels of `class_names`, in which all of their own classes are."""
    if splits.class_names == class_names:
        return splits
    names = spelled_as(class_names, splits.class_names)
    labels = np.array([class_names.index(name) for name in names], np.int32)
    parts: dict[str, Any] = {
        name: Split(part.images, _relabelled(part.labels, labels, len(class_names)))
        for name, part in splits.as_dict().items()
    }
    return replace(splits, **parts, class_names=class_names)


def _relabelled(labels: np.ndarray, numbers: np.ndarray, classes: int) -> np.ndarray:
    """Labels, (n,) or (n, K), with class k as `numbers[k]` of `classes`; -1 stays -1."""
    if labels.ndim == 2:
        result = np.zeros((len(labels), classes), labels.dtype)
        result[:, numbers] = labels
        return result
    return np.where(labels < 0, -1, numbers[labels])


def _check_splits(saved: SavedRun, splits: Splits, data: DataConfig) -> None:
    """Refuse data with other classes, with other channels than the model's, or without labels."""
    check_classes(saved, splits.class_names, data)
    source = f"data.name={data.name}"
    channels, expected = splits.test.images.shape[-1], saved.model.input_shape[-1]
    if channels not in (1, expected):
        raise SettingError(
            f"{source} has {channels} channels and the model of run={saved.path} takes {expected}; "
            "choose other data"
        )
    if data.value_range is not None and splits.value_range is None:
        raise SettingError(
            f"{source} has images of 256 levels, and run={saved.path} takes values of "
            f"data.value_range={data.value_range}; choose data=folder, csv or npz of such"
        )
    if unlabelled := int((splits.test.labels < 0).sum()):
        raise SettingError(
            f"{source} has no label for {counted(unlabelled, 'image[s]')} to be evaluated; "
            "choose data with labels"
        )


def _training_fingerprint(saved: SavedRun) -> str | None:
    """Fingerprint of the training data; None if the run does not record it."""
    try:
        text = (saved.path / "environment.json").read_text(encoding="utf-8")
        return str(json.loads(text)["data_fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
