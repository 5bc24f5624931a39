"""The runs of a sweep by their results: a table with the best first, and a parallel plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from vit_keras.runs import run_end
from vit_keras.runs.history import ACCURACY, VAL_MAP
from vit_keras.studio.components import figures
from vit_keras.studio.components.display import is_dark, table
from vit_keras.studio.components.setting_inputs import label_of
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.live_run import RunView
from vit_keras.studio.jobs.queue import Job

RESULT = "best validation"
MANY = 8  # values of an axis that are written; of more only the lowest and the highest
AXIS = {
    "grid": False,
    "domain": False,
    "ticks": False,
    "labelAngle": 0,
    "labelLimit": 200,
    "title": None,
}
X = {"field": "setting", "type": "nominal", "sort": None, "axis": AXIS}
Y = {"field": "place", "type": "quantitative", "axis": None}
COLOR = {"field": "result", "type": "quantitative", "scale": {"scheme": "viridis"}}


def _plot(has_dark_page: bool) -> dict[str, Any]:
    """Parallel coordinates: an axis for each setting, and a line for each run."""
    ink = "white" if has_dark_page else "black"
    lines = {
        "x": X,
        "y": Y,
        "detail": {"field": "run"},
        "color": {**COLOR, "legend": {"title": RESULT, "format": "~%"}},
        "tooltip": [{"field": "run"}, {"field": "setting"}, {"field": "value"}],
    }
    # Hidden from screen readers; the table above has the values.
    return {
        "layer": [
            {
                "mark": {"type": "rule", "aria": False, "opacity": 0.15, "color": ink},
                "encoding": {"x": X},
            },
            {"mark": {"type": "line", "aria": False, "strokeWidth": 2}, "encoding": lines},
            {
                "mark": {"type": "text", "aria": False, "dx": 6, "align": "left", "color": ink},
                "encoding": {"x": X, "y": Y, "text": {"field": "label"}},
            },
        ]
    }


@dataclass(frozen=True)
class Result:
    """One run of a sweep.

    Attributes:
        view: the content of its directory.
        settings: its values of the settings that the sweep varies, as text.
        best: its best validation score so far; None before the first epoch has ended.
    """

    view: RunView
    settings: list[str]
    best: float | None


def results_of(job: Job, views: Sequence[RunView]) -> list[Result]:
    """The runs of a sweep, the best first; those without a result last."""
    found = [Result(view, _settings_of(job, view), _best(view)) for view in views]
    return sorted(found, key=lambda one: (one.best is None, -(one.best or 0)))


def _settings_of(job: Job, view: RunView) -> list[str]:
    return [figures.typed(text) for text in live_run.settings_of(view.path, job.swept)]


def _score_of(view: RunView) -> str:
    return VAL_MAP if view.rows and VAL_MAP in view.rows[0] else ACCURACY


def _best(view: RunView) -> float | None:
    return max((row[_score_of(view)] for row in view.rows), default=None)


def show(job: Job, results: Sequence[Result]) -> None:
    """The table of the runs, and once two have a result how their settings lead to it."""
    labels = [label_of(name) or name for name in job.swept]
    rows = [_row(result, is_best=place == 0) for place, result in enumerate(results)]
    st.markdown(table([["run", *labels, "epochs", RESULT, "test", "ended"], *rows]))
    points = _points(labels, [result for result in results if result.best is not None])
    if points:
        import pandas as pd  # a dependency of Streamlit; only pages with curves wait for it

        st.markdown("**Settings and results**: a line for each run")
        st.vega_lite_chart(pd.DataFrame(points), _plot(is_dark()), height=260)


def _row(result: Result, is_best: bool) -> list[str]:
    view, name = result.view, _score_of(result.view)
    test = view.metrics.get(name.replace("val", "test"))
    accuracies = [
        figures.accuracy(value, view.images.get(split), name == ACCURACY)
        for split, value in {"validation": result.best, "test": test}.items()
    ]
    ended = view.end.cause if view.end and view.end.reason != run_end.FINISHED else ""
    title = f"{view.path.name} (best)" if is_best and result.best is not None else view.path.name
    return [title, *result.settings, str(len(view.rows)), *accuracies, ended]


def _points(labels: Sequence[str], results: Sequence[Result]) -> list[dict[str, Any]]:
    """A point of each run on each axis, from 0 at the bottom to 1; none for a single run."""
    if len(results) < 2:
        return []
    best = [float(result.best or 0) for result in results]
    low, high = min(best), max(best)
    values = {
        label: [result.settings[column] for result in results]
        for column, label in enumerate(labels)
    }
    axes = {label: _places(of_setting) for label, of_setting in values.items()}
    texts = [
        figures.percent(one, result.view.images.get("validation"))
        for one, result in zip(best, results, strict=True)
    ]
    values[RESULT] = texts
    axes[RESULT] = {
        text: (one - low) / ((high - low) or 1) for text, one in zip(texts, best, strict=True)
    }
    return [
        {
            "run": result.view.path.name,
            "setting": label,
            "value": value,
            "place": places[value],
            "label": value if len(places) <= MANY or places[value] in (0, 1) else "",
            "result": result.best,
        }
        for label, places in axes.items()
        for result, value in zip(results, values[label], strict=True)
    ]


def _places(values: Sequence[str]) -> dict[str, float]:
    """Places on an axis, from 0 to 1: those of numbers by their order and evenly, as of words."""
    try:
        order = sorted({*values}, key=float)
    except ValueError:
        order = sorted({*values})
    return {value: place / max(1, len(order) - 1) for place, value in enumerate(order)}
