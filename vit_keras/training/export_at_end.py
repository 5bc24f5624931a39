"""`train.export`: the formats that the best model is exported to when its training has ended.

Nothing here imports Keras until something is exported.
"""

from typing import Any

from vit_keras.config.schema import Config
from vit_keras.data.dataset import Split
from vit_keras.errors import SettingError
from vit_keras.export import preflight
from vit_keras.logs import log
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import open_run
from vit_keras.text import first_line
from vit_keras.validators import as_list


def export_formats(asked: Any) -> list[str]:
    """The formats of a `train.export`: true is ONNX, false and null are none."""
    if asked is None or isinstance(asked, bool):
        return ["onnx"] if asked else []
    return [str(name) for name in as_list(asked)]


def check_export_formats(config: Config) -> None:
    """Refuse a format that is unknown, or cannot be written here.

    Raises:
        SettingError: naming the packages to install.
    """
    for name in export_formats(config.train.export):
        try:
            preflight.check_format(name, preflight.backend_name(), "train.export")
        except SettingError as error:
            raise SettingError(
                f"{error}; or leave it out, and run vit-keras export later"
            ) from None


def export_best_model(config: Config, run: Run, test: Split) -> None:
    """Export `best.keras` of a finished run, compared with Keras on its test images.

    A failure is a warning: the run has all of its files.
    """
    for name in export_formats(config.train.export):
        try:
            _export(run, name, test)
        except Exception as error:  # of a converter, the disk or the memory
            log.warning(
                "WARNING: not exported to %s: %s; the run is complete: vit-keras export %s "
                "--format %s tries again",
                *(name, first_line(error), run.path, name),
            )
            log.debug("traceback:", exc_info=error)


def _export(run: Run, name: str, test: Split) -> None:
    from vit_keras.export import exporter  # imports Keras

    saved = open_run(run.path)
    images = exporter.images_of_split(saved, test)
    exporter.write_export(saved, name, preflight.export_folder(saved, name), images)
