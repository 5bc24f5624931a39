"""What only shows in processes of their own: killing, sweeping, JAX without TensorFlow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from staged import tiny_vit
from test_train import assert_same, history

from vit_keras import load_config, load_pretrained, save_pretrained, train_model

SCRIPTS = Path(__file__).parent.parent / "scripts"
SCRIPT = str(SCRIPTS / "train_scratch.py")
FINETUNE = str(SCRIPTS / "finetune_hub.py")
SMALL = ("data.limit=400", "model.depth=2", "train.batch_size=32")


def script(*overrides, path=SCRIPT, **environment):
    return subprocess.run(
        [sys.executable, path, *overrides],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_sigkill_in_the_middle_of_an_epoch_changes_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    random = ("augment=heavy", "augment.repeats=2", "model.dropout=0.1")
    overrides = (*SMALL, *random, "train.epochs=12", "optim.ema=0.9")
    assert script(*overrides, f"run.dir={whole}").returncode == 0

    with subprocess.Popen(
        [sys.executable, SCRIPT, *overrides, f"run.dir={killed}"], stdout=subprocess.DEVNULL
    ) as process:
        while not (killed / "checkpoint" / "epoch-00003.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "metrics.json").exists()

    resumed = script(f"run.resume={killed}")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stdout
    assert_same(whole, killed)


def test_sigkill_in_the_second_stage_of_a_fine_tuning_changes_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    overrides = (
        f"pretrained.handle={tiny_vit(tmp_path / 'vit.keras')}",
        *("pretrained.baseline=false", "data.limit=200", "train.batch_size=8"),
        *("stages.head.epochs=2", "stages.all.epochs=8", "stages.all.layer_decay=0.7"),
        *("model.dropout=0.1", "optim.ema=0.9", "train.jit=false"),
    )
    done = script(*overrides, f"run.dir={whole}", path=FINETUNE)
    assert (done.returncode, done.stderr) == (0, "")

    with subprocess.Popen(
        [sys.executable, FINETUNE, *overrides, f"run.dir={killed}"], stdout=subprocess.DEVNULL
    ) as process:
        while not (killed / "checkpoint" / "epoch-00004.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "metrics.json").exists()

    resumed = script(f"run.resume={killed}", path=FINETUNE)
    assert resumed.returncode == 0, resumed.stderr
    assert_same(whole, killed)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_run_and_says_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, SCRIPT, *SMALL, "train.epochs=500", f"run.dir={run}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (run / "checkpoint" / "epoch-00001.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert f"run.resume={run}" in stdout
    assert "Traceback" not in stderr


def test_multirun_makes_a_run_for_each_value(tmp_path):
    result = script(
        "--multirun",
        "optim.learning_rate=1e-3,3e-4",
        "train.epochs=1",
        f"run.root={tmp_path}",
        *SMALL,
    )
    assert result.returncode == 0, result.stderr
    found = sorted(tmp_path.glob("multirun/*/*/metrics.json"))
    assert len(found) == 2
    rates = [(path.parent / "config.yaml").read_text() for path in found]
    assert "learning_rate: 0.001" in rates[0]
    assert "learning_rate: 0.0003" in rates[1]


def test_a_run_is_quiet_and_ends_with_its_directory(tmp_path):
    result = script(*SMALL, "train.epochs=1", f"run.dir={tmp_path / 'run'}")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == f"run: {tmp_path / 'run'}"
    assert "Total params" in result.stdout
    assert "validation" in result.stdout  # the split sizes


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
import vit_keras, vit_keras.training_model as train
build = train.build_vit

def build_and_assign(*args, **settings):
    model, rng = build(*args, **settings), np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("kernel", "position_embedding"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return model

train.build_vit = build_and_assign
config = vit_keras.load_config(
    "augment=none", "train.epochs=40", "optim.learning_rate=5e-4", "run.dir=" + sys.argv[1]
)
run = vit_keras.train_model(config)

import keras
from sklearn.datasets import load_digits
digits = load_digits()
images = (digits.images[..., None] * 255 / 16).round().astype("uint8")
model = keras.models.load_model(run.path / "best.keras")
right = model.predict(images, verbose=0).argmax(-1) == digits.target
assert right.mean() > 0.97, right.mean()
assert not set(sys.argv[2:]) & set(sys.modules)
print("accuracy", keras.backend.backend(), run.metrics["test_accuracy"])
"""


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
from vit_keras.finetune import finetune_model
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
        *("stages.all.epochs=2", "optim.ema=0.9"),
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *words, f"run.dir={tmp_path / 'jax'}"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "jax"
    train_model(load_config(*words, "train.jit=false", f"run.dir={tmp_path / 'tensorflow'}"))
    losses = {
        name: [
            [float(row[key]) for key in ("loss", "val_loss")] for row in history(tmp_path / name)
        ]
        for name in ("jax", "tensorflow")
    }
    np.testing.assert_allclose(losses["jax"], losses["tensorflow"], rtol=1e-4)
