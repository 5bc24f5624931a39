"""Devices that share a training: the numbers are those of one device, whatever their number."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.trained_runs import largest_difference
from vit_keras import SettingError, load_config
from vit_keras.config.schema import DistributeConfig
from vit_keras.training import devices, distribution
from vit_keras.training.plan import resolve_plan
from vit_keras.training.train import prepare

RUNS = ("one", "resumed")
VIRTUAL = "--xla_force_host_platform_device_count=4"
# Augmentation, dropout, a moving average and two stages. SGD, because AdamW's first steps have the
# size of the learning rate even where a gradient is rounding alone.
WORDS = (
    *("data.limit=300", "model.depth=1", "model.dropout=0.1", "model.patch_dropout=0.25"),
    *(
        "augment=shift",
        "augment.mixup=0.2",
        "augment.random_erasing=0.3",
        "optim.ema_momentum=0.9",
        "train.batch_size=32",
    ),
    *("optim=sgd", "optim.learning_rate=0.05", "optim.weight_decay=0.01", "train.epochs=null"),
    *("+stages.first={trainable: {last: 1}, epochs: 1}", "+stages.all={epochs: 2}"),
)
# Trains on one device, on four, and on four until a Ctrl-C in epoch 2 and then on two that divide
# the model.
TRAIN = """
import os, signal, sys
import vit_keras
from vit_keras.data.readers import tfds
from vit_keras.training.callbacks.stopping import StopOnNaN

root, *words = sys.argv[1:]
on_batch_end = StopOnNaN.on_train_batch_end

def train(name, *more, words=words):
    vit_keras.train_model(vit_keras.load_config(*words, f"run.dir={root}/{name}", *more))

def stop(callback, batch, logs=None):
    if (callback.epoch, batch) == (1, 2):
        os.kill(os.getpid(), signal.SIGINT)

read = tfds.read_split
tfds.read_split = lambda builder, name, *rest: read(builder, f"{name}[:2000]", *rest)
train("one", "distribute=one_device")
train("four")
if "data=cifar10" in words:
    sys.exit()
StopOnNaN.on_train_batch_end = stop
try:
    train("resumed", "distribute.devices=4")
except KeyboardInterrupt:
    StopOnNaN.on_train_batch_end = on_batch_end
    divided = ("distribute.devices=2", "distribute.model_parallel=2")
    vit_keras.train_model(vit_keras.load_config(f"run.resume={root}/resumed", *divided))
"""


def run_on_four(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": VIRTUAL, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("data", ["digits", pytest.param("cifar10", marks=pytest.mark.exhaustive)])
def test_four_devices_train_as_one_does(data, tmp_path, request):
    pytest.importorskip("jax", reason="needs jax")
    words = [f"data={data}", *WORDS]
    if data == "cifar10":
        words += [f"data.tfds_dir={request.getfixturevalue('tfds_dir')}", "model=cifar_small"]
        words += ["model.width=32", "model.mlp_dim=64"]
    done = run_on_four(TRAIN, str(tmp_path), *words)
    assert done.returncode == 0, done.stderr
    assert "devices: 4 share each batch of 32 images, 8 each" in done.stdout
    if data == "digits":
        assert "devices: 2 divide the encoder blocks among them" in done.stdout
        saved = [keras.models.load_model(tmp_path / name / "last.keras") for name in RUNS]
        for one, other in zip(*(model.get_weights() for model in saved), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)
    for other in ("four", "resumed")[: 1 if data == "cifar10" else 2]:
        found = largest_difference(tmp_path / "one", tmp_path / other)
        print(f"{data}: weights after 3 epochs on one device and {other}: {found:.1e} apart")
        assert found <= 1e-5
    rows = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("one", "four")]
    assert len(rows[0]) == len(rows[1]) == 4
    for one, four in zip(*(run[1:] for run in rows), strict=True):
        columns = [np.array(row.split(",")[2:6], float) for row in (one, four)]
        np.testing.assert_allclose(*columns, atol=1e-5)


DIVIDED = """
import keras, numpy as np
from vit_keras import build_vit
from vit_keras.config.schema import DistributeConfig
from vit_keras.training import distribution

images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype("uint8")
labels = np.array([3, 5])
losses, logits = [], []
for parts in (1, 4):
    settings = DistributeConfig(devices=parts, model_parallel=parts)
    with distribution.resolve(settings)():
        keras.utils.set_random_seed(0)
        model = build_vit("s16", image_size=224, num_classes=10)
        head = model.get_layer("head").kernel
        head.assign(np.random.default_rng(1).normal(size=head.shape) * 0.05)
        logits.append(model.predict(images, verbose=0))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        losses.append(float(loss(labels, logits[-1])))
        share = distribution.largest_share(model)
assert np.abs(logits[0]).max() > 0.1
print("logits", np.abs(logits[0] - logits[1]).max(), "loss", abs(losses[0] - losses[1]))
print("largest share", share)
"""


@pytest.mark.slow
def test_four_devices_that_divide_a_model_compute_as_one_does():
    pytest.importorskip("jax", reason="needs jax")
    done = run_on_four(DIVIDED)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    _, logits, _, loss, *_, share = map(as_number, done.stdout.split())
    assert max(logits, loss) <= 1e-5
    assert share <= 0.35


def as_number(word):
    return float(word) if word[0].isdigit() else word


REFUSED = """
import sys
import vit_keras
for words in (
    ["distribute.devices=5"], ["train.batch_size=30", "distribute.devices=4"],
    ["train.batch_size=auto", "distribute.devices=4"],
    ["train.batch_size=30", "distribute.devices=8"], ["distribute.model_parallel=3"],
    ["distribute.model_parallel=4", "model.mlp_dim=98"],
):
    try:
        vit_keras.train_model(vit_keras.load_config(*words, f"run.dir={sys.argv[1]}"))
    except vit_keras.SettingError as error:
        print("refused:", error)
"""


@pytest.mark.slow
def test_what_devices_cannot_share_is_refused_before_a_run_is_made(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    done = run_on_four(REFUSED, str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("refused: ")]
    assert [line.removeprefix("refused: ").partition(";")[0] for line in lines] == [
        "distribute.devices=5 is more than the 4 devices that jax has here",
        "train.batch_size=30 cannot be divided among 4 devices",
        "train.batch_size=auto is measured on one device, and there are 4",
        "distribute.devices=8 is more than the 4 devices that jax has here",
        "distribute.model_parallel=3 does not divide the 4 devices",
        "distribute.model_parallel=4 does not divide model.mlp_dim=98",
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["train.batch_size=32"], 4),
        (["train.batch_size=30"], 3),
        (["train.batch_size=31"], 1),
        (["train.batch_size=auto"], 1),
    ],
)
def test_auto_takes_the_devices_that_divide_a_batch_and_refuses_nothing(words, count):
    assert devices.usable(load_config(*words), 4) == count


def test_one_device_needs_no_distribution():
    for config in (DistributeConfig(), DistributeConfig(devices=1)):
        with distribution.resolve(config)() as found:
            assert found is None
    with pytest.raises(SettingError, match="devices=3 is more than the 1 device that"):
        distribution.resolve(DistributeConfig(devices=3))


ACCUMULATED = "optim.gradient_accumulation_steps=8"


@pytest.mark.parametrize(
    ("words", "factor"),
    [
        (["train.batch_size=64"], 1),
        (["train.batch_size=64", "optim.scale_rate=linear"], 0.25),
        (["train.batch_size=64", "optim.scale_rate=sqrt"], 0.5),
        (["train.batch_size=1024", "optim.scale_rate=linear"], 4),
        (["train.batch_size=128", "optim.scale_rate=sqrt", ACCUMULATED], 2),
    ],
)
def test_learning_rates_are_scaled_by_the_images_of_an_update_on_request(words, factor):
    plan = resolve_plan(load_config(*words), 2048)
    assert plan.rate_factor == factor


def test_a_scaled_rate_is_that_of_the_optimizer():
    words = ("optim.schedule=constant", "optim.learning_rate=0.01", "optim.warmup_ratio=0")
    config = load_config(*words, "train.batch_size=64", "optim.scale_rate=linear", "data.limit=300")
    found = prepare(config)
    found.model.configure_stage(found.plan.stages[0], found.plan, first_step=0)
    assert float(found.model.optimizer.learning_rate) == pytest.approx(0.0025)
    assert found.plan.stages[0].optim.learning_rate == 0.01
