"""Several labels from a table: 4,000 canvases of two to four of scikit-learn's digits.

    python benchmarks/multilabel.py             # some minutes on two cores

Composes grey images of 32x32 pixels with digits at random places, and a table with the digits of
each; trains a small model on it from scratch with `task=multilabel`, fits the thresholds on the
validation split, and prints the scores of the test split. No drawing of a digit is in two splits.
"""

import csv
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import argument_parser, parse_arguments
from PIL import Image
from sklearn.datasets import load_digits

from vit_keras import evaluate_run, load_config, train_model

SIDE, CELL = 32, 10  # pixels of a canvas, and of the cells in it that have one digit each
SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}  # fractions of the digits and of the canvases
MODEL = ("patch_size=4", "width=64", "num_heads=2", "mlp_dim=128", "stem=cct")


def compose_canvases(folder, count, seed=0):
    """Write `count` canvases, and `labels.csv` of image, labels and split; give its path."""
    rng = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))
    bounds = np.cumsum(list(SPLITS.values()))
    parts = np.split(order, (bounds[:-1] * len(digits)).astype(int))
    table = folder / "labels.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "labels", "split"])
        for number in range(count):
            index = int(np.searchsorted(bounds, (number + 0.5) / count))
            chosen = rng.choice(parts[index], rng.integers(2, 5), replace=False)
            pixels = draw(images[chosen].reshape(-1, 8, 8), rng)
            Image.fromarray(pixels).save(folder / f"{number:04}.png")
            labels = ";".join(map(str, sorted({*digits[chosen].tolist()})))
            rows.writerow([f"{number:04}.png", labels, list(SPLITS)[index]])
    return table


def draw(drawings, rng):
    """(m, 8, 8) in 0..16 -> a canvas (SIDE, SIDE) uint8, each in a cell of its own."""
    pixels = np.zeros((SIDE, SIDE), "uint8")
    per_row = SIDE // CELL
    for cell, drawing in zip(rng.permutation(per_row**2), drawings, strict=False):
        row, column = np.array(divmod(cell, per_row)) * CELL + rng.integers(0, 3, 2)
        pixels[row : row + 8, column : column + 8] = (drawing * 255 / 16).round()
    return pixels


def main():
    options = argument_parser(__doc__)
    options.add_argument("--images", type=int, default=4000)
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--depth", type=int, default=4)
    options.add_argument("--loss", default="cross_entropy")
    settings = parse_arguments(options, images=200, epochs=1, depth=1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "canvases").mkdir()
        table = compose_canvases(folder / "canvases", settings.images)
        config = load_config(
            *("recipe=folder", "task=multilabel", "data=csv", f"data.path={table}"),
            *(f"data.image_size={SIDE}", "data.missing_classes=allow", "augment=none"),
            *("augment.crop_padding=2", f"loss={settings.loss}", f"train.epochs={settings.epochs}"),
            *("train.batch_size=64", "optim.learning_rate=2e-3", "train.autotune=false"),
            *(f"model.{option}" for option in (*MODEL, f"depth={settings.depth}")),
            f"run.dir={folder / 'run'}",
        )
        started = time.perf_counter()
        run = train_model(config)
        seconds = time.perf_counter() - started
        report = evaluate_run(run.path).report
    print(f"{settings.images} canvases, {settings.epochs} epochs in {seconds:.0f} s", flush=True)
    for name in ("map", "micro_f1", "macro_f1", "hamming_loss", "exact_match"):
        print(f"{name:<14}{report[name]:8.4f}", flush=True)


if __name__ == "__main__":
    main()
