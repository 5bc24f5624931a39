"""Lists, comparisons and descriptions of runs as text."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vit_keras.runs.accuracy import FEW_IMAGES, UNEQUAL
from vit_keras.runs.compare import Comparison, Difference, best_of
from vit_keras.runs.delete import Candidate
from vit_keras.runs.describe import Description
from vit_keras.runs.listing import Ranked, data_set, few_images
from vit_keras.runs.status import RunState
from vit_keras.text import counted, format_table, one_line

SHOWN = ("best_val_accuracy", "test_accuracy", "epochs", "params")
BALANCED = "test_balanced_accuracy"
HASH = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28,}")
BEST = "*"  # beside the best value of several runs
MAX_CLASS_NAMES = 20  # more are only counted
MAX_FOLDERS = 5  # likewise


def ranking_table(ranked: Sequence[Ranked], by: str) -> str:
    """One line per run, and the number of runs in each state; other folders are only named."""
    others = other_folders(one.run for one in ranked)
    ranked = [one for one in ranked if one.run.is_run]
    if not ranked:
        return "\n".join(["no runs here; train one by `vit-keras train`", *filter(None, [others])])
    columns = shown_metrics([one.run for one in ranked], by)
    rows = [("", "run", *columns, "data", "state")]
    for place, run in ((one.place, one.run) for one in ranked):
        figures = (figure_text(run, name) for name in columns)
        rows.append(
            (str(place or "-"), one_line(run.name), *figures, data_text(run), state_text(run))
        )
    counts = Counter(one.run.state for one in ranked)
    kinds = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    few = any(few_images(one.run, by) is not None for one in ranked)
    sets = {data_set(one.run) for one in ranked if one.place is not None}
    within = " within each data set" if len(sets) > 1 else ""
    order = f", of fewer than {FEW_IMAGES} images last" if few else ""
    lines = [format_table(rows), *filter(None, [others])]
    return "\n".join([*lines, f"{kinds}; ranked by {by}{within}{order}"])


def other_folders(runs: Iterable[RunState]) -> str:
    """The folders that are not runs, in a sentence; empty if there are none."""
    names = [one_line(run.name) for run in runs if not run.is_run]
    if not names:
        return ""
    more = f" and {len(names) - MAX_FOLDERS} more" if len(names) > MAX_FOLDERS else ""
    listed = ", ".join(names[:MAX_FOLDERS]) + more
    return f"not runs, without settings or a model of a training: {listed}"


def shown_metrics(runs: Iterable[RunState], by: str) -> list[str]:
    """The metrics of a list of runs: balanced accuracy too if some run has unequal classes."""
    is_unequal = any(run.metrics.get("test_class_imbalance", 1) > UNEQUAL for run in runs)
    shown = [*SHOWN[:2], BALANCED, *SHOWN[2:]] if is_unequal else SHOWN
    return [by, *(name for name in shown if name != by)]


def figure_text(run: RunState, name: str) -> str:
    """A metric of a run, with the number of images that it was measured on if they are few."""
    text, images = format_metric(run.metrics.get(name)), few_images(run, name)
    return text if images is None or not text else f"{text} ({counted(images, 'image[s]')})"


def comparison_text(found: Comparison) -> str:
    """The differences, the metrics of all runs, the better ones marked, and the path of curves."""
    names = [one_line(run.name) for run in found.runs]
    parts = {
        "settings that differ": (found.settings, format_setting),
        "environment that differs": (found.environment, format_hash),
    }
    lines = []
    for title, (differences, shown) in parts.items():
        if differences:
            cells = ((f"  {d.name}", *map(shown, d.values)) for d in differences)
            lines += [format_table([(title, *names), *cells]), ""]
        else:
            lines += [f"{title}: none", ""]
    cells = ((f"  {d.name}", *marked_metrics(d, found)) for d in found.metrics)
    lines += [format_table([("metrics", *names), *cells]), ""]
    if not found.is_of_one_data_set:
        lines += ["the runs are of different data sets: their metrics cannot be compared", ""]
    else:
        lines += [*marks_text(found, BEST), ""]
    return "\n".join([*lines, f"curves: {found.picture or 'no run has an epoch yet'}"])


def marked_metrics(
    metric: Difference,
    found: Comparison,
    mark: str = BEST,
    texts: Iterable[str] | None = None,
) -> list[str]:
    """A metric of each run, the best with a mark where the runs can be compared.

    Args:
        metric: of the runs.
        found: their comparison.
        mark: beside the best.
        texts: of the values, if other than on the command line.
    """
    shown = [format_metric(value) for value in metric.values] if texts is None else texts
    best = best_of(metric, found.runs) if found.is_of_one_data_set else None
    return [f"{text} {mark}" if place == best else text for place, text in enumerate(shown)]


def marks_text(found: Comparison, mark: str) -> list[str]:
    """What the marks of a comparison mean, and why one is missing; a line each."""
    named = [one for one in found.metrics if best_of(one) is not None]
    marked = [one for one in named if best_of(one, found.runs) is not None]
    lines = [f"{mark} best of these runs"] if marked else []
    if not marked and named:
        lines.append("no run is marked: on so few images, the differences can be chance")
    elif len(marked) < len(named):
        lines.append(f"without {mark}: the difference can be chance, on so few images")
    return lines


def description_text(found: Description) -> str:
    """The sections of a description; empty sections are left out."""
    run = found.run
    classes = found.class_names
    model = {
        **found.architecture,
        "input": " x ".join(map(str, found.input_shape or ())),
        "params": run.metrics.get("params"),
    }
    data = {
        **{name.removeprefix("data."): value for name, value in found.data.items()},
        "classes": ", ".join(classes) if len(classes) <= MAX_CLASS_NAMES else len(classes),
    }
    stages = {
        stage.name: f"{stage.trainable}, {stage.epochs_done} of "
        f"{counted(stage.epochs, 'epoch[s]')}, validation accuracy "
        f"{format_metric(stage.best_val_accuracy) or '-'}"
        for stage in found.stages
    }
    sections = {
        "metrics": run.metrics,
        "end": asdict(found.end) if found.end else {},
        "model": model if found.architecture or found.input_shape else {},
        "data": data if found.data or classes else {},
        "other settings": found.settings,
        "stages": stages,
        "environment": found.environment,
        "files": {name: format_size(count) for name, count in found.files.items()},
    }
    lines = [f"{one_line(str(run.path))}: {state_text(run)}"]
    for title, facts in sections.items():
        shown = format_metric if facts is run.metrics else format_setting
        known = {name: value for name, value in facts.items() if value not in (None, "")}
        rows = [(f"  {one_line(name)}", shown(value)) for name, value in known.items()]
        lines += ["", title, format_table(rows)] if rows else []
    return "\n".join(lines)


def candidates_table(found: Iterable[Candidate]) -> str:
    """The runs that would be deleted."""
    rows = [
        (one_line(str(one.run.path)), format_size(one.bytes), state_text(one.run))
        + (("in git",) if one.is_tracked else ("",))
        for one in found
    ]
    return format_table(rows)


def state_text(run: RunState) -> str:
    return f"{run.state}: {one_line(run.reason)}" if run.reason else run.state


def data_text(run: RunState) -> str:
    if run.config is None:
        return ""
    path = run.config.data.path
    return run.config.data.name + (f" {one_line(Path(path).name)}" if path else "")


def format_setting(value: Any) -> str:
    """A value as written on a command line; a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(" ".join(value) if _is_words(value) else str(value))


def format_hash(value: Any) -> str:
    """The first digits of a commit or a fingerprint; other values unchanged."""
    return HASH.sub(r"\1", format_setting(value))


def format_metric(value: Any) -> str:
    """A fraction with four digits, a count with thousands separators; empty for None."""
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        if abs(value) < 0.01:
            return f"{value:g}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return str(value)


def format_size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 10_000 else counted(count, "byte[s]")


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
