"""Lists, comparisons and descriptions of runs as text."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vit_keras.runs.compare import Comparison
from vit_keras.runs.delete import Candidate
from vit_keras.runs.describe import Description
from vit_keras.runs.listing import Ranked
from vit_keras.runs.status import RunState
from vit_keras.text import format_table, one_line

SHOWN = ("best_val_accuracy", "test_accuracy", "epochs", "params")
HASH = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28,}")
MANY = 20  # class names are written out up to so many


def ranking(ranked: Sequence[Ranked], by: str) -> str:
    """A line for each run, and how many of which kind there are."""
    if not ranked:
        return "no runs here; scripts/train_scratch.py makes one"
    columns = [by, *(name for name in SHOWN if name != by)]
    rows = [("", "run", *columns, "data", "state")]
    for place, run in ((one.place, one.run) for one in ranked):
        figures = (figure(run.metrics.get(name)) for name in columns)
        rows.append((str(place or "-"), one_line(run.name), *figures, data_of(run), said(run)))
    counts = Counter(one.run.state for one in ranked)
    kinds = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return f"{format_table(rows)}\n{kinds}; ranked by {by}"


def comparison(found: Comparison) -> str:
    """What differs, the figures of both, and where their curves are."""
    names = [one_line(run.name) for run in (found.first, found.second)]
    parts = {
        "settings that differ": (found.settings, setting),
        "environment that differs": (found.environment, short),
        "figures": (found.metrics, figure),
    }
    lines = []
    for title, (differences, shown) in parts.items():
        if differences:
            cells = ((f"  {d.name}", shown(d.first), shown(d.second)) for d in differences)
            lines += [format_table([(title, *names), *cells]), ""]
        else:
            lines += [f"{title}: none", ""]
    return "\n".join([*lines, f"curves: {found.picture or 'neither run has an epoch yet'}"])


def description(found: Description) -> str:
    """Section by section; those that the run's files say nothing of are left out."""
    run = found.run
    classes = found.class_names
    model = {
        **found.architecture,
        "input": " x ".join(map(str, found.input_shape or ())),
        "params": run.metrics.get("params"),
    }
    data = {
        **{name.removeprefix("data."): value for name, value in found.data.items()},
        "classes": ", ".join(classes) if len(classes) <= MANY else len(classes),
    }
    stages = {
        stage.name: f"{stage.trains}, {stage.epochs_done} of {stage.epochs} epochs, validation "
        f"accuracy {figure(stage.best_val_accuracy) or '-'}"
        for stage in found.stages
    }
    sections = {
        "figures": run.metrics,
        "model": model if found.architecture or found.input_shape else {},
        "data": data if found.data or classes else {},
        "other settings": found.settings,
        "stages": stages,
        "environment": found.environment,
        "files": {name: size(count) for name, count in found.files.items()},
    }
    lines = [f"{one_line(str(run.path))}: {said(run)}"]
    for title, facts in sections.items():
        shown = figure if facts is run.metrics else setting
        known = {name: value for name, value in facts.items() if value not in (None, "")}
        rows = [(f"  {one_line(name)}", shown(value)) for name, value in known.items()]
        lines += ["", title, format_table(rows)] if rows else []
    return "\n".join(lines)


def candidates(found: Iterable[Candidate]) -> str:
    """What would be deleted."""
    rows = [
        (one_line(str(one.run.path)), size(one.bytes), said(one.run))
        + (("in git",) if one.is_tracked else ("",))
        for one in found
    ]
    return format_table(rows)


def said(run: RunState) -> str:
    return f"{run.state}: {one_line(run.reason)}" if run.reason else run.state


def data_of(run: RunState) -> str:
    if run.config is None:
        return ""
    path = run.config.data.path
    return run.config.data.name + (f" {one_line(Path(path).name)}" if path else "")


def setting(value: Any) -> str:
    """As it is written on a command line, or a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(" ".join(value) if _is_words(value) else str(value))


def short(value: Any) -> str:
    """A commit or a fingerprint by its first digits."""
    return HASH.sub(r"\1", setting(value))


def figure(value: Any) -> str:
    """A share with four digits, a count with its thousands; nothing of None."""
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        if abs(value) < 0.01:
            return f"{value:g}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return str(value)


def size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 10_000 else f"{count:,} bytes"


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
