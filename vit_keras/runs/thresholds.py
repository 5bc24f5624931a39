"""The thresholds of a run with several labels, above which each label is given to an image.

An evaluation fits them on the validation split and writes `thresholds.json`, as it does the
temperature of a run with one label. Imports no Keras.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.runs.run_dir import read_json
from vit_keras.text import abbreviated_list

THRESHOLDS = "thresholds.json"
UNFITTED = 0.5


@dataclass(frozen=True)
class RunThresholds:
    """The probability from which on an image gets each label.

    Attributes:
        values: one for each class, in order.
        source: where they come from.
    """

    values: tuple[float, ...]
    source: str

    @property
    def sentence(self) -> str:
        """What a reader of the labels should know."""
        return f"labels are those above their thresholds, {self.source}"


def read_thresholds(run: Path, class_names: Sequence[str]) -> RunThresholds:
    """The thresholds in the run directory `run`; 1/2 each before an evaluation.

    Raises:
        SettingError: the file is damaged.
    """
    file = run / THRESHOLDS
    if not file.is_file():
        return RunThresholds(
            (UNFITTED,) * len(class_names), "1/2 each, as the run was not evaluated yet"
        )
    try:
        content = read_json(file)
        values = tuple(float(content["thresholds"][name]) for name in class_names)
        images = int(content["fitted_on"]["images"])
        unfitted = [str(name) for name in content["not_fitted"]]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(file, str(error)) from None
    if not all(0 < value < 1 for value in values):
        raise _damaged(file, "a threshold is not between 0 and 1")
    source = f"fitted on {images:,} validation images"
    if unfitted:
        source += f"; 1/2 for {abbreviated_list(unfitted)}, of which there were too few"
    return RunThresholds(values, source)


def _damaged(file: Path, reason: str) -> SettingError:
    return SettingError(f"{file} is damaged ({reason}); evaluate the run again, or delete the file")
