"""List the runs in a folder and rank them by a metric. Imports no Keras."""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.data.registry import IN_MEMORY
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.runs.accuracy import FEW_IMAGES
from vit_keras.runs.run_dir import BASELINE, CONFIG, FOLDS, OLD_BASELINE, TEMPORARY, fold_dirs
from vit_keras.runs.status import TRACES, RunState, run_status
from vit_keras.runs.status_cache import cache_of
from vit_keras.validators import check_choice

ROOT = "saved_models"
BY = "best_val_accuracy"
DEPTH = 3  # nesting that is searched: the runs of a sweep are in <day>/<time>/<number>
# Metrics of which a lower value is better.
IS_COST = re.compile(r"loss|seconds|memory|params|error|latency|(^|_)(ece|nll|brier)(_|$)")

# Metrics that are shares, from 0 to 1.
IS_SHARE = re.compile(r"(^|_)(accuracy|precision|recall|map|f1)(_|$)")
# Part of a metric's name -> the number of images that it was measured on.
MEASURED_ON = {"val_": "validation_images", "test_": "test_images"}


@dataclass(frozen=True)
class Ranked:
    """A run and its rank by the metric among the runs of its data set; None without that metric."""

    place: int | None
    run: RunState


def list_runs(root: str | Path = ROOT) -> list[RunState]:
    """All folders in `root` with their status, sorted by name.

    Folders that are not runs are searched for runs; a fine-tuning is followed by its baseline,
    and an ensemble by its folds.

    Raises:
        SettingError: `root` is not a folder of runs.
    """
    place = Path(root).expanduser()
    if not place.exists() and str(root) == ROOT:
        return []
    if not place.is_dir():
        raise SettingError(f"--root={root} is not a folder; name the folder that contains the runs")
    if (place / CONFIG).is_file():
        raise SettingError(
            f"--root={root} is itself a run; name its parent folder, or describe {root}"
        )
    named = {_name(path, place): Path(path) for path in _folders(os.fspath(place), DEPTH)}
    return cache_of(place).statuses(named)


def _name(path: str, root: Path) -> str:
    return path.removeprefix(os.path.join(root, "")).replace(os.sep, "/")


def rank(runs: Iterable[RunState], by: str = BY) -> list[Ranked]:
    """The runs of each data set, the best first; then, by name, those that have no usable value.

    Runs of equal values share a place.

    Each data set is ranked for itself: 0.99 on one says nothing about 0.65 on another. A figure of
    so few images that it says little comes after all others of its data set.

    Raises:
        SettingError: no run has a metric of that name.
    """
    runs = list(runs)
    having = [run for run in runs if run.is_usable and math.isfinite(run.metrics.get(by, math.nan))]
    if not having and (known := {name for run in runs for name in run.metrics}):
        check_choice("--by", by, known)
    sign = 1 if IS_COST.search(by) else -1

    def order(run: RunState) -> tuple[bool, float]:
        return few_images(run, by) is not None, sign * run.metrics[by]

    having.sort(key=lambda run: (order(run), run.name))
    of_data: dict[tuple[str, ...], list[RunState]] = {}
    for run in having:
        of_data.setdefault(data_set(run), []).append(run)
    placed: list[Ranked] = []
    for _, runs_of_data in sorted(of_data.items()):
        first: dict[tuple[bool, float], int] = {}  # equal values share the place of the first
        for number, run in enumerate(runs_of_data, start=1):
            placed.append(Ranked(first.setdefault(order(run), number), run))
    having_place = {id(one.run) for one in placed}
    others = [run for run in runs if id(run) not in having_place]
    return [*placed, *(Ranked(None, run) for run in sorted(others, key=lambda run: run.name))]


def data_set(run: RunState) -> tuple[str, ...]:
    """What identifies the data of a run: task, name, and path of files or content of arrays."""
    if run.config is None:
        return ()
    data = run.config.data
    if data.name == IN_MEMORY:  # of which nothing but their content is known
        return run.config.task, data.name, run.fingerprint
    path = data.path and (run.data_path or os.path.abspath(data.path))
    return run.config.task, data.name, path or ""


def images_of(metrics: Mapping[str, Any], metric: str) -> int | None:
    """The number of images that a metric of a split was measured on.

    None if it is of no split, or of a run of an earlier version, which did not record it.
    """
    name = next((count for part, count in MEASURED_ON.items() if part in metric), "")
    images = metrics.get(name)
    return None if images is None or metric.endswith("_images") else int(images)


def few_images(run: RunState, metric: str) -> int | None:
    """The number of images that a metric of a split was measured on, if they are too few."""
    images = images_of(run.metrics, metric)
    return images if images is not None and images < FEW_IMAGES else None


def find_run(name: str, root: str | Path = ROOT, any_folder: bool = False) -> RunState:
    """Find one run by its name in `root` or by its path, and check its model file to the end.

    Raises:
        SettingError: there is no such folder, or it is no run; with `any_folder` that is allowed.
    """
    within = Path(root).expanduser() / name
    path = within if within.is_dir() else Path(name).expanduser()
    if not path.is_dir():
        known = [run.name for run in list_runs(root)] if Path(root).expanduser().is_dir() else []
        raise SettingError(
            f"{name} is neither a run in --root={root} nor a path{did_you_mean(name, known)}"
        )
    run = run_status(path, name.rstrip("/"), full_check=True)
    if run.state in ("empty", "no run") and not any_folder:
        raise SettingError(
            f"{name} is not a run ({run.reason or 'it is empty'}); name the folder that a training "
            "run printed as its last line"
        )
    return run


# Of thousands of runs, `pathlib` would take longer than the file system.
def _folders(folder: str, depth: int) -> Iterator[str]:
    for child in sorted(_within(folder)):
        content = _content(child)
        if _is_run(content):
            yield child
            for name in (BASELINE, OLD_BASELINE):
                if name in content and os.path.isdir(os.path.join(child, name)):
                    yield os.path.join(child, name)
            if FOLDS in content:
                yield from map(os.fspath, fold_dirs(Path(child)))
            continue
        below = list(_folders(child, depth - 1)) if depth > 1 else []
        yield from below if any(_is_run(_content(one)) for one in below) else [child]


def _content(path: str) -> set[str]:
    """The names in a folder; none without access."""
    try:
        return set(os.listdir(path))
    except OSError:
        return set()


def _is_run(content: set[str]) -> bool:
    return not content.isdisjoint((CONFIG, *TRACES))


def _within(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir() and not _is_hidden(entry)]
    except OSError:  # no access: `run_status` reports it
        return []


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is passed over: a hidden one, unless a run was given such a name."""
    if not entry.name.startswith("."):
        return False
    return entry.name.startswith(TEMPORARY) or not os.path.isfile(os.path.join(entry, CONFIG))
