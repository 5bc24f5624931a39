"""Read `history.csv`, one row per epoch, and find the best epoch. Imports no Keras."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.errors import SettingError

FILE = "history.csv"
ACCURACY = "val_accuracy"
VAL_MAP = "val_map"  # mean average precision, of a run with several labels
# What the best epoch is chosen by -> its name in messages.
MONITORS = {
    ACCURACY: "validation accuracy",
    "val_balanced_accuracy": "validation balanced accuracy",
    "val_macro_f1": "validation macro F1",
    "val_loss": "validation loss",
    VAL_MAP: "validation mAP",
}
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
            needed = [*NEEDED, *(name for name in MONITORS if name in row)]
            if wrong := [name for name in needed if not isinstance(row.get(name), float)]:
                raise ValueError(f"{wrong[0]} is not a number")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise SettingError(f"{file} is damaged ({error}); restore an intact copy of it") from None
    return rows


def monitor_of(config: Config | DictConfig) -> str:
    """The column that a run's best epoch is chosen by: of several labels the mAP.

    Where most labels are absent, a model that predicts none of them has a high accuracy.
    """
    return VAL_MAP if config.task == MULTILABEL else config.train.monitor


def best_epoch(rows: list[dict[str, Any]], monitor: str = ACCURACY) -> int:
    """Epoch, counted from 1, of the best value of `monitor`; ties go to the lowest loss."""
    return max(rows, key=lambda row: (score(row[monitor], monitor), -row["val_loss"]))["epoch"]


def score(value: float, monitor: str) -> float:
    """The value of `monitor` with the sign by which higher is better."""
    return -value if monitor == "val_loss" else value


def objective(metrics: Mapping[str, Any], monitor: str) -> float | None:
    """What a search looks for the highest of, by the content of a `metrics.json`."""
    value = metrics.get(f"best_{monitor}")
    return None if value is None else score(value, monitor)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
