"""Learning-rate range test: `vit-keras find-lr recipe=cifar10 optim.weight_decay=0.1`."""

import argparse
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import folder_name
from vit_keras.training import range_test
from vit_keras.training.preflight import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="setting=value",
        help="as for train: a recipe and settings, such as recipe=cifar10 train.batch_size=256",
    )
    parser.add_argument(
        "--lowest",
        type=float,
        default=range_test.LOWEST,
        help="learning rate of the first step (%(default)s)",
    )
    parser.add_argument(
        "--highest",
        type=float,
        default=range_test.HIGHEST,
        help="learning rate of the last step, unless the loss diverges before (%(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=range_test.STEPS, help="number of updates (%(default)s)"
    )
    output = parser.add_argument("--output", help="the new folder (<run.root>/find-lr-<recipe>)")
    arguments.complete_files(output)


def main() -> None:
    arguments.run("find-lr", add_arguments, check, find)


def check(settings: argparse.Namespace) -> None:
    """Refuse what cannot work; the configuration and the folder are kept in `settings`."""
    range_test.check_range(settings.lowest, settings.highest, settings.steps)
    for word in settings.overrides:
        if word.startswith("run.resume="):
            raise SettingError(
                f"{word} means nothing to find-lr, which begins with initial weights; leave it out"
            )
    settings.config = load_config(*settings.overrides)
    settings.folder = output_folder(settings.config, settings.output)


def output_folder(config: Config, output: str | None) -> Path:
    """`output`, or a folder of the recipe's name in `run.root`.

    Raises:
        SettingError: it holds something else than an earlier test, or cannot be made.
    """
    default = Path(config.run.root) / f"find-lr-{folder_name(config.name)}"
    return atomic.output_folder(default if output is None else output, range_test.CSV)


def find(settings: argparse.Namespace) -> None:
    from vit_keras.logs import console
    from vit_keras.training.learning_rate_finder import find_learning_rate

    with console():
        found = find_learning_rate(
            settings.config, settings.lowest, settings.highest, settings.steps
        )
    found.save(settings.folder)
    print(*found.lines(), sep="\n")
    print(f"curve: {settings.folder / range_test.CSV}")
    print(f"plot: {settings.folder / range_test.PNG}")
