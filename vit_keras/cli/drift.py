"""Test whether images differ from those of a run: `vit-keras drift RUN photos`."""

import argparse
import json
import sys
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.cli.exit_codes import FAILED
from vit_keras.io import atomic
from vit_keras.logs import console
from vit_keras.predict import inputs
from vit_keras.runs.saved_run import open_run
from vit_keras.text import format_table, one_line

NAMES = {"overwrite=true": "--overwrite"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    images = parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, folders or globs"
    )
    arguments.complete_files(images)
    parser.add_argument(
        "--alpha",
        type=arguments.share,
        default=0.01,
        help="probability of a false alarm, of all tests together (%(default)s)",
    )
    parser.add_argument(
        "--count",
        type=arguments.positive_int,
        default=1000,
        help="the largest number of images of each side (%(default)s)",
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="end with status 1 if the images have drifted"
    )
    output = parser.add_argument("--output", help="a JSON file for the figures")
    arguments.complete_files(output)
    parser.add_argument("--overwrite", action="store_true", help="replace --output if it exists")


def main() -> None:
    arguments.run("drift", add_arguments, check, drift, False, NAMES)


def check(settings: argparse.Namespace) -> None:
    """Refuse what cannot be compared, before Keras is imported."""
    open_run(settings.run).check_model()
    settings.files = inputs.find_image_files(settings.images)
    if settings.output is not None:
        settings.output = Path(settings.output).expanduser()
        atomic.check_output_file(settings.output, settings.overwrite, "overwrite=true")


def drift(settings: argparse.Namespace) -> None:
    """Print the tests, and whether the images have drifted."""
    from vit_keras.evaluation.drift_data import find_drift

    with console(sys.stderr):
        found, unreadable = find_drift(settings.run, settings.files, settings.count, settings.alpha)
    for bad in unreadable:
        print(f"{one_line(bad.source)}: {bad.reason}", file=sys.stderr)
    rows = [("test", "statistic", "p", "")]
    rows += [(t.name, f"{t.statistic:.4g}", f"{t.p_value:.3g}", t.what) for t in found.tests]
    print(format_table(rows))
    if settings.output is not None:
        text = json.dumps(found.as_json(), indent=2, ensure_ascii=False)
        atomic.write_text(settings.output, text + "\n")
    compared = f"{found.images} images, compared with {found.reference} of the run"
    if found.has_drifted:
        print(f"DRIFT: {compared} (alpha {found.alpha:g})")
    else:
        print(f"no drift: {compared} (alpha {found.alpha:g})")
    if found.has_drifted and settings.exit_code:
        sys.exit(FAILED)
