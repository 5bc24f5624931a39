"""Draw attention and class relevance maps of an image: `vit-keras explain RUN --image 7`."""

import argparse

from vit_keras.cli import arguments
from vit_keras.explain.preflight import check_explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    image = parser.add_argument(
        "--image",
        required=True,
        help="an image file, or the index of an image in the run's test split",
    )
    arguments.complete_files(image)
    parser.add_argument("--target", help="the class whose relevance is drawn (the predicted class)")
    parser.add_argument("--layer", help="the encoder block whose heads are drawn (the last one)")
    output = parser.add_argument("--output", help="the new folder (<run>/explanations/<image>)")
    arguments.complete_files(output)


def main() -> None:
    arguments.run("explain", add_arguments, check_explanation, explain)


def explain(settings: argparse.Namespace) -> None:
    from vit_keras.explain.explanation import explain_run  # imports Keras: after the checks

    print("explanation:", explain_run(**vars(settings)))
