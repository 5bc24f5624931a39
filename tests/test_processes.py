"""What only shows in processes of their own: killing, sweeping, JAX without TensorFlow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_train import assert_same

SCRIPT = str(Path(__file__).parent.parent / "scripts" / "train_scratch.py")
SMALL = ("data.limit=400", "model.depth=2", "train.batch_size=32")


def script(*overrides, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *overrides],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_sigkill_in_the_middle_of_an_epoch_changes_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    overrides = (*SMALL, "train.epochs=40", "model.dropout=0.1", "optim.ema=0.9")
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


WITHOUT_TENSORFLOW = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_datasets"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import vit_keras
run = vit_keras.train_model(vit_keras.load_config("recipe=digits", "run.dir=" + sys.argv[1]))
import keras
from sklearn.datasets import load_digits
model = keras.models.load_model(run.path / "best.keras")
digits = load_digits()
images = (digits.images[..., None] * 255 / 16).round().astype("uint8")
assert (model.predict(images, verbose=0).argmax(-1) == digits.target).mean() > 0.97
assert "tensorflow" not in sys.modules
print("accuracy", run.metrics["test_accuracy"])
"""


def test_jax_without_tensorflow_reaches_the_same_accuracy(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    ours = script(f"run.dir={tmp_path / 'tensorflow'}")
    assert ours.returncode == 0, ours.stderr
    line = next(line for line in ours.stdout.splitlines() if line.startswith("test accuracy"))
    jax = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(tmp_path / "jax")],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert jax.returncode == 0, jax.stderr
    accuracy = float(jax.stdout.splitlines()[-1].split()[1])
    assert accuracy == pytest.approx(float(line.split()[2]), abs=0.01)
