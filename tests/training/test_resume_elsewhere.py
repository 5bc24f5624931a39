"""A fine-tuning is resumed from another folder, and without the file that it began with."""

import shutil

import keras
import pytest

from helpers.tiny_runs import LORA, keep_snapshots, tiny_vit, tuned
from helpers.trained_runs import assert_same
from vit_keras import SettingError, load_config, train_model
from vit_keras.model.vit import describe
from vit_keras.runs.run_dir import BASELINE
from vit_keras.training.finetune import finetune_model


def resumed_elsewhere(run, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return train_model(load_config(f"run.resume={run}"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run through three stages as a kill after each epoch would leave it, and `whole`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        tiny_vit(folder / "vit.keras")
        keep_snapshots(monkeypatch, folder)
        tuned(
            folder / "whole", "vit.keras", LORA, "model.dropout=0.1", "optim.ema_momentum=0.9",
            "stages.head.epochs=1", "stages.all.epochs=2", "stages.lora.epochs=2",
        )  # fmt: skip
    (folder / "vit.keras").unlink()
    return folder


@pytest.mark.parametrize(
    "epoch", ["2", *(pytest.param(epoch, marks=pytest.mark.exhaustive) for epoch in "34"), "5"]
)
def test_a_fine_tuning_is_resumed_without_its_pretrained_file(epoch, runs, tmp_path, monkeypatch):
    run = shutil.copytree(runs / epoch, tmp_path / "run")
    report = (run / "pretrained.txt").read_text()
    resumed_elsewhere(run, tmp_path, monkeypatch)
    assert_same(runs / "whole", run)
    assert (run / "pretrained.txt").read_text() == report


def test_before_its_first_epoch_it_needs_the_file(runs, tmp_path, monkeypatch):
    run = shutil.copytree(runs / "1", tmp_path / "run")
    shutil.rmtree(run / "checkpoint")
    with pytest.raises(SettingError, match=r"pretrained\.handle=vit\.keras does not exist"):
        resumed_elsewhere(run, tmp_path, monkeypatch)


def test_a_wrapped_savedmodel_is_resumed_without_its_folder(tmp_path, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow runs a SavedModel")
    from helpers.saved_model_files import Net, write

    write(tmp_path / "saved", Net(trainable=False))
    with monkeypatch.context() as patch:
        keep_snapshots(patch, tmp_path)
        tuned(
            tmp_path / "whole", tmp_path / "saved", "pretrained.wrap_saved_model=true",
            "pretrained.train_all=true", "stages.head.epochs=1", "stages.all.epochs=2",
        )  # fmt: skip
    shutil.rmtree(tmp_path / "saved")
    run = shutil.copytree(tmp_path / "2", tmp_path / "run")
    resumed_elsewhere(run, tmp_path, monkeypatch)
    assert_same(tmp_path / "whole", run)


def test_the_baseline_begins_without_the_pretrained_file(tmp_path, monkeypatch):
    """The process was killed between the fine-tuning and its baseline."""
    file = tiny_vit(tmp_path / "vit.keras")
    short = ("stages.head.epochs=1", "stages.all.epochs=1", "pretrained.baseline=true")
    run = tuned(tmp_path / "run", file, *short)
    file.unlink()
    monkeypatch.chdir(tmp_path)
    again = finetune_model(load_config(f"run.resume={run.path}"))
    assert again.metrics["from_scratch_test_accuracy"] >= 0
    baseline = keras.models.load_model(run.path / BASELINE / "best.keras")
    assert describe(baseline) == describe(keras.models.load_model(run.path / "best.keras"))
