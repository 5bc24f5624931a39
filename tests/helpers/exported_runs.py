"""A run with an ONNX file, for the modules of tests that need one."""

import shutil

import keras
import numpy as np
import pytest

from helpers.paths import SAVED_MODELS
from vit_keras import open_run
from vit_keras.export import exporter
from vit_keras.runs.abstention import ABSTENTION, Abstention, unit_length, write_abstention


def skip_without_onnx():
    """Skips the module that calls it, unless ONNX files can be written and opened here."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("exports are written from TensorFlow's graph", allow_module_level=True)
    for package in ("onnxruntime", "tf2onnx"):
        pytest.importorskip(package, reason=f"needs {package}: pip install {package}")


def exported_digits(folder):
    """The released digits run in `folder`, with an ONNX file, a temperature and abstention."""
    run = shutil.copytree(SAVED_MODELS / "digits", folder / "digits")
    (run / "temperature.json").write_text('{"temperature": 1.5}')
    rng, model = np.random.default_rng(0), open_run(run).model
    bank = unit_length(rng.normal(size=(60, model.get_layer("head").input.shape[-1])))
    errors, scores = np.sort(rng.random((2, 200)), axis=-1)
    rule = Abstention(1.5, 0.1 * errors, scores, bank.astype("float32"), rank=5)
    write_abstention(run / ABSTENTION, rule)
    exporter.export_run(run, "onnx", images=5)
    return run
