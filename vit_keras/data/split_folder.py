"""A folder of classes -> one of splits: <class>/... becomes {train,val,test}/<class>/...

Each class is divided in the ratios asked for, by lot; equal files, wherever they are, go to the
same split. What is made is whole or absent: it grows beside its place and is moved there.
"""

import csv
import errno
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import folder, folder_layout
from vit_keras.data.readers.folder_scan import FileRecord
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import one_line
from vit_keras.validators import check_choice

MANIFEST = "split_manifest.csv"
MODES = ("copy", "hardlink", "symlink")
NAMES = {2: ("train", "test"), 3: ("train", "val", "test")}


class Part(NamedTuple):
    """A file and where it goes."""

    split: str  # empty if it is left out
    class_name: str
    source: str  # within the source
    sha256: str
    reason: str  # why it is left out


def parse_ratios(text: str) -> dict[str, float]:
    """`80/10/10` -> the shares of train, val and test; `90/10` -> of train and test."""
    try:
        numbers = [float(number) for number in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in NAMES or not all(0 < number < np.inf for number in numbers):
        raise SettingError(
            f"--ratios {text} is no split; give train/val/test such as 80/10/10, or train/test "
            "such as 90/10, all above 0"
        )
    if not any(np.isclose(sum(numbers), whole) for whole in (1, 10, 100)):
        raise SettingError(
            f"--ratios {text} adds up to {sum(numbers):g}; shares such as 80/10/10 are 100 together"
        )
    return dict(zip(NAMES[len(numbers)], np.array(numbers) / sum(numbers), strict=True))


def plan_split(
    source: Path,
    ratios: dict[str, float],
    seed: int = 0,
    per_class: int | None = None,
    follow_links: bool = False,
) -> list[Part]:
    """Which file goes where: the same for the same files, ratios and seed.

    Args:
        source: a folder with a sub-folder for each class.
        ratios: the share of each split.
        seed: of the lot.
        per_class: take only so many images of each class.
        follow_links: take also links that lead out of `source`.

    Raises:
        SettingError: `source` is none, is split already, or has a class too small to be split.
    """
    config = DataConfig(name="folder", path=str(source), follow_links=follow_links)
    if list(folder_layout.splits(config)) != [""]:
        raise SettingError(f"{source} is split already; name a folder with a folder for each class")
    names = folder_layout.class_names(config)
    pairs = folder.scan_files(config, folder_layout.files(config))
    chosen: dict[str, str] = {}  # SHA-256 -> its split, for all classes
    parts = []
    for label, name in enumerate(names):
        own = [entry for file, entry in pairs if file.label == label]
        good = [entry for entry in own if not entry.reason]
        rng = np.random.default_rng([seed, label])
        drawn = [good[index] for index in rng.permutation(len(good))][:per_class]
        splits = _divided(drawn, ratios, chosen, f"{source}: {name}")
        parts += [Part(split, name, e.path, e.sha256, "") for e, split in splits]
        parts += [Part("", name, e.path, e.sha256, e.reason) for e in own if e.reason]
    return sorted(parts, key=lambda part: (*part[:3],))


def _divided(
    drawn: list[FileRecord], ratios: dict[str, float], chosen: dict[str, str], name: str
) -> list[tuple[FileRecord, str]]:
    """The images of a class with their splits: where equal ones are already, or by lot."""
    groups = defaultdict(list)
    for entry in drawn:
        groups[entry.sha256].append(entry)
    if len(groups) < len(ratios):
        raise SettingError(
            f"{name} has {len(groups)} different images to take, and {len(ratios)} splits need one "
            "each; add images, use fewer splits, or take the class away"
        )
    left = _quotas(len(drawn), ratios)
    placed = sorted(groups.items(), key=lambda group: group[0] not in chosen)
    for sha256, entries in placed:
        split = chosen.setdefault(sha256, max(left, key=lambda key: left[key]))
        left[split] -= len(entries)
    result = [(entry, chosen[sha256]) for sha256, entries in placed for entry in entries]
    if lacking := {*ratios} - {split for _, split in result}:
        raise SettingError(
            f"{name} gets no image in {', '.join(sorted(lacking))}: it has too few, or too many "
            "that are equal; add images, or take the class away"
        )
    return result


def _quotas(count: int, ratios: dict[str, float]) -> dict[str, int]:
    """Whole numbers in these ratios, as near as can be with one each, that add up to `count`."""
    shares = {split: ratio * count for split, ratio in ratios.items()}
    quotas = {split: max(1, int(share)) for split, share in shares.items()}
    while (over := sum(quotas.values()) - count) != 0:
        step = 1 if over < 0 else -1
        able = [split for split in quotas if quotas[split] + step >= 1]
        quotas[max(able, key=lambda split: step * (shares[split] - quotas[split]))] += step
    return quotas


def split_table(parts: Iterable[Part], ratios: Iterable[str]) -> str:
    """A table: how many images of each class go to each split, and how many are left out."""
    columns = [*ratios, "left out"]
    found = Counter((part.class_name, part.split or "left out") for part in parts)
    names = list(dict.fromkeys(name for name, _ in found))
    rows: dict[str, list[int]] = {
        name: [found[name, column] for column in columns] for name in sorted(names)
    }
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines: list[tuple[str, list]] = [("", columns)]
    lines += [(one_line(name), cells) for name, cells in rows.items()]
    lines.append(("together", totals))
    width = max(len(first) for first, _ in lines)
    return "\n".join(
        f"  {first:<{width}}" + "".join(f"{cell:>10}" for cell in cells) for first, cells in lines
    )


def check_destination(source: Path, destination: Path) -> None:
    """Refuse a place that is in use, or that would become a class of the source."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise SettingError(f"{destination} is no folder; choose a new one")
    if destination.is_dir() and any(destination.iterdir()):
        raise SettingError(f"{destination} is not empty; choose a new folder, or empty this one")
    if destination.resolve().is_relative_to(source.resolve()):
        raise SettingError(f"{destination} is in {source}; choose a folder outside of it")


def write_split(parts: list[Part], source: Path, destination: Path, mode: str = "copy") -> None:
    """Make the splits: all of them, or nothing.

    Args:
        parts: of `plan`.
        source: what they were planned of.
        destination: absent or empty.
        mode: `copy`; `hardlink`, which takes no space and needs the same disk; or `symlink`, which
            breaks when the source is moved, and is read with `data.follow_links=true`.

    Raises:
        SettingError: the destination is in use, or cannot be written.
    """
    check_choice("--mode", mode, MODES)
    check_destination(source, destination)
    try:
        with atomic.atomic_folder(destination) as new:
            for part in tqdm(parts, desc=mode, unit=" files", delay=2, disable=None):
                if part.split:
                    target = new / _place(part)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _put(source.resolve() / part.source, target, mode)
            _write_manifest(parts, new / MANIFEST)
    except OSError as error:
        raise SettingError(_explained(error, destination, mode)) from None


def _place(part: Part) -> str:
    """Within the destination."""
    return os.path.join(part.split, part.source)


def _put(file: Path, target: Path, mode: str) -> None:
    real = file.resolve()  # of a link its file: the link itself may lead nowhere from there
    if mode == "copy":
        shutil.copy2(real, target)
    elif mode == "hardlink":
        os.link(real, target)
    else:
        target.symlink_to(real)


def _write_manifest(parts: list[Part], path: Path) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "class", "file", "source", "sha256", "left_out_because"])
        for part in parts:
            place = _place(part) if part.split else ""
            writer.writerow([part.split, part.class_name, place, *part[2:]])


def _explained(error: OSError, destination: Path, mode: str) -> str:
    if mode == "hardlink" and error.errno == errno.EXDEV:
        return f"--mode hardlink needs {destination} on the same disk; use --mode copy or symlink"
    return f"{destination} cannot be made ({error}); choose a folder that you may write to"


def under_two_labels(parts: list[Part]) -> list[Part]:
    """The files that are equal to one of another class."""
    classes = defaultdict(set)
    for part in parts:
        classes[part.sha256].add(part.class_name)
    return [part for part in parts if part.split and len(classes[part.sha256]) > 1]
