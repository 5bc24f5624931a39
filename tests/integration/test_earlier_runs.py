"""Runs, model files and commands of version 0.1.0 still open, predict, evaluate and resume.

`fixtures/run_of_0_1_0/run` was written by that version and killed after the third of eight epochs.
The uninterrupted history and the logits of random images are from the same version.
"""

import csv
import shutil

import numpy as np
import pytest

import vit_keras
from helpers.image_files import write
from helpers.paths import ROOT, SAVED_MODELS
from vit_keras.runs.run_dir import config_of_run
from vit_keras.training import preflight
from vit_keras.training.learning_rate import learning_rate_schedule

FIXTURE = ROOT / "tests" / "fixtures" / "run_of_0_1_0"
# Equal bit for bit on the machine that wrote them; other processors round differently.
TOLERANCE = dict(rtol=1e-4, atol=1e-5)
TIMES = ("images_per_second", "seconds", "data_wait")


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(FIXTURE / "run", tmp_path / "run")


def logits_of(model):
    images = np.random.default_rng(0).integers(0, 256, (16, *model.input_shape[1:]))
    return model.predict(images.astype("uint8"), verbose=0)


def history(file):
    with open(file, newline="") as lines:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(lines)]


@pytest.mark.parametrize("name", ["old_run", "digits", "cifar10_small"])
def test_models_of_0_1_0_predict_as_they_did(name):
    directory = FIXTURE / "run" if name == "old_run" else SAVED_MODELS / name
    model = vit_keras.open_run(directory).model
    with np.load(FIXTURE / "logits.npz") as expected:
        np.testing.assert_allclose(logits_of(model), expected[name], **TOLERANCE)


def test_settings_of_0_1_0_have_their_present_names():
    config = config_of_run(str(FIXTURE / "run"))
    assert config.optim.ema_momentum == 0.9
    assert config.train.sample_predictions == 2
    assert config.train.jit_compile == "auto"


def test_a_run_of_0_1_0_resumes_as_if_it_had_not_been_interrupted(run):
    config = config_of_run(str(run))
    config.run.resume = str(run)
    vit_keras.train_model(config)
    ours, theirs = history(run / "history.csv"), history(FIXTURE / "history_uninterrupted.csv")
    assert [row["epoch"] for row in ours] == [row["epoch"] for row in theirs]
    for our, their in zip(ours, theirs, strict=True):
        for column in set(their) - {"epoch", "stage", "learning_rate"}:
            np.testing.assert_allclose(float(our[column]), float(their[column]), **TOLERANCE)
    # That version recorded the rate of the step after the epoch, 0 at the end.
    schedule = learning_rate_schedule(config.optim, epochs=8, steps_per_epoch=5)
    expected = [schedule(5 * epoch - (epoch > 3)) for epoch in range(1, 9)]
    np.testing.assert_allclose([float(row["learning_rate"]) for row in ours], expected, rtol=1e-5)
    import keras

    last = keras.models.load_model(run / "last.keras", compile=False)
    with np.load(FIXTURE / "logits.npz") as expected:
        np.testing.assert_allclose(logits_of(last), expected["old_run_uninterrupted"], **TOLERANCE)


def test_a_run_of_0_1_0_is_evaluated(run):
    report = vit_keras.evaluate_run(run, images=50).report
    assert report["images"] == 200
    assert report["data"]["is_the_runs_own"]


def test_a_command_of_0_1_0_means_what_it_did():
    old = vit_keras.load_config(
        "recipe=digits", "optim.ema=0.9", "optim.final_learning_rate=0.1", "train.jit=false",
        "train.limit_steps=3", "augment.erase=0.2", "augment.policy=trivial", "data.fit=pad",
    )  # fmt: skip
    new = vit_keras.load_config(
        "recipe=digits", "optim.ema_momentum=0.9", "optim.final_lr_fraction=0.1",
        "train.jit_compile=false", "train.limit_train_batches=3", "augment.random_erasing=0.2",
        "augment.policy=trivial_augment", "data.resize_mode=pad",
    )  # fmt: skip
    assert old == new
    preflight.check(old)


def test_a_run_on_a_folder_is_resumed_on_the_files_that_it_was_trained_on(tmp_path):
    """Of what a newer version would read more or otherwise; the run's settings are older."""
    root = tmp_path / "photos"
    for name in ("Training", "Testing"):
        for animal in ("ant", "bee"):
            write(root / name / animal, 10)
    words = [f"data.path={root}", "data.image_size=8", "train.batch_size=4", "train.epochs=1"]
    words += ["model.patch_size=4", "model.width=8", "model.depth=1", "model.num_heads=1"]
    words.append("train.jit_compile=false")
    old = ["data.layout=literal", "data.suffixes=[.png]", f"run.dir={tmp_path / 'run'}"]
    vit_keras.train_model(vit_keras.load_config("recipe=folder", *words, *old))
    newer = ("  layout:", "  missing_classes:", "  suffixes:", "  - .png")
    file = tmp_path / "run" / "config.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(newer)))
    write(root / "Training" / "ant", 2, "tiff")
    vit_keras.train_model(vit_keras.load_config("train.epochs=2", f"run.resume={tmp_path / 'run'}"))
    assert len(history(tmp_path / "run" / "history.csv")) == 2
    assert vit_keras.open_run(tmp_path / "run").class_names == ["Testing", "Training"]
