"""Resuming with another number of epochs: what follows is what a new run of these settings does."""

import shutil

import pytest

from helpers.tiny_runs import keep_snapshots
from helpers.trained_runs import SMALL, assert_same, history, trained
from vit_keras import SettingError, load_config, train_model
from vit_keras.runs import run_dir

SETTINGS = ("optim.ema_momentum=0.9", "optim.warmup_ratio=0.2", "model.dropout=0.1")


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """A run of three epochs as a kill after each would leave it, and `whole`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, folder)
        trained(folder / "whole", *SETTINGS, "train.epochs=3")
    return folder


@pytest.mark.parametrize(
    ("killed", "epochs", "schedules", "stages"),
    [
        pytest.param(
            *("whole", 5, [3], ["all"] * 3 + ["all_2"] * 2),
            id="finished",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param("2", 4, [3], ["all"] * 3 + ["all_2"], id="stopped"),
        pytest.param("1", 2, [3], ["all"] * 2, id="fewer", marks=pytest.mark.exhaustive),
    ],
)
def test_a_new_run_of_the_recorded_settings_ends_the_same(
    killed, epochs, schedules, stages, snapshots, tmp_path, capsys
):
    resumed = shutil.copytree(snapshots / killed, tmp_path / "resumed")
    train_model(load_config(f"run.resume={resumed}", f"train.epochs={epochs}"))
    assert f"train.epochs is {epochs} instead of 3" in capsys.readouterr().out
    recorded = run_dir.config_of_run(str(resumed)).train
    assert (recorded.epochs, recorded.schedule_epochs) == (epochs, schedules)
    assert [row["stage"] for row in history(resumed)] == stages
    fresh = trained(
        tmp_path / "fresh", *SETTINGS,
        *(f"train.epochs={epochs}", f"train.schedule_epochs={schedules}"),
    )  # fmt: skip
    assert_same(fresh.path, resumed)


def test_a_lengthened_run_is_lengthened_and_killed_again(snapshots, tmp_path):
    """In each schedule; the second is begun with the state that the first one left."""
    whole = shutil.copytree(snapshots / "whole", tmp_path / "whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, tmp_path / "later")
        for epochs in (4, 6):
            train_model(load_config(f"run.resume={whole}", f"train.epochs={epochs}"))
    assert run_dir.config_of_run(str(whole)).train.schedule_epochs == [3, 1]
    for killed in ("5", "6"):
        run = shutil.copytree(tmp_path / "later" / killed, tmp_path / killed)
        train_model(load_config(f"run.resume={run}"))
        assert_same(whole, run)


def test_the_first_schedule_stays_when_epochs_are_added(snapshots, tmp_path):
    run = shutil.copytree(snapshots / "2", tmp_path / "run")
    train_model(load_config(f"run.resume={run}", "train.epochs=4"))
    rates = [[row["learning_rate"] for row in history(path)] for path in (run, snapshots / "whole")]
    assert rates[0][:3] == rates[1]
    assert float(rates[0][3]) < float(rates[0][1])  # annealed again


def test_fewer_epochs_than_are_done_are_refused(snapshots):
    with pytest.raises(SettingError, match=r"train\.epochs=2 is less than the 3 epochs"):
        load_config(f"run.resume={snapshots / 'whole'}", "train.epochs=2")


def test_before_its_first_epoch_a_run_has_no_schedule_to_keep(tmp_path):
    config = load_config(*SMALL, "train.epochs=9", f"run.dir={tmp_path / 'run'}")
    run_dir.create(config).close()
    train_model(load_config(f"run.resume={tmp_path / 'run'}", "train.epochs=1"))
    recorded = run_dir.config_of_run(str(tmp_path / "run")).train
    assert (recorded.epochs, recorded.schedule_epochs) == (1, [])


def test_a_run_that_early_stopping_ended_goes_on(tmp_path):
    stopped = trained(
        tmp_path / "run", "optim.learning_rate=1e-9", "train.early_stopping=1", "train.epochs=4"
    )
    assert stopped.metrics["epochs"] < 4
    longer = train_model(load_config(f"run.resume={stopped.path}", "train.epochs=5"))
    assert longer.metrics["epochs"] == stopped.metrics["epochs"] + 1


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["train.schedule_epochs=[0]"], "train.schedule_epochs=0"),
        (
            ["recipe=finetune_digits", "train.schedule_epochs=[3]"],
            "schedules follow from the epochs",
        ),
    ],
)
def test_schedules_that_mean_nothing_are_refused(overrides, named):
    with pytest.raises(SettingError, match=named):
        load_config(*overrides)
