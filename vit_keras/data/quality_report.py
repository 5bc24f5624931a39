"""Data quality report: skipped files, duplicates, label problems and pixel statistics."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vit_keras.data.dataset import Finding, Split, Splits
from vit_keras.data.lazy_images import LazyImages
from vit_keras.text import abbreviated_list, one_line

REPORT = "data_report.csv"
SAMPLE = 2000  # images that the pixel statistics are computed of
BATCH = 64
FEW_OF_CLASS = 10  # images to train on
SUMMARIES = {
    "skipped": "{} files cannot be used and were skipped",
    "ignored": "{} files are no images of a class and were ignored",
    "inner_folder": "the classes were taken from {} folder within data.path",
    "no_classes": "{} folders are named as a split, and were ignored",
    "similar_names": "{} classes have the name of another one in other letters",
    "duplicate": "{} files are in two splits, so that test metrics are too good (data leakage)",
    "near_duplicate": "{} images are nearly the same as one of another split (data leakage); where "
    "a split is drawn, data.group_duplicates=near keeps them together",
    "two_labels": "{} files are there under two labels",
    "flat": "{} images are of one flat colour",
    "cropped": "{} images lose more than a third to data.resize_mode=crop; see "
    "data.resize_mode=pad",
    "bit_depth": "{} images of 16 bits do not say how many are used; set data.bit_depth if the "
    "number taken is wrong",
    "odd_file": "{} files are odd, and their images are read",
}
NOT_READ = ("skipped", "ignored", "no_classes")  # files that are there and are no images


def findings_csv(findings: Iterable[Finding]) -> str:
    """The findings as CSV; bytes of a file name that are not UTF-8 are escaped."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Finding._fields)
    for finding in findings:
        writer.writerow(
            value.encode("utf-8", "backslashreplace").decode("utf-8") for value in finding
        )
    return file.getvalue()


def summary(findings: Iterable[Finding]) -> Iterator[str]:
    """A line for each kind of problem: how often it was found, and two examples."""
    by_problem: dict[str, list[Finding]] = {}
    for finding in findings:
        by_problem.setdefault(finding.problem, []).append(finding)
    for problem, found in by_problem.items():
        examples = (
            f"{one_line(finding.file)} "
            f"({one_line(finding.other_file) if finding.other_file else finding.detail})"
            for finding in found[:2]
        )
        yield f"{SUMMARIES[problem].format(len(found))}: {', '.join(examples)}"


def label_problems(splits: Splits) -> list[str]:
    """Labels out of range, classes without an image in a split, classes of copies of one image."""
    problems, classes = [], len(splits.class_names)
    for name, split in splits.as_dict().items():
        invalid = (split.labels < 0) | (split.labels >= classes)
        if invalid.any():
            problems.append(
                f"{invalid.sum()} labels of the {name} split are not in 0 to {classes - 1}, such "
                f"as {split.labels[invalid][0]}; they have no class name"
            )
        counts = np.bincount(split.labels[~invalid], minlength=classes)
        if missing := [splits.class_names[label] for label in np.flatnonzero(counts == 0)]:
            problems.append(f"the {name} split has no image of {abbreviated_list(missing)}")
        identical = [
            splits.class_names[label]
            for label in np.flatnonzero(counts > 1)
            if _is_one_image(split, label)
        ]
        if identical:
            problems.append(
                f"all images of the {name} split are the same of {abbreviated_list(identical)}"
            )
    return problems


def rare_classes(splits: Splits) -> list[str]:
    """A line that names classes of which there are hardly any images to train on."""
    labels = splits.train.labels
    counts = np.bincount(labels[labels >= 0], minlength=len(splits.class_names))
    few = [
        f"{name} ({count})"
        for name, count in zip(splits.class_names, counts, strict=False)
        if 0 < count < FEW_OF_CLASS
    ]
    return (
        [f"fewer than {FEW_OF_CLASS} images to train on of {abbreviated_list(few)}"] if few else []
    )


def _is_one_image(split: Split, label: Any) -> bool:
    indices = np.flatnonzero(split.labels == label)
    if isinstance(split.images, LazyImages):
        return len({file.sha256 for file in split.images.files[indices]}) == 1
    first = split.images[indices[0]]
    return all(np.array_equal(split.images[index], first) for index in indices[1:])


def channel_statistics(split: Split, count: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of up to `count` evenly spaced images, in 0 to 1."""
    chosen = np.unique(np.linspace(0, len(split.labels) - 1, count).round().astype(int))
    histogram = np.zeros((split.images.shape[-1], 256))  # C, pixel levels
    for start in range(0, len(chosen), BATCH):
        images = split.images[chosen[start : start + BATCH]]
        for channel, counts in enumerate(histogram):
            counts += np.bincount(images[..., channel].ravel(), minlength=256)
    levels, shares = np.arange(256) / 255, histogram / histogram.sum(axis=1, keepdims=True)
    mean = shares @ levels
    return mean, np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))


def pixel_statistics(split: Split, vit: Any) -> str:
    """Mean and standard deviation of the images, and those that the model normalises by."""
    mean, std = channel_statistics(split)
    measured = f"mean {_format(mean)}, std {_format(std)}"
    layer = {layer.name: layer for layer in vit.layers}.get("normalization")
    if layer is None:
        return measured
    scale, offset = (np.asarray(value, "float64") for value in (layer.scale, layer.offset))
    expected = f"mean {_format(-offset / scale / 255)}, std {_format(1 / scale / 255)}"
    return f"{measured} in 0 to 1; the model normalises by {expected}"


def _format(values: np.ndarray) -> str:
    return " ".join(f"{value:.3f}" for value in np.atleast_1d(values))
