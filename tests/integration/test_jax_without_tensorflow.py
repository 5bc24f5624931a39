"""The package on JAX in an environment without TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.tiny_runs import tiny_vit
from helpers.trained_runs import history
from vit_keras import load_config, load_pretrained, save_pretrained, train_model

pytestmark = pytest.mark.slow

# Backends draw other numbers from a seed, and two draws of one backend differ by about a point:
# to compare the backends and not the draws, both start from weights that NumPy drew. At a moderate
# rate, because at the recipe's own, rounding grows until the runs part, also those of one backend
# with and without XLA.
SAME_START = """
import sys
import numpy as np

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import vit_keras, vit_keras.training.build_model as train
build = train.build_vit

def build_and_assign(*args, **settings):
    model, rng = build(*args, **settings), np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("kernel", "position_embedding"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return model

train.build_vit = build_and_assign
config = vit_keras.load_config(
    "augment=none", "train.epochs=16", "optim.learning_rate=5e-4", "run.dir=" + sys.argv[1]
)
run = vit_keras.train_model(config)

import keras
from sklearn.datasets import load_digits
digits = load_digits()
images = (digits.images[..., None] * 255 / 16).round().astype("uint8")
model = keras.models.load_model(run.path / "best.keras")
right = model.predict(images, verbose=0).argmax(-1) == digits.target
assert right.mean() > 0.9, right.mean()
assert not set(sys.argv[2:]) & set(sys.modules)
print("accuracy", keras.backend.backend(), run.metrics["test_accuracy"])
"""


@pytest.mark.exhaustive
def test_jax_without_tensorflow_reaches_the_same_accuracy(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    accuracy, losses = {}, {}
    blocked = {"tensorflow": [], "jax": ["tensorflow", "tensorflow_datasets"]}
    for backend, names in blocked.items():
        result = subprocess.run(
            [sys.executable, "-c", SAME_START, str(tmp_path / backend), *names],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        word, backend_used, figure = result.stdout.splitlines()[-1].split()
        assert (word, backend_used) == ("accuracy", backend)
        accuracy[backend] = float(figure)
        losses[backend] = [float(row["loss"]) for row in history(tmp_path / backend)]
    assert losses["jax"] == pytest.approx(losses["tensorflow"], rel=0.01)
    assert accuracy["jax"] == pytest.approx(accuracy["tensorflow"], abs=0.01)


WITHOUT_TENSORFLOW = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_datasets"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import vit_keras
from vit_keras.training.finetune import finetune_model
finetune_model(vit_keras.load_config(*sys.argv[1:]))
import keras
assert not {"tensorflow", "tensorflow_datasets"} & set(sys.modules)
print(keras.backend.backend())
"""


def test_jax_without_tensorflow_fine_tunes_with_the_same_losses(tmp_path):
    """From a Google .npz, its features computed once; the head begins at 0 on each backend."""
    pytest.importorskip("jax", reason="needs jax")
    save_pretrained(load_pretrained(str(tiny_vit(tmp_path / "vit.keras"))), tmp_path / "vit.npz")
    words = (
        "recipe=finetune_digits",
        f"pretrained.handle={tmp_path / 'vit.npz'}",
        *("pretrained.baseline=false", "data.limit=120", "stages.head.epochs=2"),
        *("stages.all.epochs=2", "optim.ema_momentum=0.9"),
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *words, f"run.dir={tmp_path / 'jax'}"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "jax"
    train_model(
        load_config(*words, "train.jit_compile=false", f"run.dir={tmp_path / 'tensorflow'}")
    )
    losses = {
        name: [
            [float(row[key]) for key in ("loss", "val_loss")] for row in history(tmp_path / name)
        ]
        for name in ("jax", "tensorflow")
    }
    np.testing.assert_allclose(losses["jax"], losses["tensorflow"], rtol=1e-4)
