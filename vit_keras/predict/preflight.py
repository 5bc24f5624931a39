"""Checks of a prediction's settings before Keras is imported."""

from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError
from vit_keras.export import preflight
from vit_keras.io import atomic
from vit_keras.predict import (
    batch_images,
    batch_output,
    decisions,
    embedding_files,
    embedding_map,
    engines,
    inputs,
    tables,
    tiles,
)
from vit_keras.predict.backbone import find_run
from vit_keras.runs.saved_run import SavedRun, open_run
from vit_keras.validators import check_choice

OUTPUT_FORMATS = ("table", "json", "csv")
RAY = "ray"  # the engine of a batch inference, which computes by one of `engines.ENGINES`
RAY_PACKAGES = {"ray": "ray", "pyarrow": "pyarrow"}


def check_prediction(settings: Any) -> None:
    """Refuse settings with which a prediction would fail.

    Raises:
        SettingError: the run or an image does not exist, the model is damaged, the format is
            unknown, the engine cannot be used, the run cannot abstain, or the output cannot be
            written.
    """
    saved = open_run(settings.run)
    saved.check_model()
    if settings.engine == RAY:
        check_batch(saved, settings)
        return
    for name in ("probabilities", "embeddings", "actors"):
        if value := getattr(settings, name):
            raise SettingError(f"{name}={value} is of engine=ray; set it, or leave this out")
    saved.decision  # noqa: B018  (reads files that may be damaged)
    saved.abstention  # noqa: B018
    calibrated = not settings.no_calibration
    decisions.check_calibrated(saved, calibrated)
    decisions.rule(saved, settings.coverage, settings.ood_quantile, settings.flip, calibrated)
    if not tables.find_table(settings.images, settings.image_column):
        inputs.find_files(settings.images)
    prediction_format(settings.format, settings.output)
    engines.check_engine(saved, settings.engine)
    check_tile_settings(settings)
    if settings.tile_size is not None:
        tiles.check_run(saved)
    if settings.output is not None:
        file = Path(settings.output).expanduser()
        atomic.check_output_file(file, settings.overwrite, "--overwrite")


def check_batch(saved: SavedRun, settings: Any) -> None:
    """Refuse settings with which a batch inference would fail; its images are kept.

    Raises:
        SettingError: Ray is not installed, an image does not exist, a setting has no effect, or
            the output is no folder, or that of another run.
    """
    if packages := preflight.missing_packages(RAY_PACKAGES):
        raise SettingError(
            f"engine=ray needs {' and '.join(packages)}, not installed here: "
            'pip install "vit-keras-lab[cluster]"'
        )
    for name in ("top_k", "format", "coverage", "ood_quantile", "tile_size", "maps"):
        if (value := getattr(settings, name)) is not None:
            raise SettingError(f"{name}={value} has no effect with engine=ray; leave it out")
    if settings.overwrite:
        raise SettingError("overwrite=True has no effect with engine=ray; leave it out")
    if settings.output is None:
        raise SettingError("engine=ray writes Parquet files; set output=... to their folder")
    calibrated = not settings.no_calibration
    decisions.check_calibrated(saved, calibrated)
    engines.check_engine(saved, settings.actors or engines.AUTO)
    settings.found = batch_images.find_images(settings.images, settings.image_column)
    atomic.check_output_folder(Path(settings.output).expanduser(), batch_output.JOB)


def check_tile_settings(settings: Any) -> None:
    """Refuse settings of tiles that are wrong with any image, or of no effect.

    Raises:
        SettingError: naming the setting.
    """
    if settings.tile_size is None:
        for name in ("overlap", "combine", "maps"):
            if (value := getattr(settings, name)) is not None:
                raise SettingError(
                    f"{name}={value} is of tiles, which only tile_size=HEIGHT makes; set it, or "
                    "leave this out"
                )
        return
    names = ("overlap", "combine")
    given = {name: value for name in names if (value := getattr(settings, name)) is not None}
    tiles.check_tiles(settings.tile_size, **given)
    if settings.coverage is not None:
        raise SettingError(
            f"coverage={settings.coverage} is calibrated for whole images, and not for tiles; "
            "leave out tile_size"
        )
    if settings.maps is not None:
        atomic.output_folder(settings.maps, tiles.MAPS)


def check_embedding(settings: Any) -> None:
    """Refuse settings with which images cannot be embedded.

    Raises:
        SettingError: the model or an image does not exist, or a file cannot be written.
    """
    find_run(settings.model)
    file = Path(settings.output).expanduser()
    embedding_files.check_file(file)
    atomic.check_output_file(file, settings.overwrite, "--overwrite")
    table = tables.find_table(settings.images, settings.image_column)
    images = table.files if table else inputs.find_files(settings.images).images
    if settings.map is not None:
        embedding_map.check_file(settings.map, settings.overwrite)
        embedding_map.check_count(len(images))


def check_neighbours(settings: Any) -> None:
    """Refuse what has no nearest neighbours; the embeddings are kept in `settings.found`.

    Raises:
        SettingError: the embeddings cannot be read, their model is not there, or it is not one
            image.
    """
    settings.found = embedding_files.read_embeddings(Path(settings.embeddings).expanduser())
    if len(images := inputs.find_files([settings.image]).images) != 1:
        raise SettingError(f"image={settings.image} has {len(images)} images; name one")
    try:
        find_run(settings.model or settings.found.made_by.model)
    except SettingError as error:
        if settings.model is not None:
            raise
        raise SettingError(f"{error}; if it was moved, name its place by model=...") from None


def prediction_format(format: str | None, output: str | None) -> str:
    """The output format: `format`, otherwise the suffix of `output`, otherwise a table."""
    if format is None:
        suffix = Path(output or "").suffix.lower().removeprefix(".")
        return suffix if suffix in OUTPUT_FORMATS else "table"
    check_choice("format", format, OUTPUT_FORMATS)
    return format
