"""Split a folder of images: `python scripts/split_images.py photos splits --ratios 80/10/10`."""

import argparse
import sys
from pathlib import Path

from vit_keras.data import split_folder
from vit_keras.errors import SettingError


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Split <class>/... into train/, val/ and test/<class>/..., class by class."
    )
    parser.add_argument("source", type=Path, help="a folder with a sub-folder for each class")
    parser.add_argument("destination", type=Path, help="a new or empty folder")
    parser.add_argument("--ratios", default="80/10/10", help="train/val/test, or train/test")
    parser.add_argument("--seed", type=int, default=0, help="the same gives the same split")
    parser.add_argument("--per-class", type=int, help="take only so many images of each class")
    parser.add_argument("--mode", default="copy", choices=split_folder.MODES)
    parser.add_argument("--follow-links", action="store_true", help="also out of the source")
    parser.add_argument("--dry-run", action="store_true", help="print the counts, make nothing")
    try:
        split_folder.main(parser.parse_args())
    except SettingError as error:
        # The folder has no setting of its own here.
        print(f"error: {str(error).removeprefix('data.path=')}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
