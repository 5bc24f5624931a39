"""Classify images: `vit-keras predict RUN photos/ 'more/*.jpg' --format csv --top-k 3`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from vit_keras.cli import arguments
from vit_keras.errors import SettingError
from vit_keras.export import current
from vit_keras.logs import console
from vit_keras.predict import outputs, tables, tile_maps, tiles
from vit_keras.predict import predictor as predict_predictor
from vit_keras.predict.engines import AUTO, ENGINES, ONNX, outdated_onnx, resolved
from vit_keras.predict.inputs import FoundFiles, find_files
from vit_keras.predict.preflight import OUTPUT_FORMATS, RAY, check_prediction, prediction_format
from vit_keras.predict.tables import ImageTable
from vit_keras.runs.saved_run import open_run
from vit_keras.text import counted, one_line

NAMES = {
    **arguments.IMAGE_NAMES,
    "calibrated=False": "--no-calibration",
    "probabilities=True": "--probabilities",
    "embeddings=True": "--embeddings",
    "overwrite=True": "--overwrite",
}
TOP_K = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    arguments.add_images(parser)
    parser.add_argument(
        "--top-k",
        type=arguments.positive_int,
        help=f"number of classes per image, the most confident first ({TOP_K})",
    )
    parser.add_argument(
        "--format",
        type=arguments.one_of(OUTPUT_FORMATS),
        choices=OUTPUT_FORMATS,
        help="format of the predictions (from the suffix of --output, else a table)",
    )
    parser.add_argument(
        "--flip", action="store_true", help="horizontal-flip test-time augmentation"
    )
    parser.add_argument(
        "--coverage",
        type=arguments.share,
        metavar="SHARE",
        help="abstain unless exactly one class is in the conformal set, which holds the true class "
        "of this share of images, such as 0.95, and the image is not an outlier; after "
        "vit-keras evaluate",
    )
    parser.add_argument(
        "--ood-quantile",
        type=arguments.share,
        metavar="SHARE",
        help="an image is an outlier if its OOD score is above this quantile of those of the "
        "validation images (0.99, with --coverage)",
    )
    parser.add_argument(
        "--no-calibration",
        action="store_true",
        help="confidences without the run's temperature",
    )
    parser.add_argument(
        "--engine",
        type=arguments.one_of((*ENGINES, RAY)),
        choices=(*ENGINES, RAY),
        default=AUTO,
        help="what computes: the run's ONNX file, or that of 8 bits, which is exported if need be; "
        "keras; (auto) the ONNX file if it is there and no GPU is; or ray, all cores of this "
        "machine or of a cluster, which write Parquet files (%(default)s)",
    )
    add_tile_arguments(parser)
    add_batch_arguments(parser)
    output = parser.add_argument(
        "--output", help="the file to write (standard output); with --engine ray a folder"
    )
    arguments.complete_files(output)
    parser.add_argument("--overwrite", action="store_true", help="replace --output if it exists")


def add_tile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tile-size",
        type=arguments.positive_int,
        metavar="HEIGHT",
        help="predict each image by overlapping tiles of this height in its pixels, and of the "
        "proportion of the model's input; for images far larger than it",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        help=f"fraction of a tile that the next one covers too ({tiles.OVERLAP})",
    )
    parser.add_argument(
        "--combine",
        type=arguments.one_of(tiles.COMBINE),
        choices=tiles.COMBINE,
        help="of the tiles' probabilities: their mean, or their largest, which finds what is in a "
        "few tiles (mean)",
    )
    maps = parser.add_argument(
        "--maps", help="a new folder for a picture of each image's tiles, and a table of all tiles"
    )
    arguments.complete_files(maps)


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--actors",
        type=arguments.one_of(ENGINES),
        choices=ENGINES,
        help=f"with --engine ray: what each of its actors computes by, as of --engine ({AUTO})",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="with --engine ray: a column of the probabilities of all classes",
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="with --engine ray: a column of what the classification head reads",
    )


def main() -> None:
    arguments.run("predict", add_arguments, check_prediction, predict, False, NAMES)


def predict(settings: argparse.Namespace) -> None:
    if settings.engine == RAY:
        predict_batch(settings)
        return
    with console(sys.stderr):
        table = tables.find_table(settings.images, settings.image_column)
        files = FoundFiles(table.files, []) if table else find_files(settings.images)
        predictor = predict_predictor.Predictor(
            settings.run, engine=settings.engine, calibrated=not settings.no_calibration
        )
        if settings.tile_size is not None:
            done = tile_maps.predict_files(predictor, files, **_tile_settings(settings))
        else:
            done = outputs.predict_files(
                predictor,
                files,
                settings.top_k or TOP_K,
                settings.flip,
                settings.coverage,
                settings.ood_quantile,
            )
    for bad in done.unreadable:
        print(f"{one_line(bad.source)}: {bad.reason}", file=sys.stderr)
    for source, reason in done.others:
        print(f"{one_line(source)}: {reason}", file=sys.stderr)
    if not done.predictions:
        raise SettingError(
            f"none of {counted(len(done.unreadable), 'file[s]')} could be read; see above"
        )
    print(predictor.decision, file=sys.stderr)
    print(done, file=sys.stderr)
    _write(done, table, settings)
    if settings.engine == AUTO and (reason := outdated_onnx(predictor.run)):
        with console(sys.stderr):  # last: the predictions need not wait for it
            current.make_again(predictor.run, ONNX, reason)


def predict_batch(settings: argparse.Namespace) -> None:
    """Write a row for each image that has none yet, by Ray."""
    from vit_keras.predict import batch_output, ray_inference

    output = Path(settings.output).expanduser().absolute()
    with console(sys.stderr):
        saved = open_run(settings.run)
        job = batch_output.batch_job(
            saved,
            engine=resolved(saved, settings.actors or AUTO),
            calibrated=not settings.no_calibration,
            flip=settings.flip,
            probabilities=settings.probabilities,
            embeddings=settings.embeddings,
        )
        done = ray_inference.predict_images(saved, job, settings.found, output)
    for source, reason in settings.found.others:
        print(f"{one_line(source)}: {reason}", file=sys.stderr)
    print(done, file=sys.stderr)
    print("predictions:", one_line(str(output)))


def _tile_settings(settings: argparse.Namespace) -> dict[str, Any]:
    names = ("maps", "tile_size", "overlap", "combine", "top_k", "flip")
    return {name: value for name in names if (value := getattr(settings, name)) is not None}


def _write(
    done: outputs.FilePredictions, table: ImageTable | None, settings: argparse.Namespace
) -> None:
    """Write the predictions to `--output`, or to standard output."""
    format = prediction_format(settings.format, settings.output)
    if table and format in tables.WRITERS:
        content = tables.WRITERS[format](table.table, done.results)
    else:
        content = outputs.WRITERS[format](done.predictions)
    if settings.output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        file = Path(settings.output).expanduser()
        outputs.write(content, file)
        print("predictions:", one_line(str(file)))
