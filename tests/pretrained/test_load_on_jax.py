"""Weights of other libraries on JAX, without TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest

import jax2tf_saved_model
from helpers.weight_files import google, google_tree, pixels, write_npz
from vit_keras import load_pretrained, save_pretrained

SCRIPT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
import keras, numpy, vit_keras

folder = sys.argv[1]
pixels = numpy.load(folder + "/pixels.npy")
logits = [
    vit_keras.load_pretrained(f"{folder}/{name}").predict(pixels, verbose=0)
    for name in ("weights.npz", "hugging_face")
]
numpy.save(folder + "/logits.npy", numpy.stack(logits))
try:
    vit_keras.load_pretrained(folder + "/saved_model")
except vit_keras.SettingError as error:
    print(error)
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""


@pytest.mark.slow
def test_jax_reads_all_but_a_saved_model(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    model = load_pretrained(str(write_npz(tmp_path / "weights.npz", google())))
    save_pretrained(model, tmp_path / "hugging_face")
    jax2tf_saved_model.save(google_tree(), tmp_path / "saved_model", side=16)
    images = pixels(2, 16, 16, 3)
    np.save(tmp_path / "pixels.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    message, backend = done.stdout.splitlines()
    assert message.startswith(f"handle={tmp_path / 'saved_model'} is a SavedModel")
    assert "which needs TensorFlow; pip install tensorflow" in message
    assert backend == "jax False"
    for logits in np.load(tmp_path / "logits.npy"):
        np.testing.assert_allclose(logits, model.predict(images, verbose=0), rtol=1e-4, atol=1e-4)
