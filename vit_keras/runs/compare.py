"""Compare two runs: settings, environment and metrics that differ, and their curves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import curves, history
from vit_keras.runs.describe import environment, flatten_settings
from vit_keras.runs.listing import ROOT, find_run
from vit_keras.runs.status import RunState

NOT_COMPARED = (
    "command",
    "python",
    "platform",
)  # parts of an environment that do not affect a result


@dataclass(frozen=True)
class Difference:
    """A value that differs between two runs; None where a run has no such value."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        first, second: the runs.
        settings: those that differ, by their names on the command line.
        environment: versions, device, precision, commit and data that differ.
        metrics: the metrics of both runs, equal ones included.
        picture: the curves of both runs in one plot; None if neither has an epoch.
    """

    first: RunState
    second: RunState
    settings: list[Difference]
    environment: list[Difference]
    metrics: list[Difference]
    picture: Path | None


def compare(
    first: str,
    second: str,
    root: str | Path = ROOT,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Comparison:
    """Compare two runs, and draw their curves.

    Args:
        first: a name in `root`, or a path.
        second: a name in `root`, or a path.
        root: the folder of runs.
        output: the PNG to write; None is `<first>-and-<second>.png` beside the first, replaced.
        overwrite: replace `output` if it exists.

    Raises:
        SettingError: one is not a run or is broken, or the picture cannot be written.
    """
    runs = [find_run(name, root) for name in (first, second)]
    for run in runs:
        if run.config is None or run.state == "broken":
            raise SettingError(
                f"{run.name} cannot be compared: {run.reason or run.state}; repair it, or name "
                "another run"
            )
    a, b = runs
    if a.path.samefile(b.path):
        raise SettingError(f"{first} and {second} are the same run; name two runs")
    rows = {run.name: history.read_history(run.path) for run in runs}
    target = _default_picture(a, b) if output is None else Path(output).expanduser()
    atomic.check_output_file(target, overwrite or output is None, "--overwrite")
    picture = _draw(rows, target) if any(rows.values()) else None
    environments = [
        {name: value for name, value in environment(run.path).items() if name not in NOT_COMPARED}
        for run in runs
    ]
    return Comparison(
        a,
        b,
        _only_different(_differences(flatten_settings(a.config), flatten_settings(b.config))),
        _only_different(_differences(*environments)),
        _differences(a.metrics, b.metrics),
        picture,
    )


def _default_picture(a: RunState, b: RunState) -> Path:
    names = (run.path.resolve().name for run in (a, b))
    return a.path.parent / ("-and-".join(names) + ".png")


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


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    names = [*first, *(name for name in second if name not in first)]
    return [Difference(name, first.get(name), second.get(name)) for name in names]


def _only_different(differences: list[Difference]) -> list[Difference]:
    return [one for one in differences if one.first != one.second]
