"""A training that is stopped in the middle of an epoch goes on from that step, bit for bit."""

import json
import signal

import pytest

from helpers.tiny_runs import tiny_vit, tuned
from helpers.trained_runs import assert_same, history, trained
from vit_keras import train_model
from vit_keras.runs import delete, run_dir, run_end
from vit_keras.runs.checkpoint_name import Position, newest_position
from vit_keras.runs.listing import list_runs
from vit_keras.training.callbacks.history import HistoryLogger

pytestmark = [pytest.mark.jax, pytest.mark.usefixtures("ctrl_c")]

SETTINGS = (
    *("train.batch_size=44", "model.width=16", "model.num_heads=2"),
    *("augment=heavy", "augment.flip=alternating"),
    *("augment.repeated_augmentation=2", "model.dropout=0.1", "optim.ema_momentum=0.9"),
    *("train.class_weight=balanced", "train.monitor=val_balanced_accuracy"),
)


@pytest.fixture
def stop_at(monkeypatch):
    """Sends Ctrl-C to this process at the end of a step of an epoch, both counted from 1."""

    def at(epoch, step):
        def notice(logger, batch, logs=None):
            notice_time(logger, batch, logs)
            if (len(logger.rows) + 1, batch + 1) == (epoch, step):
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(HistoryLogger, "on_train_batch_end", notice)

    notice_time = HistoryLogger.on_train_batch_end
    return at


def resumed(directory, **train):
    config = run_dir.config_of_run(str(directory))
    config.run.resume = str(directory)
    for name, value in train.items():
        setattr(config.train, name, value)
    return train_model(config)


def test_a_training_from_scratch(stop_at, tmp_path, capsys):
    """Stopped in two epochs, the second time after a group of steps."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    trained(whole, *SETTINGS)
    steps = 8
    stop_at(1, 3)
    with pytest.raises(KeyboardInterrupt):
        trained(stopped, *SETTINGS)
    assert newest_position(stopped) == Position(0, 3, steps)
    point = f"in epoch 1 of 2, step 3 of {steps}"
    assert f"stopped {point}; go on with run.resume={stopped}" in capsys.readouterr().out
    (found,) = (run for run in list_runs(tmp_path) if run.name == "stopped")
    assert found.state == "started"
    assert found.reason == f"stopped by Ctrl-C, {point}; run.resume goes on from there"
    assert [one.run.name for one in delete.candidates(root=tmp_path)] == []
    assert not (stopped / "last.keras").exists()

    stop_at(2, 6)
    with pytest.raises(KeyboardInterrupt):
        resumed(stopped, steps_per_execution=2)  # which does not divide the steps that are left
    assert newest_position(stopped) == Position(1, 6, steps)
    assert f"resuming {stopped} {point}" in capsys.readouterr().out
    (found,) = (run for run in list_runs(tmp_path) if run.name == "stopped")
    assert found.reason.startswith(f"stopped by Ctrl-C, in epoch 2 of 2, step 6 of {steps}; run.")
    assert len(history(stopped)) == 1

    resumed(stopped)
    assert_same(whole, stopped)
    assert "best_epoch" in json.loads((stopped / "metrics.json").read_text())
    assert run_end.read_end(stopped).reason == run_end.FINISHED


def test_the_second_stage_of_a_fine_tuning(stop_at, tmp_path):
    file = tiny_vit(tmp_path / "vit.keras")
    settings = ("train.batch_size=16", "model.dropout=0.1", "optim.ema_momentum=0.9")
    tuned(tmp_path / "whole", file, *settings)
    stop_at(3, 2)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "stopped", file, *settings)
    assert newest_position(tmp_path / "stopped")[:2] == (2, 2)
    file.unlink()
    resumed(tmp_path / "stopped")
    assert_same(tmp_path / "whole", tmp_path / "stopped")
