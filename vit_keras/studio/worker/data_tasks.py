"""Tasks of the worker on a data set: summarise it, and draw augmented images."""

from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from vit_keras.augment.preview import augmentation_sheet
from vit_keras.config import compose
from vit_keras.config.schema import Config
from vit_keras.data import quality_report
from vit_keras.data.dataset import Split, Splits, label_text
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.splits import image_size, load_splits
from vit_keras.explain.plots import enlarged
from vit_keras.runs import accuracy
from vit_keras.studio.worker.png import encode_png
from vit_keras.training import preflight

NAMES = ("train", "validation", "test")
SIZES = 12  # different image sizes that are listed, the most frequent first
FINDINGS = 200  # findings that a page lists; the table has all of them


class DataTasks:
    """Tasks on a data set; the last one that was read is kept."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._splits: Splits | None = None

    def summary(self, words: list[str], samples: int, label: int | None, reload: bool) -> dict:
        """Class counts, image sizes, samples and the quality report of a data set.

        Args:
            words: overrides of a command line, `data=...` among them.
            samples: number of training images to show.
            label: class of these images; None is any class.
            reload: read the data again, even if they were read before.
        """
        splits = self._read(words, reload)
        parts = {name: getattr(splits, name) for name in NAMES}
        classes = len(splits.class_names)
        findings = list(splits.findings)
        return {
            "class_names": splits.class_names,
            "several_labels": splits.train.labels.ndim == 2,
            "images": splits.image_counts,
            "counts": {name: part.class_counts(classes).tolist() for name, part in parts.items()},
            "not_read": sum(finding.problem in quality_report.NOT_READ for finding in findings),
            "sizes": _sizes(list(parts.values())),
            "samples": _samples(splits, samples, label),
            "warnings": [
                *quality_report.summary(findings),
                *quality_report.label_problems(splits),
                *quality_report.rare_classes(splits),
                *quality_report.joined_labels(splits),
                *quality_report.imbalance(splits),
                *quality_report.crop(splits),
                *quality_report.sizes(splits),
                *accuracy.small_splits(splits.image_counts),
            ],
            "findings": [finding._asdict() for finding in findings[:FINDINGS]],
            "table": quality_report.findings_csv(findings) if findings else "",
            "fingerprint": splits.fingerprint,
        }

    def augment(self, words: list[str], columns: int, draws: int, seed: int) -> str:
        """A PNG of training images of all classes, each above `draws` augmented versions."""
        config = compose.compose(*words)
        preflight.check_settings(Config(task=config.task, data=config.data, augment=config.augment))
        data_words = [word for word in words if not word.startswith(("augment", "recipe="))]
        train = self._read(data_words, False).train
        images = train.images[train.spread(columns)]
        size = image_size(config.data)
        return encode_png(augmentation_sheet(images, config.augment, draws, seed, size))

    def _read(self, words: list[str], reload: bool) -> Splits:
        if self._splits is None or words != self._words or reload:
            self._splits = None
            config = compose.compose(*words)
            preflight.check_settings(Config(task=config.task, data=config.data))
            # Without a cache the images of a folder stay `LazyImages`, which know their sizes.
            config.data.cache_mb = 0
            self._splits, self._words = load_splits(config.data, config.train.seed), words
        return self._splits


def _sizes(parts: list[Split]) -> list[list]:
    """Stored height x width and number of images: `[["640 x 480", 31], ...]`."""
    counts: Counter = Counter()
    for part in parts:
        if isinstance(part.images, LazyImages):
            counts.update((file.height, file.width) for file in part.images.files)
        else:
            counts[part.images.shape[1:3]] += len(part.labels)
    frequent = counts.most_common(SIZES)
    rest = sum(counts.values()) - sum(count for _, count in frequent)
    rows: list[list] = [[f"{height} x {width}", count] for (height, width), count in frequent]
    return rows + ([["others", rest]] if rest else [])


def _samples(splits: Splits, count: int, label: int | None) -> list[dict[str, Any]]:
    """Evenly spaced training images with the names of their classes."""
    train = splits.train
    indices = np.arange(len(train.labels)) if label is None else train.of_class(label)
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int)
    return [
        {
            "label": label_text(train.labels[index], splits.class_names),
            "image": encode_png(_thumbnail(enlarged(np.asarray(train.images[int(index)])))),
        }
        for index in indices[np.unique(places)]
    ]


def _thumbnail(pixels: np.ndarray, side: int = 160) -> Image.Image:
    """(X, Y, 3) in 0..1 -> an image of at most `side` pixels, so that a page loads fast."""
    image = Image.fromarray((pixels * 255).round().astype("uint8"))
    image.thumbnail((side, side))
    return image
