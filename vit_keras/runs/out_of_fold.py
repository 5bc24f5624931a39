"""The probabilities out of fold of a run of `train.folds`: by the fold not trained on the image."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.text import counted

FILE = "out_of_fold.csv"
PROBABILITY = "probability of "  # and the class: a column


def read(folds_run: str, paths: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Probabilities (n, K) of n image files and K classes.

    Args:
        folds_run: folder of a run of `train.folds` on a folder of images.
        paths: of images that it was trained on.
        class_names: those of the run that count, or all of them.

    Raises:
        SettingError: it is no such run, or was trained on other images or classes.
    """
    saved = check(folds_run)
    with open(saved.path / FILE, encoding="utf-8", errors="surrogateescape", newline="") as opened:
        rows = list(csv.DictReader(opened))
    root = Path(saved.config.data.path or "")
    by_file = {_absolute(root / row["image"]): row for row in rows}
    columns = [f"{PROBABILITY}{name}" for name in class_names]
    for name, column in zip(class_names, columns, strict=True):
        if column not in rows[0]:
            raise SettingError(f"folds_run={folds_run} has no class {name}; leave it out")
    files = [_absolute(Path(path)) for path in paths]
    if missing := [path for path in files if path not in by_file]:
        raise SettingError(
            f"folds_run={folds_run} was not trained on {counted(len(missing), 'image[s]')}, such "
            f"as {missing[0]}; embed the images that it was trained on, or leave it out"
        )
    found = np.array([[float(by_file[path][column]) for column in columns] for path in files])
    return found / found.sum(axis=1, keepdims=True)


def check(folds_run: str) -> SavedRun:
    """Open a run of `train.folds`.

    Raises:
        SettingError: it is no such run.
    """
    saved = open_run(folds_run)
    if not (saved.path / FILE).is_file():
        raise SettingError(
            f"folds_run={folds_run} has no {FILE}; name a run of train.folds, or leave it out"
        )
    return saved


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()
