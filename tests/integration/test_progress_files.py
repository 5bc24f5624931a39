"""Files of a run that can be read while it trains, and estimates before training."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from helpers.trained_runs import SMALL, trained
from vit_keras import load_config, train_model
from vit_keras.data import splits
from vit_keras.text import format_duration
from vit_keras.training import estimate as estimate_module
from vit_keras.training.callbacks import history
from vit_keras.training.estimate import estimate
from vit_keras.training.training_model import TrainingModel


@pytest.fixture
def seen(monkeypatch):
    """Every `progress.json` that is written, in order."""
    monkeypatch.setattr(history, "WRITE_INTERVAL", 0)
    written, write = [], history.Progress._write

    def noted(self, step, logs):
        write(self, step, logs)
        written.append(json.loads(self.file.read_text()))

    monkeypatch.setattr(history.Progress, "_write", noted)
    return written


def test_progress_and_predictions_of_a_run(tmp_path, seen):
    run = trained(tmp_path / "run", "train.sample_predictions=3").path
    assert len(seen) == 2 * (1 + 11)  # 360 images in batches of 32, twice, and two beginnings
    assert {(row["epochs"], row["steps"]) for row in seen} == {(2, 11)}
    assert [row["step"] for row in seen if row["epoch"] == 2] == list(range(12))
    assert [row["compiling"] for row in seen] == [True] + [False] * 23
    assert seen[-1]["loss"] > 0
    assert 0 < seen[5]["seconds_left"] < 600
    assert seen[-1]["seconds_left"] == 0
    assert not (run / "progress.json").exists()  # nothing is left to be done

    config = load_config(*SMALL)
    validation = splits.load_splits(config.data, config.train.seed).validation
    picked = [0, 19, 39]  # of 40
    kept = json.loads((run / "samples/predictions.json").read_text())
    assert kept["labels"] == [str(label) for label in validation.labels[picked]]
    assert [row["epoch"] for row in kept["epochs"]] == [1, 2]
    logits = keras.models.load_model(run / "last.keras").predict(validation.images[picked])
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = odds / odds.sum(axis=-1, keepdims=True)
    assert kept["epochs"][-1]["predicted"] == [str(label) for label in shares.argmax(axis=-1)]
    np.testing.assert_allclose(kept["epochs"][-1]["confidence"], shares.max(axis=-1), atol=1e-3)
    shown = np.asarray(Image.open(run / "samples/01.png"))
    assert shown.shape == (96, 96)  # 8 x 8 in larger pixels
    np.testing.assert_array_equal(shown[::12, ::12], validation.images[19, ..., 0])

    resumed = load_config(f"run.resume={run}", "train.epochs=3")
    train_model(resumed)
    kept = json.loads((run / "samples/predictions.json").read_text())
    assert [row["epoch"] for row in kept["epochs"]] == [1, 2, 3]


def test_the_time_left_is_that_of_the_stage(tmp_path, seen):
    stages = ("train.epochs=null", "+stages.first={epochs: 1}", "+stages.rest={epochs: 2}")
    trained(tmp_path / "run", *stages, "train.jit_compile=false")
    places = [(row["epoch"], row["stage"], row["number"], row["stages"]) for row in seen]
    assert {*places} == {(1, "first", 1, 2), (2, "rest", 2, 2), (3, "rest", 2, 2)}
    assert [row["seconds_left"] for row in seen if row["step"] == row["steps"]][::2] == [0, 0]


def test_an_estimate_counts_the_parameters_and_makes_no_run(tmp_path):
    config = load_config(
        "recipe=digits", "train.jit_compile=false", f"run.root={tmp_path / 'runs'}"
    )
    found = estimate(config)
    # Patches 16*48+48, class token 48, positions 5*48; 4 blocks; last norm 96; head 48*10+10.
    block = 4 * 48 * 48 + 4 * 48 + 2 * 48 * 96 + 96 + 48 + 4 * 48
    assert found.params == 16 * 48 + 48 + 48 + 5 * 48 + 4 * block + 96 + 490
    assert found.epochs == (80,)
    assert found.memory_mb["host"] > 100
    assert found.seconds > 80 * found.epoch_seconds[0] > 0
    assert f"parameters: {found.params:,}" in found.lines()
    assert not (tmp_path / "runs").exists()


class Clock:
    """A training whose first step takes 100 s to compile, and the seconds of everything else."""

    def __init__(self):
        self.now, self.asked = 0.0, {}

    def perf_counter(self):
        return self.now

    def fit(self, batches, callbacks, epochs, steps_per_epoch, **asked):
        self.asked = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        timer = callbacks[0]
        for epoch in range(epochs):
            timer.on_epoch_begin(epoch)
            for step in range(steps_per_epoch):
                self.now += 100.5 if epoch == step == 0 else 0.5
                timer.on_train_batch_end(step)
            timer.on_test_begin()
            self.now += 1 if epoch else 21
            timer.on_test_end()
            self.now += 2  # files
        timer.on_train_end()


def test_compilation_is_not_taken_for_a_step(monkeypatch, tmp_path):
    """With one step in an epoch, each epoch was announced to take as long as the first."""
    clock = Clock()
    monkeypatch.setattr(estimate_module.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(
        TrainingModel, "fit", lambda model, *words, **named: clock.fit(*words, **named)
    )
    one_step = ("data.limit=100", "train.batch_size=60", "train.epochs=50")
    folds = ("train.folds=3", f"run.root={tmp_path / 'runs'}")
    found = estimate(load_config(*one_step, *folds))
    assert clock.asked == {"epochs": 2, "steps_per_epoch": 5}
    assert found.epoch_seconds == (0.5 + 1 + 2,)
    assert found.start_seconds == 100 + 20
    assert found.seconds == 3 * (120 + 50 * 3.5)
    assert "= 3 folds of 120 s to start + 50 epochs of 3.5 s" in "\n".join(found.lines())
    assert found.images_per_second == 60 / 0.5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.6, "1 min"), (90, "1 min 30 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_seconds_in_words(seconds, words):
    assert format_duration(seconds) == words
