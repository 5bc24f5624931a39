"""What is evaluated: a run, and data that may be its own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vit_keras.config.schema import Config
from vit_keras.data import registry
from vit_keras.data.dataset import SourceData, Split, Splits
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.evaluation.preflight import ALL, EVALUATION, TEST, check_classes, check_split, place
from vit_keras.io import atomic
from vit_keras.runs.saved_run import SavedRun

CHANGED = (
    "The data are not as they were when the run was trained: their fingerprint differs. Where a "
    "folder is split by lot, images that were added or taken away change the lot, and some of the "
    "test images may have been trained on."
)


@dataclass(frozen=True)
class EvaluationTask:
    """A run and the data that it is evaluated on.

    Attributes:
        config: the run's, with these data.
        given: what a Python program gave in the place of a data set.
        splits: the data; what is measured is `test`, which may be all that there are.
        fingerprint: of the data.
        is_own: whether they are what the run was trained on.
        note: what has to be known of them; empty if nothing.
        split: which of the images are measured, "test" or "all".
    """

    saved: SavedRun
    config: Config
    given: SourceData | None
    splits: Splits
    fingerprint: str
    is_own: bool
    note: str
    split: str = TEST

    def folder(self, output: str | Path | None) -> Path:
        """Where the evaluation goes, checked; the run's own gives way to no other data's.

        Raises:
            SettingError: something else is there.
        """
        name = re.sub(r"[^\w.-]+", "_", self.config.data.name)
        other = f"{name}-{self.fingerprint[:8]}" + ("-all" if self.split == ALL else "")
        folder = place(self.saved, output, "" if self.is_own else other)
        if not self.is_own and folder == place(self.saved, None):
            raise SettingError(
                f"output={output} is for the run's evaluation on its own data, and these are "
                "others; leave it out, or choose another folder"
            )
        atomic.check_output_folder(folder, EVALUATION)
        return folder

    @cached_property
    def files(self) -> list[str] | None:
        """The measured images' paths within a folder; None of data that are no folder."""
        if self.given is not None or self.config.data.name != "folder":
            return None
        images = self.splits.test.images
        if not isinstance(images, LazyImages):  # decoded; listed once more, and not decoded
            images = self.test_at(None).images
        assert isinstance(images, LazyImages)
        return [file.path for file in images.files]

    def test_at(self, side: int | None) -> Split:
        """What is measured, for images of `side`: files are read at that size, others stay."""
        if self.given is not None:
            return self.splits.test
        now = self.config.data
        asked = replace(now, cache_mb=0, image_size=now.image_size if side is None else side)
        if (
            side is not None
            and registry.dataset_info(asked).size == registry.dataset_info(now).size
        ):
            return self.splits.test
        return _measured(load_splits(asked, self.config.train.seed), self.split).test


def evaluation_task(
    saved: SavedRun,
    config: Config,
    given: SourceData | None,
    overrides: Sequence[str],
    split: str,
) -> EvaluationTask:
    """Read the data, and compare them with what the run was trained on.

    Raises:
        SettingError: they cannot be read, are not what the run's model takes, or are its own and
            are all to be measured.
    """
    splits = load_splits(config.data, config.train.seed, given)
    fingerprint, trained_on = splits.fingerprint, _fingerprint(saved)
    is_replaced = bool(overrides) or given is not None
    is_own = not is_replaced if trained_on is None else fingerprint == trained_on
    check_split(saved, split, is_own)
    note = "" if is_own else CHANGED
    if is_replaced and not is_own:
        note = f"Other data than those that the run was trained on. {' '.join(overrides)}".strip()
    measured = _measured(splits, split)
    _check(saved, measured, f"data.name={config.data.name}")
    return EvaluationTask(saved, config, given, measured, fingerprint, is_own, note, split)


def _measured(splits: Splits, split: str) -> Splits:
    return replace(splits, test=splits.all) if split == ALL else splits


def _check(saved: SavedRun, splits: Splits, name: str) -> None:
    """Refuse data that the run's model cannot take, or be measured on."""
    check_classes(saved, splits.class_names, name)
    channels, needed = splits.test.images.shape[-1], saved.model.input_shape[-1]
    if channels not in (1, needed):
        raise SettingError(
            f"{name} has {channels} channels and the model of run={saved.path} takes {needed}; "
            "choose other data"
        )
    if (off := (splits.test.labels < 0)).any():
        raise SettingError(
            f"{name} has no label for {np.count_nonzero(off)} images that are to be measured; "
            "choose data with labels"
        )


def _fingerprint(saved: SavedRun) -> str | None:
    """Of the data that the run was trained on; None where it does not say."""
    try:
        text = (saved.path / "environment.json").read_text(encoding="utf-8")
        return str(json.loads(text)["data_fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
