"""Several devices: batches that do not divide, and what is refused before anything slow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from vit_keras import SettingError, backend, load_config
from vit_keras.data.dataset import Split
from vit_keras.data.input_pipeline import _SequentialBatches
from vit_keras.training import devices, preflight

DATA_PARALLEL = """
import sys, json
import keras, vit_keras
shared = keras.distribution.DataParallel()
assert shared.num_model_replicas == 4
keras.distribution.set_distribution(shared)
config = vit_keras.load_config(
    "data.limit=397", "train.epochs=2", "model.depth=1", "train.batch_size=32", "augment=none",
    "run.dir=" + sys.argv[1])
run = vit_keras.train_model(config)
report = vit_keras.evaluate_run(run.path, images=37).report
assert report["images"] == 359, report["images"]
images = [keras.ops.zeros((8, 8, 1), "uint8").__array__()] * 3
assert len(vit_keras.Predictor(run.path, batch_size=2).predict(images)) == 3
keras.distribution.set_distribution(None)
again = vit_keras.evaluate_run(run.path, images=37, output=sys.argv[1] + "-again").report
for key in ("accuracy", "loss"):
    assert abs(report[key] - again[key]) < 1e-5, key
    assert abs(run.metrics["test_" + key] - again[key]) < 1e-5, key
config.train.batch_size = 30
config.run.dir += "-30"
keras.distribution.set_distribution(shared)
try:
    vit_keras.train_model(config)
except vit_keras.SettingError as error:
    print(error)
"""


@pytest.mark.exhaustive
def test_jax_on_four_devices_evaluates_batches_that_do_not_divide(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    command = [sys.executable, "-c", DATA_PARALLEL, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("train.batch_size=30 cannot be divided among 4 devices")
    assert last.endswith("use 28 or 32, or fewer distribute.devices")


@pytest.mark.parametrize("batch_size", [8, 6, 3])
@pytest.mark.parametrize("count", [13, 16, 1])
def test_weights_leave_out_the_images_that_fill_up_a_batch(count, batch_size):
    """By Keras' own arithmetic: the sum over a batch through its size, weighted by its size."""
    values = np.random.default_rng(0).random(count)
    images = np.arange(count, dtype="uint8").reshape(count, 1, 1, 1)
    batches = _SequentialBatches(Split(images, np.arange(count) % 3), batch_size)
    batches.devices = 4
    losses, sizes, seen = [], [], []
    for number in range(len(batches)):
        (images, labels), *rest = batches[number]
        weights = rest[1] if rest else np.ones(len(labels))
        assert len(images) == len(labels) == len(weights)
        assert len(images) % 4 == 0
        losses.append((values[images.ravel()] * weights).sum() / len(weights))
        sizes.append(len(weights))
        seen += images.ravel()[weights > 0].tolist()
    assert seen == list(range(count))
    assert np.average(losses, weights=sizes) == pytest.approx(values.mean(), rel=1e-6)


def cluster(**tasks):
    return json.dumps({"cluster": tasks, "task": {"type": "worker", "index": 0}})


@pytest.mark.parametrize(
    ("value", "tasks"),
    [
        (cluster(worker=["a:1", "b:1"]), 2),
        (cluster(chief=["a:1"], worker=["b:1"], ps=["c:1"]), 3),
        (cluster(chief=["a:1"]), 0),
        (cluster(worker=["a:1"], evaluator=["b:1"]), 0),
        ("{}", 0),
        ("", 0),
        ("none", 0),
        ("[]", 0),
    ],
)
def test_a_cluster_whose_workers_would_all_train_everything_is_refused(value, tasks, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", value)
    if not tasks:
        return preflight.check_settings(load_config())
    with pytest.raises(SettingError, match=f"TF_CONFIG names a cluster of {tasks} tasks"):
        preflight.check_settings(load_config())


MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import vit_keras
def train(name, *overrides):
    config = vit_keras.load_config(
        "data.limit=150", "train.epochs=2", "model.depth=1", "train.batch_size=32", *overrides,
        "optim.ema_momentum=0.8", f"run.dir={sys.argv[1]}-{name}")
    return vit_keras.train_model(config).metrics["test_loss"]
for setting in ("train.jit_compile=true", "optim.gradient_accumulation_steps=2"):
    try:
        train("refused", setting, "distribute.devices=2")
    except vit_keras.SettingError as error:
        print("refused:", error)
shared = train("shared", "distribute.devices=2", "augment.random_erasing=0.5")
alone = train("alone", "augment.random_erasing=0.5")
assert abs(shared - alone) < 1e-3, (shared, alone)
train("patches", "distribute.devices=2", "model.patch_dropout=0.5")
"""


@pytest.mark.slow
def test_mirrored_strategy_trains_or_is_refused_in_a_line(tmp_path):
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", MIRRORED, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stdout.splitlines() if line.startswith("refused: ")]
    assert [line.split("=")[0] for line in refused] == [
        "refused: train.jit_compile", "refused: optim.gradient_accumulation_steps"
    ]  # fmt: skip
    assert done.stdout.count("XLA is off") == 2


def test_one_device_is_the_rule():
    devices.check(load_config())
    assert backend.replicas() == 1
