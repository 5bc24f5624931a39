"""How far a run is, as the name of a checkpoint says: `epoch-00003.npz` at the end of epoch 3, and
`epoch-00003_step-0000412-of-0000800.npz` in the middle of epoch 4.

The names sort by progress. Imports no Keras.
"""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from vit_keras.runs.run_dir import CHECKPOINTS

_NAME = re.compile(r"epoch-(\d+)(?:_step-(\d+)-of-(\d+))?\.npz")


class Position(NamedTuple):
    """How far a training is.

    Attributes:
        epochs: that are done.
        step: steps that are done of the next epoch.
        steps: of that epoch; 0 between two epochs.
    """

    epochs: int
    step: int = 0
    steps: int = 0

    @property
    def file_name(self) -> str:
        in_epoch = f"_step-{self.step:07d}-of-{self.steps:07d}" if self.step else ""
        return f"epoch-{self.epochs:05d}{in_epoch}.npz"

    def text(self, total: int, between: str = "after") -> str:
        """`after epoch 3 of 30`, or `in epoch 4 of 30, step 412 of 800`."""
        if not self.step:
            return f"{between} epoch {self.epochs} of {total}"
        return f"in epoch {self.epochs + 1} of {total}, step {self.step} of {self.steps}"


def position_of(file: Path) -> Position | None:
    """What the name of a checkpoint says; None for another file."""
    found = _NAME.fullmatch(file.name)
    return Position(*(int(number or 0) for number in found.groups())) if found else None


def newest_position(run: Path) -> Position | None:
    """That of the newest checkpoint that has its end; None without one."""
    whole = filter(zipfile.is_zipfile, run.glob(CHECKPOINTS))
    return max((at for file in whole if (at := position_of(file))), default=None)
