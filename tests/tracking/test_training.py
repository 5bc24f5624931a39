"""A tracked training: the process beside it sends each epoch, and changes no bit of the result."""

import pytest

pytest.importorskip("mlflow", reason="needs the extra `tracking`")

from helpers.trained_runs import assert_same, history, trained
from vit_keras import load_config, train_model
from vit_keras.tracking import store
from vit_keras.tracking.state import locked, read_state

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of MLflow


def state_at_the_end(run):
    """Of a training that may not have waited for it, on a busy computer."""
    with locked(run.path):
        return read_state(run.path)


def test_a_tracked_and_resumed_run_is_one_run_and_equals_an_untracked_one(uri, tmp_path):
    run = trained(tmp_path / "run", "tracking=mlflow", f"tracking.uri={uri}")
    first = state_at_the_end(run)
    assert (first.epochs, first.status, first.fault) == (2, "FINISHED", "")
    train_model(load_config(f"run.resume={run.path}", "train.epochs=3"))
    state = state_at_the_end(run)
    assert (state.run_id, state.epochs) == (first.run_id, 3)
    client = store.client(uri)
    points = client.get_metric_history(state.run_id, "val_loss")
    expected = [float(row["val_loss"]) for row in history(run.path)]
    assert [point.value for point in sorted(points, key=lambda one: one.step)] == expected
    assert client.get_run(state.run_id).info.status == "FINISHED"
    plain = trained(tmp_path / "plain")
    train_model(load_config(f"run.resume={plain.path}", "train.epochs=3"))
    assert_same(run.path, plain.path)


def test_a_server_that_is_away_does_not_stop_a_training(tmp_path, capsys):
    run = trained(
        tmp_path / "run", "tracking=mlflow", "tracking.uri=http://127.0.0.1:9", "train.epochs=1"
    )
    assert len(history(run.path)) == 1
    state = state_at_the_end(run)
    assert (state.epochs, state.run_id) == (0, "")
    assert state.fault
    assert f"vit-keras track {run.path} sends the rest" in capsys.readouterr().out
