"""What the studio's worker does with data: read them, tell what is in them, draw augmentations."""

from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from vit_keras.augment.preview import augmentation_sheet
from vit_keras.config import compose
from vit_keras.config.schema import Config
from vit_keras.data import quality_report
from vit_keras.data.dataset import Split, Splits
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.splits import image_size, load_splits
from vit_keras.explain.plots import enlarged
from vit_keras.studio.worker.png import encode_png
from vit_keras.training import preflight

NAMES = ("train", "validation", "test")
SIZES = 12  # of the images' sizes that are named, the most frequent first
FINDINGS = 200  # that a page lists; all are in the table


class DataTasks:
    """One data set at a time: the one that was asked for last."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._splits: Splits | None = None

    def look(self, words: list[str], samples: int, label: int | None, afresh: bool) -> dict:
        """Counts, sizes, samples and what is wrong with the data that the words name.

        Args:
            words: settings of a command line, `data=...` among them.
            samples: how many training images are shown.
            label: of those that are shown; None is any.
            afresh: read the data again, though they were read before.
        """
        splits = self._read(words, afresh)
        parts = {name: getattr(splits, name) for name in NAMES}
        classes = len(splits.class_names)
        findings = list(splits.findings)
        return {
            "class_names": splits.class_names,
            "counts": {
                n: np.bincount(p.labels, minlength=classes).tolist() for n, p in parts.items()
            },
            "sizes": _sizes(list(parts.values())),
            "samples": _samples(splits, samples, label),
            "warnings": [*quality_report.summary(findings), *quality_report.label_problems(splits)],
            "findings": [one._asdict() for one in findings[:FINDINGS]],
            "table": quality_report.findings_csv(findings) if findings else "",
            "fingerprint": splits.fingerprint,
        }

    def augment(self, words: list[str], columns: int, draws: int, seed: int) -> str:
        """A sheet of training images, and below each what the augmentation makes of it."""
        config = compose.compose(*words)
        preflight.check_settings(Config(data=config.data, augment=config.augment))
        own = [word for word in words if not word.startswith(("augment", "recipe="))]
        images = self._read(own, False).train.images[:columns]
        size = image_size(config.data)
        return encode_png(augmentation_sheet(images, config.augment, draws, seed, size))

    def _read(self, words: list[str], afresh: bool) -> Splits:
        if self._splits is None or words != self._words or afresh:
            self._splits = None
            config = _checked(words)
            config.data.cache_mb = 0  # a folder stays in its files, whose sizes are known
            self._splits, self._words = load_splits(config.data, config.train.seed), words
        return self._splits


def _checked(words: list[str]) -> Config:
    config = compose.compose(*words)
    preflight.check_settings(Config(data=config.data))
    return config


def _sizes(parts: list[Split]) -> list[list]:
    """`[["640 x 480", 31], ...]`: height and width as stored, and how many have them."""
    counts: Counter = Counter()
    for part in parts:
        if isinstance(part.images, LazyImages):
            counts.update((file.height, file.width) for file in part.images.files)
        else:
            counts[part.images.shape[1:3]] += len(part.labels)
    most = counts.most_common(SIZES)
    rest = sum(counts.values()) - sum(count for _, count in most)
    named = [[f"{height} x {width}", count] for (height, width), count in most]
    return named + ([["others", rest]] if rest else [])


def _samples(splits: Splits, count: int, label: int | None) -> list[dict[str, Any]]:
    """Training images evenly drawn, with the name of their class."""
    train = splits.train
    own = np.arange(len(train.labels)) if label is None else np.flatnonzero(train.labels == label)
    chosen = own[np.unique(np.linspace(0, len(own) - 1, min(count, len(own))).astype(int))]
    return [
        {
            "label": splits.class_names[train.labels[index]],
            "picture": encode_png(_within(enlarged(np.asarray(train.images[int(index)])))),
        }
        for index in chosen
    ]


def _within(picture: np.ndarray, side: int = 160) -> Image.Image:
    """(x, y, 3) in 0..1 -> no side longer than that: a page of samples is no download."""
    image = Image.fromarray((picture * 255).round().astype("uint8"))
    image.thumbnail((side, side))
    return image
