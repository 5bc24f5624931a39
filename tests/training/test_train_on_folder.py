"""Training on a folder equals training in memory; reports; a file lost during training."""

import csv
import json
import logging
import os
import re

import numpy as np
import pytest

from helpers.image_files import photo, write
from vit_keras import SettingError, load_config, train_model
from vit_keras.data.image_hashes import image_hashes
from vit_keras.data.splits import load_splits
from vit_keras.logs import console
from vit_keras.runs.training_images import read_training_images
from vit_keras.training.build_model import build_training_model
from vit_keras.training.callbacks import history

MODEL = ("patch_size=2", "width=8", "depth=1", "num_heads=1", "mlp_dim=8")
SETTINGS = (
    *("data=folder", "data.image_size=[4,6]", "optim.learning_rate=1e-2", "augment=none"),
    *("train.epochs=2", "train.batch_size=8", "train.jit_compile=false", "data.prefetch=1"),
    *(f"model.{setting}" for setting in MODEL),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for name in ("ant", "bee", "two\nlines"):
        write(root / name, 16)
    (root / "ant" / "bad\nname.png").write_text("a web page")
    (root / "readme.txt").write_text("about the photos")
    photo(40, 40).save(root / "bee" / "one.png")
    photo(40, 40).save(root / "ant" / "other.png")
    return root


@pytest.fixture(scope="module")
def streamed(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "streamed"
    return train_model(configured(root, run, "data.cache_mb=0"))


def configured(root, run, *overrides):
    return load_config(*SETTINGS, f"data.path={root}", f"run.dir={run}", *overrides)


def rows(run):
    with open(run / "history.csv", newline="") as file:
        return [(row["loss"], row["val_loss"], row["val_accuracy"]) for row in csv.DictReader(file)]


def test_a_run_from_files_ends_where_one_from_memory_does(root, streamed, tmp_path):
    held = train_model(configured(root, tmp_path / "held"))
    assert rows(held.path) == rows(streamed.path)
    assert len(rows(held.path)) == 2
    known = [read_training_images(run.path) for run in (held, streamed)]
    images = load_splits(configured(root, tmp_path, "data.cache_mb=0").data, 0).train.images
    assert len(images) >= known[0].values.size > 20
    for hashes in known:
        assert hashes.kind == "files"
        assert image_hashes(images).count_in(hashes) == len(images)
    for name in ("test_loss", "test_accuracy"):
        assert held.metrics[name] == streamed.metrics[name]
    said = (held.path / "train.log").read_text()
    assert "1 file cannot be used and was skipped: 'ant/bad\\nname.png'" in said
    assert "1 file is no image of a class and was ignored: readme.txt (no image, by" in said
    mean = re.search(r"pixels: mean (\S+) (\S+) (\S+),", said).groups()
    assert np.array(mean, float) == pytest.approx(0.5, abs=0.05)  # noise
    assert "the model normalises by mean 0.500, std 0.500" in said
    mapping = json.loads((held.path / "class_mapping.json").read_text())
    assert mapping == {"0": "ant", "1": "bee", "2": "two\nlines"}
    with open(held.path / "data_report.csv", newline="") as file:
        report = list(csv.DictReader(file))
    assert ("skipped", "ant/bad\nname.png") in [(row["problem"], row["file"]) for row in report]
    assert ("ignored", "readme.txt") in [(row["problem"], row["file"]) for row in report]
    assert "two_labels" in [row["problem"] for row in report]


def test_a_file_that_goes_in_training_ends_the_run_by_name_and_it_goes_on_from_there(
    root, streamed, tmp_path, monkeypatch
):
    config = configured(root, tmp_path / "run", "data.cache_mb=0")
    # Of the validation split, which is read whole each epoch; batches to train on are read ahead.
    name = load_splits(config.data, 0).validation.images.files[0].path
    path, kept = root / name, (root / name).read_bytes()
    stamp = path.stat().st_mtime_ns
    real = history.HistoryLogger.on_epoch_end

    def unlink(self, *arguments, **named):
        real(self, *arguments, **named)
        path.unlink(missing_ok=True)

    monkeypatch.setattr(history.HistoryLogger, "on_epoch_end", unlink)
    with pytest.raises(SettingError, match=rf"{name} could be read when .* run\.resume"):
        train_model(config)
    monkeypatch.undo()
    assert len(rows(tmp_path / "run")) == 1
    path.write_bytes(kept)
    os.utime(path, ns=(stamp, stamp))
    resumed = train_model(load_config(f"run.resume={tmp_path / 'run'}"))
    assert rows(resumed.path) == rows(streamed.path)


def test_features_are_those_of_images_in_memory(root, tmp_path):
    config = configured(root, tmp_path / "run")
    held = load_splits(config.data, 0)
    config.data.cache_mb = 0
    streamed = load_splits(config.data, 0)
    model, _ = build_training_model(config, held, "float32")
    features = [model.features(splits.train, 8) for splits in (held, streamed)]
    assert features[0].images.shape == (len(held.train.labels), 8)
    np.testing.assert_array_equal(features[0].images, features[1].images)
    np.testing.assert_array_equal(features[1].labels, held.train.labels)


def test_console_logs_after_hydra_has_disabled_the_logger(capsys, monkeypatch):
    """Hydra configures logging after a folder was looked at, and disables what there is."""
    log = logging.getLogger("vit_keras")
    monkeypatch.setattr(log, "disabled", True)
    with console():
        log.info("it is heard")
    assert capsys.readouterr().out == "it is heard\n"


def test_a_preset_replaces_that_of_the_recipe(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 30)
    words = "recipe=folder", f"data.path={tmp_path / 'photos'}"
    assert load_config(*words).augment.crop_padding == 6
    for preset in ("none", "light", "cifar", "deit3", "heavy"):
        assert load_config(*words, f"augment={preset}").augment.crop_padding in (0, 4)
