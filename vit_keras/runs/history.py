"""Read `history.csv`, one row per epoch, and find the best epoch. Imports no Keras."""

import csv
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError

FILE = "history.csv"
NEEDED = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def read_history(run: Path) -> list[dict[str, Any]]:
    """Column -> number (or text) for each epoch; empty before the first epoch has ended.

    Raises:
        SettingError: the file is damaged.
    """
    file = run / FILE
    if not file.exists():
        return []
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            rows = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(lines)]
        for row in rows:
            if wrong := [name for name in NEEDED if not isinstance(row.get(name), float)]:
                raise ValueError(f"{wrong[0]} is not a number")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise SettingError(f"{file} is damaged ({error}); restore an intact copy of it") from None
    return rows


def best_epoch(rows: list[dict[str, Any]]) -> int:
    """Epoch, counted from 1, of the highest validation accuracy; ties go to the lowest loss."""
    return max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))["epoch"]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
