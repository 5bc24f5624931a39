"""Data quality report: skipped files, duplicates, label problems and pixel statistics."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vit_keras.data.dataset import Finding, Split, Splits
from vit_keras.data.image_findings import cut_off, unusual_sizes
from vit_keras.data.lazy_images import LazyImages
from vit_keras.text import abbreviated_list, counted, one_line

REPORT = "data_report.csv"
SAMPLE = 2000  # images that the pixel statistics are computed of
BATCH = 64
FEW_OF_CLASS = 10  # images to train on
IMBALANCE = 10  # from which ratio of the largest to the smallest class on it is reported
SUMMARIES = {  # see `text.counted`
    "skipped": "file[s] cannot be used and [was|were] skipped",
    "ignored": "file[s] [is no image|are no images] of a class and [was|were] ignored",
    "no_label": "row[s] of a table [has|have] no label, or several, and [was|were] skipped",
    "repeated": "row[s] of a table [repeats|repeat] another one, and [was|were] ignored",
    "inner_folder": "folder[s] within data.path [has|have] the classes, and [was|were] used",
    "no_classes": "folder[s] [is|are] named as a split, and [was|were] ignored",
    "similar_names": "class[es] [has|have] the name of another one in other letters",
    "duplicate": "file[s] [is|are] in two splits, so that test metrics are too good (data leakage)",
    "near_duplicate": "image[s] [is|are] nearly the same as one of another split (data leakage); "
    "where a split is drawn, data.group_duplicates=near keeps such images together",
    "two_labels": "file[s] [is|are] there under two labels",
    "flat": "image[s] [is|are] of one flat colour",
    "cropped": "image[s] [loses|lose] more than a third to data.resize_mode=crop; see "
    "data.resize_mode=pad",
    "bit_depth": "image[s] of 16 bits [does|do] not say how many are used; set data.bit_depth if "
    "the number taken is wrong",
    "odd_file": "file[s] [is|are] odd, and [its image is|their images are] read",
}
NOT_READ = ("skipped", "ignored", "no_label", "no_classes")  # named, and no images of a class


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
        yield f"{counted(len(found), SUMMARIES[problem])}: {', '.join(examples)}"


def label_problems(splits: Splits) -> list[str]:
    """Labels out of range, classes without an image in a split, classes of copies of one image."""
    problems, classes = [], len(splits.class_names)
    for name, split in splits.as_dict().items():
        end = classes if split.labels.ndim == 1 else 2  # several labels are of 0 and 1
        invalid = (split.labels < 0) | (split.labels >= end)
        if invalid.any():
            problems.append(
                counted(int(invalid.sum()), f"label[s] of the {name} split [is|are] not in 0 to ")
                + f"{classes - 1}, such as {split.labels[invalid][0]}; they have no class name"
            )
        counts = split.class_counts(classes)
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
    counts = splits.train.class_counts(len(splits.class_names))
    few = [
        f"{name} ({count})"
        for name, count in zip(splits.class_names, counts, strict=False)
        if 0 < count < FEW_OF_CLASS
    ]
    return (
        [f"fewer than {FEW_OF_CLASS} images to train on of {abbreviated_list(few)}"] if few else []
    )


def joined_labels(splits: Splits) -> list[str]:
    """A line that names classes that are several labels in one: `cat;dog` beside `cat`, `dog;owl`.

    A name with a comma of which no part is in another class, as `Dogs, small`, is none of them.
    """
    parts = {
        name: {part.strip() for part in re.split(r"[;|,]", name) if part.strip()}
        for name in splits.class_names
    }
    counts = Counter(part for found in parts.values() for part in found)
    joined = [
        name
        for name, found in parts.items()
        if len(found) > 1 and all(counts[part] > 1 for part in found)
    ]
    if not joined:
        return []
    way_out = "see task=multilabel"
    if splits.train.labels.ndim == 2:
        way_out = "separate labels by one and the same data.label_separator"
    return [
        f"{counted(len(joined), 'class[es]')} may be several labels in one: "
        f"{abbreviated_list(joined)}; {way_out}"
    ]


def crop(splits: Splits) -> list[str]:
    """A line if the crop cuts off more than a fifth of most images to train on."""
    return [] if splits.train_files is None else cut_off(splits.train_files)


def sizes(splits: Splits) -> list[str]:
    """A line if a few images to train on are far larger or smaller than the others."""
    return [] if splits.train_files is None else unusual_sizes(splits.train_files)


def imbalance(splits: Splits) -> list[str]:
    """A line if the largest class has ten times the images of the smallest to train on, or more."""
    labels = splits.train.labels
    if labels.ndim == 2:  # of several labels, each of which most images do not have
        return []
    counts = np.bincount(labels[labels >= 0], minlength=len(splits.class_names))
    present = np.flatnonzero(counts)
    if not len(present):
        return []
    largest, smallest = present[counts[present].argmax()], present[counts[present].argmin()]
    ratio = counts[largest] / counts[smallest]
    if ratio < IMBALANCE:
        return []
    names = [one_line(splits.class_names[label]) for label in (largest, smallest)]
    return [
        f"{names[0]} has {ratio:.3g} times the images of {names[1]} to train on "
        f"({counts[largest]} and {counts[smallest]}); see train.class_weight=balanced or "
        "data.sampling=sqrt, and train.monitor=val_balanced_accuracy"
    ]


def _is_one_image(split: Split, label: Any) -> bool:
    indices = split.of_class(label)
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
            rounded = images[..., channel].ravel().round().astype(np.uint8)
            counts += np.bincount(rounded, minlength=256)
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
