"""Several training steps in a call: calls that end with the epoch, and the same training."""

import pytest

from helpers.tiny_runs import keep_snapshots
from helpers.trained_runs import assert_same, trained
from vit_keras import SettingError, backend, load_config, train_model
from vit_keras.training.plan import resolve_plan

pytestmark = pytest.mark.jax


@pytest.mark.parametrize(
    ("asked", "batches", "steps"),
    [(1, 10, 1), (4, 8, 4), (4, 10, 2), (4, 11, 1), (20, 10, 10), (32, 351, 27)],
)
def test_the_steps_of_a_call_divide_an_epoch(asked, batches, steps):
    config = load_config(f"train.steps_per_execution={asked}", "train.batch_size=2")
    assert resolve_plan(config, 2 * batches + 1).steps_per_execution == steps


@pytest.mark.parametrize(("has_gpu", "steps"), [(False, 1), (True, 25)])
def test_auto_is_several_steps_on_a_gpu(has_gpu, steps, monkeypatch):
    monkeypatch.setattr(backend, "has_gpu", lambda: has_gpu)
    config = load_config("train.steps_per_execution=auto", "train.batch_size=2")
    assert resolve_plan(config, 350).steps_per_execution == steps


@pytest.mark.parametrize("word", ["0", "-1", "half", "1.5"])
def test_what_is_no_number_of_steps_is_refused(word):
    with pytest.raises(SettingError, match=f"train.steps_per_execution={word} "):
        load_config(f"train.steps_per_execution={word}")


@pytest.mark.slow
def test_neither_steps_in_a_call_nor_images_on_the_device_change_a_training(
    tmp_path, monkeypatch, capsys
):
    """An epoch of 9 batches, of which three make an update; resumed without either of the two.

    Classes are weighted and drawn by the root of their sizes.
    """
    settings = ("model.dropout=0.1", "optim.ema_momentum=0.9", "train.jit_compile=auto")
    settings += ("train.limit_train_batches=9", "optim.gradient_accumulation_steps=3")
    settings += ("train.class_weight={1: 3}", "data.sampling=sqrt")
    settings += ("augment=shift", "augment.flip=alternating", "augment.repeated_augmentation=2")
    trained(tmp_path / "plain", *settings)
    keep_snapshots(monkeypatch, tmp_path)
    fast = ("train.steps_per_execution=4", "data.device_resident=true")
    trained(tmp_path / "fast", *settings, *fast)
    printed = capsys.readouterr().out
    assert "steps per call: 3, because train.steps_per_execution=4" in printed
    assert "of training images are kept on the device" in printed
    assert_same(tmp_path / "plain", tmp_path / "fast")

    monkeypatch.undo()
    slow = ("train.steps_per_execution=1", "data.device_resident=false")
    train_model(load_config(f"run.resume={tmp_path / '1'}", *slow))
    assert_same(tmp_path / "plain", tmp_path / "1")
