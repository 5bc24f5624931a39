"""A look at the data before anything is trained on them: what would make the figures lie."""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from vit_keras.data.dataset import Finding, Split, Splits
from vit_keras.data.lazy_images import LazyImages
from vit_keras.text import abbreviated_list, one_line

log = logging.getLogger("vit_keras")

REPORT = "data_report.csv"
SAMPLE = 2000  # images that the statistics are of
BATCH = 64
SUMMARIES = {
    "skipped": "{} files are no use and were skipped",
    "duplicate": "{} files are in two splits, so the test figures are too good",
    "near_duplicate": "{} pictures are nearly the same as one of another split",
    "two_labels": "{} files are there under two labels",
}


def table(findings: Any) -> str:
    """The findings as CSV; what cannot be written of a name is escaped."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Finding._fields)
    for finding in findings:
        writer.writerow(
            value.encode("utf-8", "backslashreplace").decode("utf-8") for value in finding
        )
    return file.getvalue()


def summary(findings: Any) -> Iterator[str]:
    """A line for each kind of finding: how many, and two of them."""
    for problem, count in Counter(finding.problem for finding in findings).items():
        own = [finding for finding in findings if finding.problem == problem][:2]
        examples = (
            f"{one_line(f.file)} ({f.detail if not f.other_file else one_line(f.other_file)})"
            for f in own
        )
        yield f"{SUMMARIES[problem].format(count)}: {', '.join(examples)}"


def label_problems(splits: Splits) -> list[str]:
    """Labels off the mapping, classes that a split lacks, classes of one picture alone."""
    problems, classes = [], len(splits.class_names)
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        off = (split.labels < 0) | (split.labels >= classes)
        if off.any():
            problems.append(
                f"{off.sum()} labels of the {name} split are not in 0 to {classes - 1}, such as "
                f"{split.labels[off][0]}; they have no class name"
            )
        there = np.bincount(split.labels[~off], minlength=classes)
        if absent := [splits.class_names[label] for label in np.flatnonzero(there == 0)]:
            problems.append(f"the {name} split has no image of {abbreviated_list(absent)}")
        alike = [label for label in np.flatnonzero(there > 1) if _is_one_picture(split, label)]
        if alike:
            names = [splits.class_names[label] for label in alike]
            problems.append(
                f"all images of the {name} split are the same of {abbreviated_list(names)}"
            )
    return problems


def _is_one_picture(split: Split, label: Any) -> bool:
    own = np.flatnonzero(split.labels == label)
    if isinstance(split.images, LazyImages):
        return len({entry.sha256 for entry in split.images.entries[own]}) == 1
    first = split.images[own[0]]
    return all(np.array_equal(split.images[index], first) for index in own[1:])


def channel_statistics(split: Split, count: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of up to `count` images evenly drawn, in 0 to 1."""
    chosen = np.unique(np.linspace(0, len(split.labels) - 1, count).round().astype(int))
    levels = np.zeros((split.images.shape[-1], 256))
    for start in range(0, len(chosen), BATCH):
        images = split.images[chosen[start : start + BATCH]]
        for channel, counts in enumerate(levels):
            counts += np.bincount(images[..., channel].ravel(), minlength=256)
    values, shares = np.arange(256) / 255, levels / levels.sum(axis=1, keepdims=True)
    mean = shares @ values
    return mean, np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))


def pixel_statistics(split: Split, vit: Any) -> str:
    """What the training images are like, beside what the model normalises with."""
    mean, std = channel_statistics(split)
    said = f"mean {_values(mean)}, std {_values(std)}"
    layer = {layer.name: layer for layer in vit.layers}.get("normalization")
    if layer is None:
        return said
    scale, offset = (np.asarray(value, "float64") for value in (layer.scale, layer.offset))
    own = f"mean {_values(-offset / scale / 255)}, std {_values(1 / scale / 255)}"
    return f"{said} in 0 to 1; the model takes {own} to 0 and 1"


def _values(values: np.ndarray) -> str:
    return " ".join(f"{value:.3f}" for value in np.atleast_1d(values))
