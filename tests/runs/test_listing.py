"""Listing and ranking the runs of a folder, with their status and its reason."""

import json
import os
import shutil
from pathlib import Path

import pytest

from helpers.fake_runs import HEAD, begun, edited, finished, stopped
from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.config.schema import Config, DataConfig
from vit_keras.runs import run_dir, tables
from vit_keras.runs.describe import describe
from vit_keras.runs.listing import find_run, list_runs, rank
from vit_keras.runs.status import RunState
from vit_keras.training import resume


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


# What is wrong with a run -> how it comes to be, its state, and what is said of it.
BROKEN = {
    "no_config": (
        lambda path: (finished(path) / "config.yaml").unlink(),
        "broken",
        "it has no config.yaml",
    ),
    "damaged_config": (
        lambda path: edited(path, "config.yaml", lambda text: text[:300]),
        "broken",
        "config.yaml is damaged (",
    ),
    "newer": (
        lambda path: edited(path, "config.yaml", lambda text: text + b"teleport: true\n"),
        "broken",
        "config.yaml has teleport, which this version does not know: the run is of a newer one",
    ),
    "no_model": (
        lambda path: (finished(path) / "best.keras").unlink(),
        "broken",
        "it has no best.keras",
    ),
    "cut_model": (
        lambda path: edited(path, "best.keras", lambda model: model[:-5000]),
        "broken",
        "best.keras is damaged (File is not a zip file)",
    ),
    "flipped_model": (
        lambda path: edited(path, "best.keras", flipped),
        "broken",
        "best.keras is damaged (checksum of model.weights.h5)",
    ),
    "other_zip": (
        lambda path: (
            shutil.make_archive(finished(path) / "best", "zip", ROOT / "scripts")
            and (path / "best.zip").rename(path / "best.keras")
        ),
        "broken",
        "best.keras is damaged (it has no metadata.json)",
    ),
    "no_classes": (
        lambda path: (finished(path) / "class_mapping.json").unlink(),
        "broken",
        "it has no class_mapping.json",
    ),
    "damaged_metrics": (
        lambda path: edited(path, "metrics.json", lambda text: text[:-20]),
        "broken",
        "metrics.json is damaged (",
    ),
    "damaged_temperature": (
        lambda path: (finished(path) / "temperature.json").write_text("{}"),
        "broken",
        "temperature.json is damaged (",
    ),
    "damaged_history": (
        lambda path: (stopped(path, 2) / "history.csv").write_text(HEAD + "1,all,?\n"),
        "broken",
        "history.csv is damaged (",
    ),
    "started": (
        begun,
        "started",
        "stopped before its first epoch ended, no reason recorded (killed?); run.resume restarts",
    ),
    "empty": (Path.mkdir, "empty", ""),
    "killed_at_once": (
        lambda path: path.mkdir() or (path / ".lock").touch(),
        "started",
        "stopped before its settings were written",
    ),
    "stopped": (
        lambda path: stopped(path, 3),
        "stopped",
        "stopped at epoch 3 of 80, no reason recorded (killed?); run.resume continues it",
    ),
    "without_checkpoint": (
        lambda path: shutil.rmtree(stopped(path, 2) / "checkpoint"),
        "stopped",
        "stopped after 2 of 80 epochs, no reason recorded (killed?); no usable checkpoint to res",
    ),
    "other_folder": (
        lambda path: path.mkdir() or (path / "notes.txt").write_text("mine"),
        "no run",
        "it has no config.yaml",
    ),
}


def test_deeply_nested_json_breaks_only_its_own_run(tmp_path):
    edited(tmp_path / "nested", "metrics.json", lambda text: b"[" * 100_000)
    finished(tmp_path / "whole")
    states = {run.name: (run.state, run.reason) for run in list_runs(tmp_path)}
    assert states["nested"][0] == "broken"
    assert states["whole"] == ("finished", "")


def test_equal_runs_share_a_place(tmp_path):
    for name, accuracy in {"a": 0.9, "b": 0.8, "c": 0.9, "d": 0.7}.items():
        finished(tmp_path / name, best_val_accuracy=accuracy)
    found = [(one.place, one.run.name) for one in rank(list_runs(tmp_path))]
    assert found == [(1, "a"), (1, "c"), (3, "b"), (4, "d")]


def test_a_run_on_two_batches_has_no_place_among_the_others(tmp_path):
    """Its validation images are those that it learnt by heart."""
    tried = finished(tmp_path / "tried", best_val_accuracy=1)
    text = (tried / "config.yaml").read_text()
    (tried / "config.yaml").write_text(text.replace("overfit_batches: null", "overfit_batches: 2"))
    finished(tmp_path / "whole", best_val_accuracy=0.5)
    found = rank(list_runs(tmp_path))
    assert [(one.place, one.run.name) for one in found] == [(1, "whole"), (None, "tried")]
    assert found[1].run.reason == "validated on its 2 training batches"


def test_an_accuracy_of_two_images_does_not_rank_first(tmp_path):
    """Two of two is no better than 95% of a thousand; an unknown number, as of old runs, counts."""
    finished(tmp_path / "two", best_val_accuracy=1, validation_images=2, test_images=500)
    finished(tmp_path / "many", best_val_accuracy=0.95, validation_images=1000)
    finished(tmp_path / "old", best_val_accuracy=0.9)
    ranked = rank(list_runs(tmp_path))
    assert [one.run.name for one in ranked] == ["many", "old", "two"]
    text = tables.ranking_table(ranked, "best_val_accuracy")
    assert "1 (2 images)" in text
    assert text.endswith("ranked by best_val_accuracy, of fewer than 30 images last")
    ranked = rank(list_runs(tmp_path), "test_accuracy")
    assert "last" not in tables.ranking_table(ranked, "test_accuracy").splitlines()[-1]


def of_data(name, accuracy, data, path=None):
    config = Config(data=DataConfig(name=data, path=path))
    return RunState(name, Path(name), "finished", "", config, {"best_val_accuracy": accuracy})


def test_runs_are_ranked_only_among_those_of_their_data_set(tmp_path, monkeypatch):
    """0.99 on one says nothing about 0.65 on another; files are told apart by their path."""
    monkeypatch.chdir(tmp_path)
    ranked = rank(
        [
            of_data("a", 0.3, "digits"),
            of_data("b", 0.99, "digits"),
            of_data("cats", 0.5, "folder", "cats"),
            of_data("more_cats", 0.6, "folder", str(tmp_path / "cats")),
            of_data("dogs", 0.7, "folder", "dogs"),
        ]
    )
    places = [(one.place, one.run.name) for one in ranked]
    assert places == [(1, "b"), (2, "a"), (1, "more_cats"), (2, "cats"), (1, "dogs")]
    text = tables.ranking_table(ranked, "best_val_accuracy")
    assert text.endswith("ranked by best_val_accuracy within each data set")


def test_runs_on_arrays_are_ranked_among_those_of_equal_content(tmp_path):
    """Two programs may pass other arrays: nothing but their fingerprint tells them apart."""
    for name, content, accuracy in (("a", "1", 0.5), ("b", "1", 0.9), ("c", "2", 0.7)):
        run = finished(tmp_path / name, best_val_accuracy=accuracy)
        text = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("  name: digits", "  name: arrays"))
        facts = json.loads((run / "environment.json").read_text())
        (run / "environment.json").write_text(json.dumps({**facts, "data_fingerprint": content}))
    places = {one.run.name: one.place for one in rank(list_runs(tmp_path))}
    assert places == {"b": 1, "a": 2, "c": 1}


def test_a_run_knows_when_it_was_trained(tmp_path):
    ended = finished(tmp_path / "ended")
    end = {"reason": "finished", "message": "", "time": "2026-01-02T03:04:05+0000"}
    (ended / "end.json").write_text(json.dumps(end))
    other = finished(tmp_path / "other")
    for file in other.iterdir():
        os.utime(file, (1000, 1000))
    (other / "notes.json").write_text("{}")  # a note is no training
    found = {run.name: run.trained for run in list_runs(tmp_path)}
    assert found == {"ended": 1767323045.0, "other": 1000.0}


def test_an_unfinished_run_knows_its_validation_images(tmp_path):
    path = stopped(tmp_path / "a", 3)
    facts = json.loads((path / "environment.json").read_text())
    facts["images"] = {"train": 20, "validation": 2, "test": 5}
    (path / "environment.json").write_text(json.dumps(facts))
    stopped(tmp_path / "b", 2)
    assert [one.run.name for one in rank(list_runs(tmp_path))] == ["b", "a"]
    assert describe("a", tmp_path).environment["images.validation"] == 2


def test_runs_with_unequal_classes_show_balanced_accuracy(tmp_path):
    hidden = dict(test_accuracy=0.95, test_balanced_accuracy=0.5, test_class_imbalance=19)
    finished(tmp_path / "defects", **hidden, test_worst_class="defect")
    head, row, *_ = tables.ranking_table(rank(list_runs(tmp_path)), "test_accuracy").splitlines()
    assert "test_balanced_accuracy" in head
    assert "0.9500" in row
    assert "0.5000" in row
    shutil.rmtree(tmp_path / "defects")
    finished(tmp_path / "equal", **{**hidden, "test_class_imbalance": 1.1})
    text = tables.ranking_table(rank(list_runs(tmp_path)), "test_accuracy")
    assert "test_balanced_accuracy" not in text


@pytest.mark.parametrize(
    ("damage", "what"),
    [(Path.unlink, "it has no best.keras"), (lambda file: file.write_bytes(b"P"), "damaged")],
)
def test_a_run_whose_best_model_is_lost_cannot_go_on(damage, what, tmp_path):
    going_on = stopped(tmp_path / "a", 3)  # the best epoch is the newest: written again
    damage(going_on / "best.keras")
    resume.check_resumable(load_config(f"run.resume={going_on}"))
    rows = (going_on / "history.csv").read_text().splitlines()
    rows[3] = rows[3].replace(",0.3,", ",0.1,")
    (going_on / "history.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(
        SettingError, match=rf"cannot be resumed: .*{what}.* it was of epoch 2; restore an"
    ):
        load_config(f"run.resume={going_on}")


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_is_listed_as_what_it_is(case, tmp_path):
    make, state, reason = BROKEN[case]
    make(tmp_path / case)
    (found,) = list_runs(tmp_path)
    assert (found.name, found.state) == (case, state)
    assert found.reason.startswith(reason)
    assert len(found.reason) < 120


def test_a_renamed_run_is_a_run(tmp_path):
    finished(tmp_path / "my best one")
    (found,) = list_runs(tmp_path)
    assert (found.name, found.state) == ("my best one", "finished")
    assert found.metrics["test_accuracy"] == 0.9777158498764038


def test_a_run_that_is_held_is_in_progress_and_looking_changes_nothing(tmp_path):
    path = stopped(tmp_path / "a", 2)
    held = run_dir.Run(path)
    try:
        (found,) = list_runs(tmp_path)
        assert (found.state, found.reason) == ("running", "epoch 3 of 80")
        assert found.metrics["best_val_accuracy"] == 0.2
    finally:
        held.close()
    released = finished(tmp_path / "b")
    before = set(released.iterdir())
    assert [one.state for one in list_runs(tmp_path)] == ["stopped", "finished"]
    assert set(released.iterdir()) == before


def test_stages_and_a_baseline_within_a_run(tmp_path):
    stages = (
        "train.epochs=null",
        "+stages.head={trainable: head, epochs: 2}",
        "+stages.all={trainable: {last: 1}, epochs: 3}",
    )
    path = stopped(tmp_path / "tuned", 4, *stages)
    rows = (path / "history.csv").read_text().replace("1,all", "1,head").replace("2,all", "2,head")
    (path / "history.csv").write_text(rows)
    finished(path / "from_scratch")
    assert [one.name for one in list_runs(tmp_path)] == ["tuned", "tuned/from_scratch"]
    assert find_run("tuned", tmp_path).reason.startswith("stopped at epoch 4 of 5, no reason")
    head, rest = describe("tuned", tmp_path).stages
    assert (head.trainable, head.epochs, head.epochs_done, head.best_val_accuracy) == (
        *("head", 2, 2, 0.2),
    )
    assert (rest.trainable, rest.epochs_done, rest.best_val_accuracy) == (
        "the last block",
        2,
        0.4,
    )


@pytest.mark.parametrize("folder", ["empty", "mine"])
def test_a_folder_that_is_no_run_is_refused_by_name(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match=rf"{folder} is not a run \(it .*\); name the folder"):
        find_run(folder, tmp_path)


def test_a_run_with_a_hidden_name_is_listed(tmp_path):
    for name in (".mine", ".new-1a2b-run", ".deleted-run-1"):
        begun(tmp_path / "run").rename(tmp_path / name)
    (tmp_path / ".studio").mkdir()
    assert [one.name for one in list_runs(tmp_path)] == [".mine"]


def test_runs_of_a_sweep_are_found_below(tmp_path):
    finished(tmp_path / "2026-01-02" / "03-04-05" / "0")
    begun(tmp_path / "2026-01-02" / "03-04-05" / "1")
    (tmp_path / ".studio").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    names = [one.name for one in list_runs(tmp_path)]
    assert names == ["2026-01-02/03-04-05/0", "2026-01-02/03-04-05/1"]
