"""Split a folder of classes on disk: <class>/... becomes {train,val,test}/<class>/...

Each class is split at random in the given ratios; equal files, of whatever class, and if asked for
near-duplicates go to the same split, and so do the images of a group that a table names. The result
is complete or absent: it is written to a temporary folder, which is then renamed.
"""

import csv
import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates, stratify
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.readers import folder, folder_layout, table, table_columns, table_files
from vit_keras.data.readers.class_layout import AmbiguousLayoutError
from vit_keras.data.readers.folder_layout import MANIFEST, ListedFile
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import counted, one_line
from vit_keras.validators import check_choice

MODES = ("copy", "hardlink", "symlink")
NAMES = {2: ("train", "test"), 3: ("train", "val", "test")}
MORE = "more than --per-class"


class PlannedFile(NamedTuple):
    """A file and the split that it is assigned to."""

    split: str  # empty if it is left out
    class_name: str
    source: str  # path within the source folder
    sha256: str
    reason: str  # why it is left out
    target: str = ""  # path within the split's folder
    problem: str = ""  # of a file that is left out, as in the report of a training
    group: str = ""  # as a table names it


def parse_ratios(text: str) -> dict[str, float]:
    """`80/10/10` -> the fractions of train, val and test; `90/10` -> of train and test."""
    try:
        numbers = [float(number) for number in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in NAMES or not all(0 < number < np.inf for number in numbers):
        raise SettingError(
            f"--ratios {text} is no split; use train/val/test such as 80/10/10, or train/test "
            "such as 90/10, all above 0"
        )
    if not any(np.isclose(sum(numbers), total) for total in (1, 10, 100)):
        raise SettingError(
            f"--ratios {text} adds up to {sum(numbers):g}; use ratios that add up to 100"
        )
    return dict(zip(NAMES[len(numbers)], np.array(numbers) / sum(numbers), strict=True))


def plan_split(
    source: Path,
    ratios: dict[str, float],
    seed: int = 0,
    per_class: int | None = None,
    follow_links: bool = False,
    layout: str = "auto",
    group_duplicates: str = "equal",
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> list[PlannedFile]:
    """Assign each file to a split: the same for the same files, ratios and seed.

    Args:
        source: a folder with a sub-folder for each class, or a table of images, whose own splits
            are not used.
        ratios: the fraction of each split.
        seed: of the random draw.
        per_class: the maximum number of images of a class.
        follow_links: follow links that lead out of `source` too.
        layout: `classes` if each sub-folder is a class, whatever the names; see `data.layout`.
        group_duplicates: which images go to the same split, as `data.group_duplicates`.
        columns: of a table, by their settings: `{"group_column": "patient"}`.

    Raises:
        SettingError: `source` cannot be read, is split already, or has a class that is too small.
    """
    config = DataConfig(path=str(source), follow_links=follow_links, layout=layout)
    if source.is_file():
        config = replace(config, name="csv", split_column=table_columns.DRAWN, **columns)
        listing, root = table.list_table(config), table_files.folder_of(source)
    else:
        config = replace(config, name="folder")
        _check_not_split(config)
        listing, root = folder_layout.list_folder(config), folder_layout.root(config)
    is_table = config.name == "csv"
    scanned = folder.scan_files(config, listing.files, root if is_table else None)
    names = listing.class_names
    drawn = [
        _draw_files(scanned, label, np.random.default_rng([seed, label]), per_class)
        for label in range(len(names))
    ]
    splits = iter(_assign_splits(drawn, names, root, ratios, seed, group_duplicates))
    plan = [
        PlannedFile(next(splits), name, record.path, record.sha256, "", group=file.group)
        for name, files in zip(names, drawn, strict=True)
        for file, record in files
    ]
    plan += [
        PlannedFile("", other.class_name, other.file, "", other.detail, problem=other.problem)
        for other in listing.others
    ]
    planned = {part.source for part in plan}
    plan += [
        PlannedFile(
            "",
            names[file.label],
            record.path,
            record.sha256,
            record.reason or MORE,
            problem=folder.problem_of(record),
        )
        for file, record in scanned
        if record.path not in planned
    ]
    base = listing.layout.base or "."
    plan = [part._replace(target=os.path.relpath(part.source, base)) for part in plan]
    return sorted(plan, key=lambda part: (part.split, part.class_name, part.source))


def _draw_files(
    scanned: list[tuple[ListedFile, FileRecord]],
    label: int,
    rng: np.random.Generator,
    count: int | None,
) -> list[tuple[ListedFile, FileRecord]]:
    """The usable files of a class in random order, `count` at most."""
    usable = [one for one in scanned if one[0].label == label and not one[1].reason]
    return [usable[index] for index in rng.permutation(len(usable))][:count]


def _check_not_split(config: DataConfig) -> None:
    """Refuse a folder that has splits, or that may have them."""
    way_out = "name a folder with a folder for each class"
    try:
        splits = folder_layout.splits(config)
    except AmbiguousLayoutError as error:  # which names splits to train on as a way out
        question = str(error).rpartition("; ")[0]
        raise SettingError(
            f"{question}; set data.layout=classes if they are the classes, or {way_out}"
        ) from error
    if list(splits) != [""]:
        raise SettingError(f"{config.path} is split already; {way_out}")


def _assign_splits(
    drawn: list[list[tuple[ListedFile, FileRecord]]],
    names: list[str],
    root: Path,
    ratios: dict[str, float],
    seed: int,
    group_duplicates: str,
) -> list[str]:
    """The split of each file, class by class.

    Raises:
        SettingError: a class would have no image in one of the splits.
    """
    sizes = [len(files) for files in drawn]
    labels = np.repeat(np.arange(len(drawn)), sizes)
    listed = [file for files in drawn for file, _ in files]
    files = [record for files in drawn for _, record in files]
    named = [file.group for file in listed] if any(file.group for file in listed) else None
    images = LazyImages(root, files, duplicates.THUMBNAIL, "stretch", None, groups=named)
    groups = duplicates.group_images(images, group_duplicates)
    if groups is None:
        groups = np.arange(len(files))
    for label, name in enumerate(names):
        different = len({*groups[labels == label]})
        if different < len(ratios):
            what = "different image[s]" if named is None else "group[s]"
            raise SettingError(
                f"{root}: {name} has {counted(different, what)}, and {len(ratios)} "
                "splits need one each; add images, use fewer splits, or remove the class"
            )
    quotas = np.array([[*_quotas(size, ratios).values()] for size in sizes])
    orders = np.split(np.arange(len(files)), np.cumsum(sizes)[:-1])
    rng = np.random.default_rng([seed, len(names)])
    parts = stratify.assign_parts(labels, groups, orders, quotas, rng, in_turn=True)
    for label, name in enumerate(names):
        empty = [split for part, split in enumerate(ratios) if part not in parts[labels == label]]
        if empty:
            raise SettingError(
                f"{root}: {name} gets no image in {', '.join(sorted(empty))}: it has too few, or "
                "too many that stay together; add images, or remove the class"
            )
    return [[*ratios][part] for part in parts]


def _quotas(count: int, ratios: dict[str, float]) -> dict[str, int]:
    """Integers nearly in these ratios, one or more each, that add up to `count`."""
    shares = {split: ratio * count for split, ratio in ratios.items()}
    quotas = {split: max(1, int(share)) for split, share in shares.items()}
    while (excess := sum(quotas.values()) - count) != 0:
        step = 1 if excess < 0 else -1
        allowed = [split for split in quotas if quotas[split] + step >= 1]
        quotas[max(allowed, key=lambda split: step * (shares[split] - quotas[split]))] += step
    return quotas


def split_table(parts: Iterable[PlannedFile], ratios: Iterable[str]) -> str:
    """A table of the number of images of each class in each split, and of those left out."""
    columns = [*ratios, "left out"]
    counts = Counter((part.class_name, part.split or "left out") for part in parts)
    names = list(dict.fromkeys(name for name, _ in counts))
    rows: dict[str, list[int]] = {
        name: [counts[name, column] for column in columns] for name in sorted(names)
    }
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines: list[tuple[str, list]] = [("", columns)]
    lines += [(one_line(name) or "(no class)", cells) for name, cells in rows.items()]
    lines.append(("total", totals))
    width = max(len(first) for first, _ in lines)
    return "\n".join(
        f"  {first:<{width}}" + "".join(f"{cell:>10}" for cell in cells) for first, cells in lines
    )


def check_destination(source: Path, destination: Path) -> None:
    """Refuse a destination that is not empty, or that would become a class of the source."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise SettingError(f"{destination} is no folder; choose a new one")
    if destination.is_dir() and any(destination.iterdir()):
        raise SettingError(f"{destination} is not empty; choose a new folder, or empty this one")
    if destination.resolve().is_relative_to(source.resolve()):
        raise SettingError(f"{destination} is in {source}; choose a folder outside of it")


def write_split(
    parts: list[PlannedFile], source: Path, destination: Path, mode: str = "copy"
) -> None:
    """Write the splits of `plan_split`: all of them, or none.

    Args:
        parts: the plan.
        source: the folder that was planned.
        destination: a new or empty folder.
        mode: `copy`; `hardlink`, which takes no space and needs the same disk; or `symlink`, which
            breaks when the source is moved, and is read with `data.follow_links=true`.

    Raises:
        SettingError: the destination is not empty, or cannot be written.
    """
    check_choice("--mode", mode, MODES)
    check_destination(source, destination)
    try:
        with atomic.atomic_folder(destination) as new:
            for part in tqdm(parts, desc=mode, unit=" files", delay=2, disable=None):
                if part.split:
                    target = new / part.split / part.target
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _copy_or_link(source.resolve() / part.source, target, mode)
            _write_manifest(parts, new / MANIFEST)
    except OSError as error:
        raise SettingError(_write_error(error, destination, mode)) from None


def _copy_or_link(file: Path, target: Path, mode: str) -> None:
    real = file.resolve()  # a relative link would be broken in another folder
    if mode == "copy":
        shutil.copy2(real, target)
    elif mode == "hardlink":
        os.link(real, target)
    else:
        target.symlink_to(real)


def _write_manifest(parts: list[PlannedFile], path: Path) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "class", "file", "source", "sha256", "left_out_because"])
        for part in parts:
            target = os.path.join(part.split, part.target) if part.split else ""
            writer.writerow(
                [part.split, part.class_name, target, part.source, part.sha256, part.reason]
            )


def _write_error(error: OSError, destination: Path, mode: str) -> str:
    if mode == "hardlink" and error.errno == errno.EXDEV:
        return f"--mode hardlink needs {destination} on the same disk; use --mode copy or symlink"
    return f"{destination} cannot be written ({error}); choose a folder that you may write to"
