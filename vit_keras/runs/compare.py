"""Compare runs: settings, environment and metrics that differ, and their curves."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import curves, history
from vit_keras.runs.accuracy import difference_interval
from vit_keras.runs.describe import environment, flatten_settings
from vit_keras.runs.listing import (
    IS_COST,
    IS_SHARE,
    ROOT,
    data_set,
    few_images,
    find_run,
    images_of,
)
from vit_keras.runs.status import RunState

NOT_COMPARED = (
    "command",
    "python",
    "platform",
)  # parts of an environment that do not affect a result


# Metrics that say which run is better, by a part of their name. Not its speed and its memory: they
# are those of the machine and of what else it did then.
IS_QUALITY = re.compile("accuracy|loss|(^|_)(map|f1|recall|ece|nll|brier|params)(_|$)")
NO_QUALITY = ("interval", "worst_class")  # of one split, or of another class in each run


@dataclass(frozen=True)
class Difference:
    """A value of each run; None where a run has no such value."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs or more.

    Attributes:
        runs: in the order that they were named.
        settings: those that differ, by their names on the command line.
        environment: versions, device, precision, commit and data that differ.
        metrics: the metrics of all runs, equal ones included.
        picture: the curves in one plot; None if no run has an epoch, or none is asked for.
    """

    runs: tuple[RunState, ...]
    settings: list[Difference]
    environment: list[Difference]
    metrics: list[Difference]
    picture: Path | None = None

    @property
    def is_of_one_data_set(self) -> bool:
        """Whether their metrics can be compared."""
        return len({data_set(run) for run in self.runs}) == 1


def compare(
    *names: str,
    root: str | Path = ROOT,
    output: str | Path | None = None,
    overwrite: bool = False,
    draw: bool = True,
) -> Comparison:
    """Compare runs, and draw their curves.

    Args:
        names: of two runs or more in `root`, or their paths.
        root: the folder of runs.
        output: the PNG to write; None is `<first>-and-<second>.png` beside the first, replaced.
        overwrite: replace `output` if it exists.
        draw: whether to draw.

    Raises:
        SettingError: one is not a run or is broken, or the picture cannot be written.
    """
    runs = [find_run(name, root) for name in names]
    for run in runs:
        if run.config is None or run.state == "broken":
            raise SettingError(
                f"{run.name} cannot be compared: {run.reason or run.state}; repair it, or name "
                "another run"
            )
    for one, other in itertools.combinations(runs, 2):
        if one.path.samefile(other.path):
            raise SettingError(f"{one.name} and {other.name} are the same run; name two runs")
    picture = _draw_curves(runs, output, overwrite) if draw else None
    environments = [
        {name: value for name, value in environment(run.path).items() if name not in NOT_COMPARED}
        for run in runs
    ]
    return Comparison(
        tuple(runs),
        _only_different(_differences([flatten_settings(run.config) for run in runs])),
        _only_different(_differences(environments)),
        _differences([run.metrics for run in runs]),
        picture,
    )


def best_of(metric: Difference, runs: Sequence[RunState] = ()) -> int | None:
    """The place of the best value of a metric; None if it has none, or they are all equal.

    Args:
        metric: of several runs.
        runs: if given, None too where the difference can be chance, by the number of images.
    """
    known = [value for value in metric.values if isinstance(value, int | float)]
    if not IS_QUALITY.search(metric.name) or any(part in metric.name for part in NO_QUALITY):
        return None
    if len(known) < 2 or len({*known}) == 1:
        return None
    best = metric.values.index(min(known) if IS_COST.search(metric.name) else max(known))
    return None if runs and _can_be_chance(metric, best, runs) else best


def _can_be_chance(metric: Difference, best: int, runs: Sequence[RunState]) -> bool:
    """Whether another run may be as good: of too few images, or of shares that differ too little.

    The interval is that of an accuracy; other shares of as many images have wider ones.
    """
    if any(
        value is not None and few_images(run, metric.name) is not None
        for value, run in zip(metric.values, runs, strict=True)
    ):
        return True
    if not IS_SHARE.search(metric.name):
        return False
    counts = [images_of(run.metrics, metric.name) for run in runs]
    hits = {
        place: (round(share * images), images)
        for place, (share, images) in enumerate(zip(metric.values, counts, strict=True))
        if images and share is not None and 0 <= share <= 1  # no damaged one
    }
    if best not in hits:
        return False
    first = hits.pop(best)
    return any(difference_interval(first, other)[0] <= 0 for other in hits.values())


def _draw_curves(
    runs: Sequence[RunState], output: str | Path | None, overwrite: bool
) -> Path | None:
    rows = {run.name: history.read_history(run.path) for run in runs}
    target = _default_picture(runs) if output is None else Path(output).expanduser()
    atomic.check_output_file(target, overwrite or output is None, "--overwrite")
    return _draw(rows, target) if any(rows.values()) else None


def _default_picture(runs: Sequence[RunState]) -> Path:
    first, second, *others = (run.path.resolve().name for run in runs)
    more = f"-and-{len(others)}-more" if others else ""
    return runs[0].path.parent / f"{first}-and-{second}{more}.png"


def _draw(rows: dict[str, list[dict[str, Any]]], target: Path) -> Path:
    try:
        with atomic.atomic_file(target) as new:
            curves.draw_curves_together({name: own for name, own in rows.items() if own}, new)
    except OSError as error:
        raise SettingError(f"output={target} cannot be written ({error.strerror})") from None
    except ValueError:  # of Pillow, which takes the format from the suffix
        raise SettingError(
            f"output={target} does not end like a picture; name it {target.stem}.png"
        ) from None
    return target


def _differences(values: Sequence[dict[str, Any]]) -> list[Difference]:
    names = dict.fromkeys(name for own in values for name in own)
    return [Difference(name, tuple(own.get(name) for own in values)) for name in names]


def _only_different(differences: list[Difference]) -> list[Difference]:
    return [one for one in differences if any(value != one.values[0] for value in one.values)]
