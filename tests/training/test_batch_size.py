"""`train.batch_size=auto`: the smallest batch that trains about as fast as any."""

import pytest

from helpers.trained_runs import trained
from vit_keras import load_config
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.training import autotune, batch_size, step_time
from vit_keras.training import train as train_module


def _measured(*speeds):
    found = iter(speeds)
    return batch_size.measure(batch_size.SIZES, lambda size: next(found))


def test_batches_are_doubled_as_long_as_that_is_faster():
    assert _measured(50.0, 80.0, 100.0, 102.0) == {32: 50.0, 64: 80.0, 128: 100.0, 256: 102.0}
    assert batch_size.smallest({32: 50.0, 64: 80.0, 128: 100.0, 256: 102.0}) == 128
    assert batch_size.smallest({32: 100.0, 64: 104.0}) == 32


def test_a_batch_that_does_not_fit_ends_the_search():
    def speed(size):
        if size > 64:
            raise MemoryError
        return float(size)

    assert batch_size.measure(batch_size.SIZES, speed) == {32: 32.0, 64: 64.0}
    with pytest.raises(MemoryError):
        batch_size.measure([128], speed)


@pytest.mark.parametrize(
    ("images", "repeats", "expected"),
    [(45_000, 1, 128), (1_294, 1, 64), (200, 1, 8), (10, 1, 2), (200, 8, 16)],
)
def test_where_nothing_is_measured_an_epoch_has_twenty_updates(images, repeats, expected):
    config = load_config("train.batch_size=auto", f"augment.repeated_augmentation={repeats}")
    assert batch_size.provisional(config, images).train.batch_size == expected


@pytest.mark.parametrize("wrong", ["0", "1.5", "many"])
def test_another_word_or_number_is_refused(wrong):
    with pytest.raises(SettingError, match=rf"train.batch_size={wrong} is .*use 1 or more"):
        load_config(f"train.batch_size={wrong}")


def test_copies_of_images_have_to_divide_a_power_of_two():
    with pytest.raises(SettingError, match=r"=3 does not divide train.batch_size=auto"):
        load_config("train.batch_size=auto", "augment.repeated_augmentation=3")


def test_the_size_is_kept_with_the_run_and_for_the_next_one(monkeypatch, tmp_path):
    speeds = {32: 50.0, 64: 90.0}
    timed = []

    def speed(plan, splits, stage, pair):
        timed.append(plan.config.train.batch_size)
        return speeds[timed[-1]]

    monkeypatch.setattr(autotune, "_expected_seconds", lambda plan, vit: 1e6)
    monkeypatch.setattr(step_time, "images_per_second", speed)
    words = ["train.batch_size=auto", "train.epochs=1", "data.limit=1600", "model.depth=1"]
    words += ["train.precision=float32", "train.limit_train_batches=2"]
    run = trained(tmp_path / "run", *words)
    assert timed == [32, 64]
    assert run_dir.config_of_run(str(run.path)).train.batch_size == 64
    config = load_config("train.jit_compile=false", *words)
    assert train_module.prepare(config).config.train.batch_size == 64
    assert timed == [32, 64]
