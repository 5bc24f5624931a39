"""A run with an ONNX file."""

import shutil

from helpers.paths import SAVED_MODELS
from vit_keras.export import exporter


def exported_digits(folder):
    """The released digits run in `folder`, with an ONNX file and a temperature."""
    run = shutil.copytree(SAVED_MODELS / "digits", folder / "digits")
    (run / "temperature.json").write_text('{"temperature": 1.5}')
    exporter.export_run(run, "onnx", images=5)
    return run
