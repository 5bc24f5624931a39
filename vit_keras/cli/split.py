"""Split a folder of images: `vit-keras split photos splits --ratios 80/10/10`.

`vit-keras split photos --table splits.csv` copies nothing, and neither does `vit-keras split
labels.csv --table splits.csv --group-column patient`.
"""

import argparse
import shlex
import sys
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import GROUP_DUPLICATES
from vit_keras.data import quality_report, split_folder, split_table
from vit_keras.data.split_findings import split_findings
from vit_keras.errors import SettingError

COLUMNS = ("image_column", "label_column", "group_column")  # of a table, as the settings data.*
# Settings of a training, which messages about its data name -> the arguments that they are here.
NAMES = {
    "data.path=": "",
    "data.layout=": "--layout ",
    "data.follow_links=true": "--follow-links",
    **{f"data.{name}=": f"--{name.replace('_', '-')} " for name in COLUMNS},
    **{f"data.{name}": f"--{name.replace('_', '-')}" for name in COLUMNS},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument(
        "source", type=Path, help="a folder with a sub-folder for each class, or a table of images"
    )
    destination = parser.add_argument(
        "destination",
        type=Path,
        nargs="?",
        help="a new or empty folder, for train/, val/ and test/",
    )
    table = parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="in place of a destination: a new CSV file with the split of each image, for data=csv",
    )
    for path in (source, destination, table):
        arguments.complete_files(path)
    parser.add_argument("--ratios", default="80/10/10", help="train/val/test, or train/test")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random split")
    parser.add_argument("--per-class", type=int, help="maximum number of images per class")
    parser.add_argument(
        "--group-duplicates",
        default="equal",
        choices=GROUP_DUPLICATES,
        help="which images go to the same split: equal files, near-duplicates too, or none",
    )
    parser.add_argument(
        "--group-column",
        help="of a table: the column that says which images stay in one split, as of a patient",
    )
    for name in ("image", "label"):
        parser.add_argument(
            f"--{name}-column", help=f"of a table: the column of the {name}s (found by its name)"
        )
    parser.add_argument("--mode", default="copy", choices=split_folder.MODES)
    parser.add_argument(
        "--follow-links", action="store_true", help="follow links that leave the source"
    )
    parser.add_argument(
        "--layout",
        default="auto",
        choices=("auto", "classes"),
        help="classes: each sub-folder is a class, whatever the names (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the counts, write nothing")


def main() -> None:
    words = sys.argv[1:]
    parser = arguments.build_parser("split", add_arguments)
    with exit_codes(arguments.as_typed(parser, words, NAMES)):
        split(arguments.parse("split", add_arguments, words))


def split(settings: argparse.Namespace) -> None:
    source, destination, table = settings.source, settings.destination, settings.table
    ratios = split_folder.parse_ratios(settings.ratios)
    check(settings, ratios)
    parts = split_folder.plan_split(
        source,
        ratios,
        settings.seed,
        settings.per_class,
        settings.follow_links,
        settings.layout,
        settings.group_duplicates,
        {name: getattr(settings, name) for name in COLUMNS},
    )
    print(split_folder.split_table(parts, ratios))
    for line in quality_report.summary(split_findings(parts)):
        print(f"warning: {line}")
    if settings.dry_run:
        return
    if table:
        links = " data.follow_links=true" if settings.follow_links else ""
        if group := settings.group_column:
            links += f" {shlex.quote(f'data.group_column={quote_override(group)}')}"
        split_table.write_table(parts, source, table, group)
        print(f"{table} has the split of each image. To train on it:")
    else:
        links = " data.follow_links=true" if settings.mode == "symlink" else ""
        split_folder.write_split(parts, source, destination, settings.mode)
        manifest = destination / split_folder.MANIFEST
        print(f"{manifest} lists where each file went, and what was left out. To train on it:")
    path = shlex.quote(f"data.path={quote_override(table or destination)}")
    print(f"vit-keras train recipe=folder {'data=csv ' if table else ''}{path}{links}")


def check(settings: argparse.Namespace, ratios: dict[str, float]) -> None:
    """Refuse options that cannot produce a split.

    Raises:
        SettingError: naming the option and the way out.
    """
    if settings.per_class is not None and settings.per_class < len(ratios):
        raise SettingError(
            f"--per-class {settings.per_class} is less than the {len(ratios)} splits, which need "
            f"an image of each class; use {len(ratios)} or more"
        )
    if settings.seed < 0:
        raise SettingError(f"--seed {settings.seed} is below 0; use 0 or more")
    if (settings.destination is None) == (settings.table is None):
        raise SettingError(
            "a split goes into a folder or into a table; name a destination, or --table FILE"
        )
    if settings.source.is_file() and settings.table is None:
        raise SettingError(
            f"{settings.source} is a table, whose splits go into another one; use --table FILE in "
            f"place of {settings.destination}"
        )
    for name in COLUMNS:
        if getattr(settings, name) is not None and not settings.source.is_file():
            raise SettingError(
                f"{NAMES[f'data.{name}=']}{getattr(settings, name)} is of a table, and "
                f"{settings.source} is none; leave it out"
            )
    if settings.table is None:
        split_folder.check_destination(settings.source, settings.destination)
        return
    if settings.mode != "copy":
        raise SettingError(f"--mode {settings.mode} means nothing to --table, which copies nothing")
    split_table.check_table(settings.source, settings.table)
