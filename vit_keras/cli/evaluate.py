"""Evaluate a run: `vit-keras evaluate RUN --sizes 24 48`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.evaluation.preflight import SPLITS, TEST, check_evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        default=[],
        metavar=arguments.SETTINGS,
        help="other data than those of the run, such as data=folder data.path=photos",
    )
    parser.add_argument(
        "--split",
        type=arguments.one_of(SPLITS),
        choices=SPLITS,
        default=TEST,
        help="all: every image, for data that the run was not trained on (%(default)s)",
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        action="extend",
        type=arguments.positive_int,
        default=[],
        metavar="HEIGHT",
        help="additional image sizes to evaluate at, in pixels; the widths are in proportion",
    )
    parser.add_argument(
        "--images",
        type=arguments.positive_int,
        default=1000,
        help="number of test images for robustness to corruptions (%(default)s)",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="also measure horizontal-flip test-time augmentation, beside the plain accuracy",
    )
    ood = parser.add_argument(
        "--ood",
        metavar="FOLDER",
        help="images of none of the classes, or the name of a data set such as cifar10: how well "
        "the OOD score tells them from the test images (AUROC, FPR95)",
    )
    arguments.complete_files(ood)
    parser.add_argument(
        "--map",
        action="store_true",
        help="also draw a map of up to 1,000 test images in two dimensions by their features, "
        "with thumbnails of those that are predicted wrongly",
    )
    output = parser.add_argument("--output", help="the new folder (<run>/evaluation)")
    arguments.complete_files(output)


def main() -> None:
    arguments.run("evaluate", add_arguments, check_evaluation, evaluate)


def evaluate(settings: argparse.Namespace) -> None:
    from vit_keras.evaluation.evaluate import evaluate_run  # imports Keras: after the checks
    from vit_keras.logs import console

    with console():
        evaluate_run(
            settings.run,
            overrides=settings.data,
            split=settings.split,
            sizes=settings.sizes,
            images=settings.images,
            output=settings.output,
            flip=settings.flip,
            ood=settings.ood,
            map=settings.map,
        )
