"""What a person decided on the images of an audit: `decisions.csv`, a line for each decision.

    decisions = Decisions(Path("audited"))
    decisions.decide([Decision("/photos/cat/1.png", "cat", "dog")])
    decisions.undo()

A decision is the label to train on: the one that the image has, another one, or none, which leaves
the image out. Decisions that were made together are one step; the last one on an image counts.
Every change is written at once, and atomically.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import filelock

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import first_line

DECISIONS = "decisions.csv"
FIELDS = ("step", "path", "label", "new_label")


class Decision(NamedTuple):
    """The label of an image file, and the one to train on; "" leaves the image out."""

    path: str
    label: str
    new_label: str


class Decisions:
    """The decisions on an audit, the earliest first.

    Attributes:
        steps: of each, the decisions that were made together.
    """

    def __init__(self, folder: Path) -> None:
        """Read the decisions in the folder of an audit; none if there is no file.

        Raises:
            SettingError: the file is damaged.
        """
        self.file = folder / DECISIONS
        self._lock = filelock.FileLock(folder / ".decisions.lock", timeout=10)
        self.steps = self._read()

    @property
    def labels(self) -> dict[tuple[str, str], str]:
        """(path, label) -> the label to train on, of each image that was decided on."""
        return {(one.path, one.label): one.new_label for step in self.steps for one in step}

    def decide(self, made: Sequence[Decision]) -> None:
        """Add decisions as one step."""
        if made:
            with self._lock:  # another page may have the same audit open
                self.steps = [*self._read(), list(made)]
                self._write()

    def undo(self) -> list[Decision]:
        """Take the last step back: the images are as decided before, or undecided. Returns it."""
        with self._lock:
            self.steps = self._read()
            last = self.steps.pop() if self.steps else []
            self._write()
        return last

    def _read(self) -> list[list[Decision]]:
        if not self.file.is_file():
            return []
        steps: dict[int, list[Decision]] = {}
        try:
            with open(self.file, encoding="utf-8", errors="surrogateescape", newline="") as file:
                for row in csv.DictReader(file):
                    made = Decision(*(row[name] for name in Decision._fields))
                    steps.setdefault(int(row["step"]), []).append(made)
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise SettingError(
                f"{self.file} is damaged ({first_line(error)}); mend it, or move it away to "
                "decide again"
            ) from None
        return [steps[number] for number in sorted(steps)]

    def _write(self) -> None:
        with (
            atomic.atomic_file(self.file) as new,
            open(new, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(FIELDS)
            for number, step in enumerate(self.steps, 1):
                writer.writerows((number, *one) for one in step)
