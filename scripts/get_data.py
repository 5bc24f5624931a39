"""Fetch a data set: `python scripts/get_data.py cifar10`, or `--list` for what is here."""

import argparse
import sys
import textwrap

from vit_keras.config.schema import DataConfig
from vit_keras.data import download
from vit_keras.data.readers import tfds_index
from vit_keras.errors import SettingError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "name", nargs="?", help="a set of TFDS (fashion_mnist, imagenette/160px-v2), or of Kaggle"
    )
    parser.add_argument("--to", help="the folder to put it in; TFDS_DATA_DIR unless given")
    parser.add_argument("--list", action="store_true", help="what is prepared here, and known")
    arguments = parser.parse_args()
    if bool(arguments.name) == arguments.list:
        parser.error("name a data set, or --list")
    try:
        show(arguments.to) if arguments.list else get(arguments.name, arguments.to)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; nothing half-prepared is taken for whole, run it again", file=sys.stderr)
        sys.exit(130)


def get(name: str, to: str | None) -> None:
    fetched = download.download_dataset(name, to)
    for part, count in fetched.counts.items():
        print(f"{count:>9,} images  {part}")
    print(f"{name} is in {fetched.place}\ntrain on it: {fetched.command}")


def show(to: str | None) -> None:
    print(f"prepared under {tfds_index.tfds_root(DataConfig(tfds_dir=to))}:")
    for name, counts in download.prepared(to).items():
        sizes = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        print(f"  {name:<30} {sizes or 'damaged'}")
    known = tfds_index.listed()
    print(f"known to TFDS, of which those of images and classes can be trained on ({len(known)}):")
    print(textwrap.fill(" ".join(known), 100, initial_indent="  ", subsequent_indent="  "))


if __name__ == "__main__":
    main()
