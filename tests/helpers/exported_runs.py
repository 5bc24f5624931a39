"""A run with an ONNX file, for the modules of tests that need one."""

import shutil

import keras
import pytest

from helpers.paths import SAVED_MODELS
from vit_keras.export import exporter


def skip_without_onnx():
    """Skips the module that calls it, unless ONNX files can be written and opened here."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("exports are written from TensorFlow's graph", allow_module_level=True)
    for package in ("onnxruntime", "tf2onnx"):
        pytest.importorskip(package, reason=f"needs {package}: pip install {package}")


def exported_digits(folder):
    """The released digits run in `folder`, with an ONNX file and a temperature."""
    run = shutil.copytree(SAVED_MODELS / "digits", folder / "digits")
    (run / "temperature.json").write_text('{"temperature": 1.5}')
    exporter.export_run(run, "onnx", images=5)
    return run
