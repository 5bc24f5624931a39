"""The temperature of a run, which calibrates its confidences, and on what it was fitted.

Guo et al. 2017, "On Calibration of Modern Neural Networks": an evaluation fits it on the validation
split and writes `temperature.json`. Imports no Keras.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.runs.run_dir import read_json
from vit_keras.text import counted

TEMPERATURE = "temperature.json"
# Of the validation split, to fit a temperature. With fewer, a handful of errors decides it.
MIN_IMAGES = 100


@dataclass(frozen=True)
class RunTemperature:
    """What the logits of a run are divided by.

    Attributes:
        value: 1 changes nothing.
        note: why it is 1; empty if it was fitted.
        images: that it was fitted on; None where the file does not record it.
    """

    value: float = 1.0
    note: str = "not fitted, as the run was not evaluated yet"
    images: int | None = None

    @property
    def source(self) -> str:
        """Where the value comes from, to be read after `temperature 1.074`."""
        if self.note:
            return self.note
        if self.images is None:
            return "fitted on the run's validation split"
        if self.images < MIN_IMAGES:
            few = counted(self.images, "validation image[s]")
            return f"fitted on only {few}: evaluate the run again"
        return f"fitted on {self.images:,} validation images"

    @property
    def sentence(self) -> str:
        """What a reader of the confidences should know."""
        if self.value == 1:
            return f"confidences are not calibrated: the temperature was {self.source}"
        return f"confidences are calibrated by temperature {self.value:.3f}, {self.source}"

    @property
    def sentence_without(self) -> str:
        """The same of confidences that are asked for without it."""
        if self.value == 1:
            return self.sentence
        return (
            f"confidences are not calibrated, as asked for: temperature {self.value:.3f} is unused"
        )


def read_temperature(run: Path) -> RunTemperature:
    """The temperature in the run directory `run`; 1 before an evaluation.

    Raises:
        SettingError: the file is damaged.
    """
    file = run / TEMPERATURE
    if not file.is_file():
        return RunTemperature()
    try:
        content = read_json(file)
        value = float(content["temperature"])
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(file, error) from None
    if not 0 < value < math.inf:
        raise _damaged(file, f"{value} is not a temperature")
    return RunTemperature(value, str(content.get("note") or ""), _fitted_on(content))


def _fitted_on(content: dict[str, Any]) -> int | None:
    origin = content.get("fitted_on")
    images = origin.get("images") if isinstance(origin, dict) else None
    return images if isinstance(images, int) else None


def _damaged(file: Path, reason: object) -> SettingError:
    return SettingError(f"{file} is damaged ({reason}); evaluate the run again, or delete the file")
