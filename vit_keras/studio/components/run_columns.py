"""Columns of the table of runs: what each run has in them, their titles and formats."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import streamlit as st

from vit_keras.config.fields import stage_options
from vit_keras.config.schema import Config
from vit_keras.runs import tables
from vit_keras.runs.describe import flatten_settings
from vit_keras.runs.listing import IS_SHARE, Ranked, images_of
from vit_keras.runs.notes import Notes
from vit_keras.runs.status import RunState
from vit_keras.studio.components import figures

# Shown of a run that ended before its first epoch did: it looks like one that is running.
STATE_WORDS = {"started": "stopped"}
NAME, TRAINED, STATE, DATA, RANK, TAGS, REASON, NOTE = OWN_COLUMNS = (
    *("Run", "Last trained", "State", "Data", "Rank", "Tags", "Reason", "Note"),
)
METRICS = {
    "best_val_accuracy": "Validation accuracy",
    "best_val_map": "Validation mAP",
    "test_accuracy": "Test accuracy",
    "test_map": "Test mAP",
    "test_balanced_accuracy": "Test balanced accuracy",
    "epochs": "Epochs",
    "params": "Parameters",
    "train_seconds": "Training seconds",
    "total_seconds": "Seconds with loading and saving",
    "peak_memory_mb": "Peak memory (MB)",
}
LETTER, MARGIN, MAX_WIDTH = 7, 24, 480  # pixels of the column of names
SHOWN = (TRAINED, STATE, DATA, RANK, "best_val_accuracy", "test_accuracy", "epochs", "params", TAGS)


class NotedRun(NamedTuple):
    """A run with its rank and notes."""

    ranked: Ranked
    notes: Notes

    @property
    def run(self) -> RunState:
        return self.ranked.run


def state_word(run: RunState) -> str:
    """The state of a run in one word, the same as that of its training."""
    return STATE_WORDS.get(run.state, run.state)


def columns_to_choose(runs: Sequence[RunState]) -> list[str]:
    """Names of all columns: our own, every metric, and every setting."""
    metrics = {name for run in runs for name in run.metrics}
    stages = dict.fromkeys(name for run in runs if run.config for name in run.config.stages)
    fields = [f"stages.{stage}.{field}" for stage in stages for field in stage_options()]
    known = [name for name in METRICS if name in metrics]
    settings = flatten_settings(Config())
    return [*OWN_COLUMNS[1:], *known, *sorted(metrics - {*known}), *settings, *fields]


def column_title(name: str) -> str:
    """The title of a column: of a metric in words, of a setting as on the command line."""
    if name in OWN_COLUMNS or "." in name:
        return name
    return METRICS.get(name, name.replace("_", " ").capitalize())


def table_frame(runs: Sequence[NotedRun], columns: Sequence[str]) -> Any:
    """The table as a data frame, a column each: numbers and times sort as such."""
    import pandas as pd  # a dependency of Streamlit; only pages with tables wait for it

    content = {name: list(map(_cell(name), runs)) for name in (NAME, *columns)}
    return pd.DataFrame({name: _of_one_type(values) for name, values in content.items()})


def _cell(name: str) -> Callable[[NotedRun], Any]:
    """What a run has in a column."""
    if name in OWN:
        return OWN[name]
    if "." in name or name in ("name", "task"):
        return lambda one: _setting(one.run, name)
    if not IS_SHARE.search(name):
        return lambda one: one.run.metrics.get(name)

    def share(one: NotedRun) -> float | None:
        value = one.run.metrics.get(name)
        return None if value is None else figures.rounded(value, images_of(one.run.metrics, name))

    return share


# Each by itself: a table of thousands of runs is drawn at every click.
OWN: dict[str, Callable[[NotedRun], Any]] = {
    NAME: lambda one: one.run.name,
    TRAINED: lambda one: datetime.fromtimestamp(one.run.trained) if one.run.trained else None,
    STATE: lambda one: state_word(one.run),
    DATA: lambda one: tables.data_text(one.run),
    RANK: lambda one: one.ranked.place,
    TAGS: lambda one: list(one.notes.tags),
    REASON: lambda one: one.run.reason,
    NOTE: lambda one: one.notes.note,
}


def _setting(run: RunState, name: str) -> Any:
    value: Any = run.config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def _of_one_type(values: list[Any]) -> list[Any]:
    """The values of a column, as text if they are of several types, such as numbers and lists."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds <= {int, float}:
        return values
    return [None if value is None else tables.format_setting(value) for value in values]


def column_config(runs: Sequence[NotedRun], columns: Sequence[str]) -> dict[str, Any]:
    """Titles, widths and number formats for Streamlit."""
    longest = max((len(one.run.name) for one in runs), default=0)
    config: dict[str, Any] = {
        # Whole, as names differ at their ends. Not pinned, which would write them in pale grey.
        NAME: st.column_config.TextColumn(width=min(MAX_WIDTH, MARGIN + LETTER * longest)),
        TRAINED: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        RANK: st.column_config.NumberColumn(help="by the chosen metric, among runs on equal data"),
        TAGS: st.column_config.ListColumn(),
    }
    for name in columns:
        if name not in config:
            # Without zeros at the end: each cell has the digits of `figures.rounded`.
            form = "percent" if IS_SHARE.search(name) and "." not in name else None
            title = column_title(name)
            number = name not in OWN_COLUMNS and "." not in name
            config[name] = st.column_config.NumberColumn(title, format=form) if number else title
    return config
