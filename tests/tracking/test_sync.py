"""What a run directory has comes to MLflow once, whenever it can be reached, and stays one run."""

import csv
import shutil

import pytest

pytest.importorskip("mlflow", reason="needs the extra `tracking`")

from helpers.fake_runs import finished, stopped
from vit_keras import SettingError, load_config
from vit_keras.cli import track
from vit_keras.runs import run_end
from vit_keras.tracking import store
from vit_keras.tracking.state import read_state
from vit_keras.tracking.sync import RunSync

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


def rows_of(path):
    with open(path / "history.csv") as file:
        return list(csv.DictReader(file))


def curves_of(client, run_id, rows):
    """Metric -> [(step, value)] of MLflow, and what they are to be by `history.csv`."""
    found, expected = {}, {}
    for name in set(rows[0]) - {"epoch", "stage"}:
        history = client.get_metric_history(run_id, name)
        found[name] = sorted((point.step, point.value) for point in history)
        expected[name] = [(int(row["epoch"]), float(row[name])) for row in rows]
    return found, expected


def test_a_finished_run_is_there_with_all_that_it_has(uri, tmp_path):
    run = finished(tmp_path / "digits")
    run_end.write_end(run, run_end.FINISHED, "")
    sync = RunSync(run, uri)
    assert sync.send(is_end=True) == ""
    client = store.client(uri)
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.info.run_id == sync.state.run_id
    assert (found.info.run_name, found.info.status) == ("digits", "FINISHED")
    ours, expected = curves_of(client, found.info.run_id, rows_of(run))
    assert ours == expected
    assert found.data.metrics["test_accuracy"] == pytest.approx(0.9777, abs=1e-4)
    assert found.data.params["optim.learning_rate"] == "0.002"
    fingerprint = found.data.tags["data_fingerprint"]
    assert found.inputs.dataset_inputs[0].dataset.digest == fingerprint[:36]
    artifacts = {one.path for one in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "best.keras", "history.csv", "metrics.json"} <= artifacts
    assert not artifacts & {"tracking.json", "checkpoint", "last.keras"}


def test_sending_again_adds_nothing_and_a_lost_answer_makes_no_second_run(uri, tmp_path):
    run = stopped(tmp_path / "run", 3)
    sync = RunSync(run, uri)
    assert sync.send() == ""
    state = read_state(run)
    state.run_id, state.epochs = "", 0  # as if it had been killed before it could note them
    state.write(run)
    again = RunSync(run)  # where it was sent before
    assert again.send(is_end=True) == ""
    assert again.state.run_id == sync.state.run_id
    client = store.client(uri)
    found, expected = curves_of(client, sync.state.run_id, rows_of(run))
    assert found == expected
    assert client.get_run(sync.state.run_id).info.status == "KILLED"


def test_a_store_that_is_away_gets_everything_when_it_is_back(empty_database, tmp_path):
    (tmp_path / "away").write_text("")  # a file where the folder of the database is to be
    uri = f"sqlite:///{tmp_path / 'away' / 'mlflow.db'}"
    run = stopped(tmp_path / "run", 3)
    sync = RunSync(run, uri)
    assert "cannot be made" in sync.send()
    assert "cannot be made" in read_state(run).fault
    (tmp_path / "away").unlink()
    (tmp_path / "away").mkdir()
    shutil.copy(empty_database, tmp_path / "away" / "mlflow.db")
    assert sync.send() == ""
    assert (read_state(run).fault, read_state(run).epochs) == ("", 3)
    found, expected = curves_of(store.client(uri), sync.state.run_id, rows_of(run))
    assert found == expected


def test_a_changed_setting_of_a_resumed_run_is_a_tag(uri, tmp_path):
    """MLflow's parameters cannot be changed."""
    run = stopped(tmp_path / "run", 2, "train.epochs=2")
    first = RunSync(run, uri)
    assert first.send() == ""
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("epochs: 2\n", "epochs: 3\n"))
    with open(run / "history.csv", "a") as file:
        file.write("3,all,1,0.1,1.5,0.3,1e-3,100,2\n")
    second = RunSync(run)
    assert second.send() == ""
    found = store.client(uri).get_run(first.state.run_id)
    assert second.state.run_id == first.state.run_id
    assert found.data.params["train.epochs"] == "2"
    assert found.data.tags["changed.train.epochs"] == "3"
    assert found.data.metrics["val_accuracy"] == pytest.approx(0.3)


def test_the_runs_of_a_sweep_have_one_parent(uri, tmp_path):
    sweep = tmp_path / "20260102-030405"
    ids = []
    for number in range(3):
        words = ("tracking=mlflow", f"tracking.uri={uri}", f"tracking.sweep={sweep.name}")
        sync = RunSync(stopped(sweep / str(number), 1, *words))
        assert sync.send(is_end=True) == ""
        ids.append(sync.state.run_id)
    client = store.client(uri)
    runs = [client.get_run(one) for one in ids]
    assert [run.info.run_name for run in runs] == [f"{sweep.name}/{n}" for n in range(3)]
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in runs}
    found = client.get_run(parent).info
    assert (found.run_name, found.status) == (sweep.name, "FINISHED")


def test_the_command_sends_runs_and_names_what_cannot_be_sent(uri, tmp_path, capsys):
    run = stopped(tmp_path / "run", 2)
    parser = track.arguments.build_parser("track", track.add_arguments)
    settings = parser.parse_args([str(run), "--uri", uri])
    track.check(settings)
    track.track(settings)
    assert "with 2 epochs" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    bad = parser.parse_args([str(run), "--uri", f"sqlite:///{tmp_path / 'file' / 'a.db'}"])
    with pytest.raises(SettingError, match="1 run is not sent"):
        track.track(bad)


@pytest.mark.parametrize("uri", ["runs", "file:///tmp/runs", "ftp://a", "sqlite:runs.db"])
def test_what_is_no_store_is_refused(uri):
    with pytest.raises(SettingError, match=r"tracking.uri=.* is no store of MLflow; use http"):
        load_config("tracking=mlflow", f"tracking.uri={uri}")


def test_without_mlflow_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setattr(store.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SettingError, match=r'needs mlflow.*pip install "vit-keras-lab\[tracking\]"'
    ):
        store.check_store("sqlite:///runs.db")


def test_a_database_is_the_same_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(store.ENVIRONMENT, raising=False)
    assert store.store_of(load_config()) == f"sqlite:///{tmp_path}/saved_models/mlflow.db"
    assert store.absolute_store("http://host:5000") == "http://host:5000"
