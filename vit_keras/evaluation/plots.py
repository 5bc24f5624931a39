"""Plots of an evaluation, as PNG files."""

from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import plotting
from vit_keras.evaluation.calibration import Bin

MAX_ERRORS, ERRORS_PER_ROW = 24, 6  # on the contact sheet
MAX_COUNTED_CLASSES = 20  # a larger confusion matrix shows no counts
MAX_NAMED_CLASSES = 60  # a larger one shows no class names
MAX_NAME_LENGTH = 16


def confusion_matrix(path: Path, matrix: np.ndarray, class_names: list[str]) -> None:
    """Heat map of a confusion matrix (K, K), each row normalised, with counts if they fit."""
    classes = len(matrix)
    side = float(np.clip(0.55 * classes + 2, 4.5, 11))
    figure = plotting.figure(side, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="class")
    if classes <= MAX_NAMED_CLASSES:
        names = [_short(name) for name in class_names]
        size = 9 if classes <= MAX_COUNTED_CLASSES else 6
        axes.set_xticks(range(classes), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(classes), names, fontsize=size, parse_math=False)
    if classes <= MAX_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    plotting.save_chart(figure, path)


def reliability_diagrams(path: Path, diagrams: dict[str, list[Bin]]) -> None:
    """Accuracy by confidence (Guo et al. 2017, figure 1): title -> bins, side by side."""
    figure = plotting.figure(4.2 * len(diagrams), 4.4)
    for axes, (title, bins) in zip(
        figure.subplots(1, len(diagrams)), diagrams.items(), strict=True
    ):
        filled = [part for part in bins if part.images]
        width = 1 / len(bins)
        centres = [(part.low + part.high) / 2 for part in filled]
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect calibration")
        axes.bar(
            centres,
            [part.accuracy for part in filled],
            width=0.94 * width,
            color="tab:blue",
            label="accuracy",
        )
        most = max(part.images for part in bins)
        axes.bar(
            centres,
            [0.12 * part.images / most for part in filled],
            width=0.5 * width,
            color="tab:orange",
            label="number of images (relative)",
        )
        axes.set(title=title, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", fontsize=8)
    plotting.save_chart(figure, path)


def contact_sheet(path: Path, images: np.ndarray, titles: list[str]) -> None:
    """Contact sheet of images (m, X, Y, C) in 0..255, each with its title."""
    rows = -(-len(images) // ERRORS_PER_ROW)
    figure = plotting.figure(1.75 * ERRORS_PER_ROW, 2.1 * rows)
    grid = figure.subplots(rows, ERRORS_PER_ROW, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        shown = (image[..., 0] if image.shape[-1] < 3 else image[..., :3]).round().astype("uint8")
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=8, parse_math=False)
    plotting.save_figure(figure, path)


def error_title(label: str, predicted: str, confidence: float) -> str:
    return f"{_short(predicted)} {confidence:.1%}\nlabelled {_short(label)}"


def labelled_title(label: str, detail: str) -> str:
    return f"{_short(label)}\n{detail}"


def label_error_title(error: str, label: str, probability: float) -> str:
    return f"{error}\n{_short(label)} {probability:.1%}"


def robustness(path: Path, rows: list[dict[str, Any]], clean: float) -> None:
    """Accuracy by severity, a line per corruption; `clean` is the accuracy without corruption."""
    figure = plotting.figure(6, 3.8)
    axes = figure.subplots()
    for name in dict.fromkeys(row["corruption"] for row in rows):
        of_name = [row for row in rows if row["corruption"] == name]
        severities = [0, *(row["strength"] for row in of_name)]
        accuracies = [clean, *(row["accuracy"] for row in of_name)]
        axes.plot(severities, accuracies, marker="o", label=name)
    axes.set_xticks(severities, ["clean", *map(str, severities[1:])])
    axes.set(xlabel="severity (Hendrycks & Dietterich 2019)", ylabel="accuracy", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    plotting.save_chart(figure, path)


def image_sizes(path: Path, rows: list[dict[str, Any]], trained_at: int) -> None:
    """Accuracy with its interval by the height of the images; `trained_at` is marked."""
    figure = plotting.figure(6, 3.8)
    axes = figure.subplots()
    sides = [row["image_size"] for row in rows]
    accuracies = np.array([row["accuracy"] for row in rows])
    low, high = np.array([row["accuracy_interval"] for row in rows]).T
    errors = [accuracies - low, high - accuracies]
    axes.errorbar(sides, accuracies, yerr=errors, marker="o", capsize=3)
    axes.axvline(trained_at, color="grey", linestyle="--", label="trained at")
    axes.legend()
    axes.set_xticks(sides)
    axes.set(xlabel="image size in pixels", ylabel="accuracy", ylim=(0, 1))
    axes.grid(alpha=0.3)
    plotting.save_chart(figure, path)


def _short(name: str) -> str:
    """A class name on one line, truncated."""
    line = "".join(letter if letter.isprintable() else "?" for letter in name)
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1]}…"
