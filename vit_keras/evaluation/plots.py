"""The pictures of an evaluation, as PNG files."""

from pathlib import Path
from typing import Any

import numpy as np

from vit_keras import plotting
from vit_keras.evaluation.calibration import Bin

ON_SHEET, IN_A_ROW = 24, 6  # mistakes
NUMBERED = 20  # classes, up to which a matrix can show its counts
NAMED = 60  # classes, up to which it can name them
LONGEST = 16  # letters of a class's name beside a matrix or below an image


def confusion(path: Path, matrix: np.ndarray, class_names: list[str]) -> None:
    """(K, K): a row for each class, in shades of its share, with counts where they can be read."""
    classes = len(matrix)
    side = float(np.clip(0.55 * classes + 2, 4.5, 11))
    figure = plotting.figure(side, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="class")
    if classes <= NAMED:
        names = [_short(name) for name in class_names]
        size = 9 if classes <= NUMBERED else 6
        axes.set_xticks(range(classes), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(classes), names, fontsize=size, parse_math=False)
    if classes <= NUMBERED:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
    plotting.save_chart(figure, path)


def reliability(path: Path, diagrams: dict[str, list[Bin]]) -> None:
    """Accuracy by confidence, side by side: Guo et al. 2017, figure 1. Titles are the keys."""
    figure = plotting.figure(4.2 * len(diagrams), 4.4)
    for axes, (title, bins) in zip(
        figure.subplots(1, len(diagrams)), diagrams.items(), strict=True
    ):
        seen = [part for part in bins if part.images]
        width = 1 / len(bins)
        centres = [(part.low + part.high) / 2 for part in seen]
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect calibration")
        axes.bar(
            centres,
            [part.accuracy for part in seen],
            width=0.94 * width,
            color="tab:blue",
            label="accuracy",
        )
        images = max(part.images for part in bins)
        axes.bar(
            centres,
            [0.12 * part.images / images for part in seen],
            width=0.5 * width,
            color="tab:orange",
            label="images, on a scale of their own",
        )
        axes.set(title=title, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", fontsize=8)
    plotting.save_chart(figure, path)


def most_confident_errors(path: Path, images: np.ndarray, titles: list[str]) -> None:
    """(m, X, Y, C) in 0..255, each under its title: a contact sheet."""
    rows = -(-len(images) // IN_A_ROW)
    figure = plotting.figure(1.75 * IN_A_ROW, 2.1 * rows)
    grid = figure.subplots(rows, IN_A_ROW, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        shown = image[..., 0] if image.shape[-1] == 1 else image[..., :3]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=8, parse_math=False)
    plotting.save_figure(figure, path)


def title(truth: str, predicted: str, confidence: float) -> str:
    return f"{_short(predicted)} {confidence:.1%}\nlabelled {_short(truth)}"


def robustness(path: Path, rows: list[dict[str, Any]], clean: float) -> None:
    """Accuracy by strength, a line for each kind of corruption."""
    figure = plotting.figure(6, 3.8)
    axes = figure.subplots()
    for kind in dict.fromkeys(row["corruption"] for row in rows):
        own = [row for row in rows if row["corruption"] == kind]
        strengths = [0, *(row["strength"] for row in own)]
        axes.plot(strengths, [clean, *(row["accuracy"] for row in own)], marker="o", label=kind)
    axes.set_xticks(strengths, ["as it is", *map(str, strengths[1:])])
    axes.set(xlabel="severity (Hendrycks & Dietterich 2019)", ylabel="accuracy", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    plotting.save_chart(figure, path)


def sizes(path: Path, rows: list[dict[str, Any]], own: int | None) -> None:
    """Accuracy by image size, with its interval; `own` is the model's, where it is one number."""
    figure = plotting.figure(6, 3.8)
    axes = figure.subplots()
    sides = [row["image_size"] for row in rows]
    accuracies = np.array([row["accuracy"] for row in rows])
    low, high = np.array([row["accuracy_interval"] for row in rows]).T
    bars = [accuracies - low, high - accuracies]
    axes.errorbar(sides, accuracies, yerr=bars, marker="o", capsize=3)
    if own is not None:
        axes.axvline(own, color="grey", linestyle="--", label="trained at")
        axes.legend()
    axes.set_xticks(sides)
    axes.set(xlabel="image size in pixels", ylabel="accuracy", ylim=(0, 1))
    axes.grid(alpha=0.3)
    plotting.save_chart(figure, path)


def _short(name: str) -> str:
    """On one line, and of a length that has a place."""
    line = "".join(letter if letter.isprintable() else "?" for letter in name)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
