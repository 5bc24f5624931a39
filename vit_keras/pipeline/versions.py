"""The images that were ingested, a version at a time, and the table of those in use.

    data/v0001/3/hand.jpg        an image of the class 3
    data/v0001/version.json      its images with their splits, and what was left out and why
    data/v0002-1a2b3c4d.csv      the images of the versions in use up to v0002, to train and test on

A version is written once and never changed: what was tested on is tested on in every later week.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from vit_keras.data import split_table
from vit_keras.data.split_folder import PlannedFile
from vit_keras.errors import SettingError
from vit_keras.runs.run_dir import read_json

TRAIN, TEST = "train", "test"
DESCRIPTION = "version.json"


class Image(NamedTuple):
    """An image of a version."""

    file: str  # within the folder of the version
    label: str
    sha256: str
    split: str  # TRAIN or TEST


class LeftOut(NamedTuple):
    """A file of the incoming images that did not become part of a version."""

    file: str
    label: str
    reason: str


@dataclass(frozen=True)
class Version:
    """What one ingest has added.

    Attributes:
        name: `v0001` and so on.
        made: when, in ISO 8601.
        images: of it.
        left_out: what else was in the incoming images, with the reasons.
    """

    name: str
    made: str
    images: tuple[Image, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the images, labels and splits: that of another order is the same."""
        return fingerprint([self])

    def write(self, folder: Path) -> None:
        """Write its description into its folder."""
        content = {**asdict(self), "fingerprint": self.fingerprint}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def read_versions(data: Path) -> list[Version]:
    """The versions in a folder, in order; none if there is no folder.

    Raises:
        SettingError: one is damaged.
    """
    return [_read(file) for file in sorted(data.glob(f"v[0-9]*/{DESCRIPTION}"))]


def _read(file: Path) -> Version:
    content = read_json(file)
    try:
        images = tuple(Image(*one) for one in content["images"])
        left_out = tuple(LeftOut(*one) for one in content["left_out"])
        return Version(content["name"], content["made"], images, left_out)
    except (KeyError, TypeError):
        raise SettingError(f"{file} is damaged; restore an intact copy of it") from None


def next_name(versions: Sequence[Version]) -> str:
    """The name of the version after these."""
    return f"v{int(versions[-1].name[1:]) + 1 if versions else 1:04d}"


def fingerprint(versions: Iterable[Version]) -> str:
    """SHA-256 of the images, labels and splits of versions."""
    rows = [(one.sha256, one.label, one.split) for v in versions for one in v.images]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def write_table(data: Path, versions: Sequence[Version]) -> Path:
    """The table of the images of some versions, for data=csv; it is written once.

    Raises:
        SettingError: it cannot be written.
    """
    table = data / f"{versions[-1].name}-{fingerprint(versions)[:8]}.csv"
    if not table.exists():
        parts = [
            PlannedFile(one.split, one.label, f"{version.name}/{one.file}", one.sha256, "")
            for version in versions
            for one in version.images
        ]
        split_table.write_table(parts, data, table)
    return table


def counts(versions: Iterable[Version]) -> dict[str, int]:
    """Split -> number of images."""
    splits = [one.split for version in versions for one in version.images]
    return {split: splits.count(split) for split in (TRAIN, TEST)}
