"""Download a data set: `vit-keras get-data cifar10`, or `--list` for those that are prepared."""

import argparse
import sys
import textwrap

from vit_keras.cli import arguments
from vit_keras.cli.exit_codes import CTRL_C, exit_codes
from vit_keras.config.schema import DataConfig
from vit_keras.data import download
from vit_keras.data.readers import tfds_index
from vit_keras.errors import SettingError
from vit_keras.text import counted

# Settings of a training, and advice with them -> what they are here.
NAMES = {
    "data.name=": "",
    "data.tfds_dir=": "--to ",
    "data.tfds_dir": "--to",
    "with data.download=true": "by this command",
    "with a network, data.download=true downloads it; without one, ": "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        help="a data set of TFDS (fashion_mnist, imagenette/160px-v2), or of Kaggle",
    )
    parser.add_argument("--list", action="store_true", help="list prepared and known data sets")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="take files that were replaced since TFDS noted their checksums",
    )
    folder = parser.add_argument("--to", help="the folder to prepare it in (TFDS_DATA_DIR)")
    arguments.complete_files(folder)


def main() -> None:
    words = sys.argv[1:]
    parser = arguments.build_parser("get-data", add_arguments)
    with exit_codes(arguments.as_typed(parser, words, NAMES)):
        settings = arguments.parse("get-data", add_arguments, words)
        if bool(settings.name) == settings.list:
            raise SettingError("name a data set, or --list; see vit-keras get-data --help")
        if settings.list:
            show(settings.to)
            return
        try:
            get(settings.name, settings.to, settings.accept_changes)
        except KeyboardInterrupt:
            # TFDS prepares a data set in a temporary folder, which is never read.
            print("\nstopped; the data set is incomplete, run the command again", file=sys.stderr)
            sys.exit(CTRL_C)


def get(name: str, to: str | None, accept_changes: bool) -> None:
    downloaded = download.download_dataset(name, to, accept_changes)
    for part, count in downloaded.counts.items():
        print(f"{counted(count, 'image[s]'):>16}  {part}")
    print(f"{name} is in {downloaded.folder}\ntrain on it: {downloaded.command}")


def show(to: str | None) -> None:
    print(f"prepared under {tfds_index.tfds_root(DataConfig(tfds_dir=to))}:")
    for name, counts in download.prepared(to).items():
        sizes = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        print(f"  {name:<30} {sizes or 'damaged'}")
    known = tfds_index.list_builders()
    print(f"in TFDS ({len(known)}; those with images and class labels can be used):")
    print(textwrap.fill(" ".join(known), 100, initial_indent="  ", subsequent_indent="  "))
