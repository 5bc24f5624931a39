"""Two runs side by side: what differs in their settings and figures, and both runs' curves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.runs import curves, history
from vit_keras.runs.describe import environment, flat
from vit_keras.runs.listing import ROOT, find_run
from vit_keras.runs.status import RunState

OWN = ("command", "python", "platform")  # of an environment: says nothing about a result


@dataclass(frozen=True)
class Difference:
    """Something that two runs have otherwise; None is what a run has not."""

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
        metrics: the figures of both, those that are equal too.
        picture: the curves of both over each other; None if neither has any.
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
        second: likewise.
        root: the folder of runs.
        output: the PNG to write; None is `<first>-and-<second>.png` beside the first, drawn anew.
        overwrite: replace `output` if it is there.

    Raises:
        SettingError: one is no run, is broken, or the picture cannot be written.
    """
    runs = [find_run(name, root) for name in (first, second)]
    for run in runs:
        if run.config is None or run.state == "broken":
            raise SettingError(
                f"{run.name} cannot be compared: {run.reason or run.state}; mend it, or name "
                "another run"
            )
    a, b = runs
    if a.path.samefile(b.path):
        raise SettingError(f"{first} and {second} are one run; name two")
    rows = {run.name: history.read(run.path) for run in runs}
    place = _beside(a, b) if output is None else Path(output).expanduser()
    atomic.check_output_file(place, overwrite or output is None, "--overwrite")
    picture = _draw(rows, place) if any(rows.values()) else None
    worlds = [
        {name: value for name, value in environment(run.path).items() if name not in OWN}
        for run in runs
    ]
    return Comparison(
        a,
        b,
        _unequal(_differences(flat(a.config), flat(b.config))),
        _unequal(_differences(*worlds)),
        _differences(a.metrics, b.metrics),
        picture,
    )


def _beside(a: RunState, b: RunState) -> Path:
    names = (run.path.resolve().name for run in (a, b))
    return a.path.parent / ("-and-".join(names) + ".png")


def _draw(rows: dict[str, list[dict[str, Any]]], place: Path) -> Path:
    try:
        with atomic.atomic_file(place) as new:
            curves.draw_together({name: own for name, own in rows.items() if own}, new)
    except OSError as error:
        raise SettingError(f"output={place} cannot be written ({error.strerror})") from None
    return place


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    names = [*first, *(name for name in second if name not in first)]
    return [Difference(name, first.get(name), second.get(name)) for name in names]


def _unequal(differences: list[Difference]) -> list[Difference]:
    return [one for one in differences if one.first != one.second]
