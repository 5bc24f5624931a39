"""The list of runs from its cache is that without one, whatever has changed since."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.fake_runs import begun, finished, stopped
from vit_keras.io import atomic
from vit_keras.runs import run_dir, status_cache
from vit_keras.runs.listing import list_runs
from vit_keras.runs.status import is_locked, run_status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs whose files are old enough to be remembered, and a cache folder of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(status_cache, "WORTH_KEEPING", 0)
    monkeypatch.setattr(status_cache, "SETTLED", 0)
    status_cache._cache_of.cache_clear()
    root = tmp_path / "runs"
    finished(root / "a", best_val_accuracy=0.5)
    stopped(root / "b", 3, "model.depth=6", "train.class_weight=balanced")
    begun(root / "c", "+stages.head={trainable: {last: 2}, epochs: 3}", "train.epochs=null")
    (root / "empty").mkdir()
    return root


@pytest.fixture
def read(monkeypatch):
    """Names of the runs that were read, in their order."""
    names = []

    def reading(path, name, full_check=False):
        names.append(name)
        return run_status(path, name, full_check)

    monkeypatch.setattr(status_cache, "run_status", reading)
    return names


def fresh(root):
    """The list without any cache."""
    return [run_status(root / name, name) for name in sorted(os.listdir(root))]


def other_process():
    status_cache._cache_of.cache_clear()


def test_runs_that_are_unchanged_are_read_once_also_by_other_processes(folder, read):
    first = list_runs(folder)
    assert first == fresh(folder)
    assert read == ["a", "b", "c", "empty"]
    assert list_runs(folder) == first
    other_process()
    assert list_runs(folder) == first
    assert len(read) == 4


def rewritten_with_its_times(root):
    """Other content of the same length, and the old times: the inode has changed its ctime."""
    file = root / "a" / "metrics.json"
    times = file.stat()
    text = file.read_text().replace('"epochs": 80', '"epochs": 81')
    file.write_text(text)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES = {
    "metrics": (rewritten_with_its_times, "a"),
    "a lost model": (lambda root: (root / "a" / "best.keras").unlink(), "a"),
    "a checkpoint": (lambda root: shutil.rmtree(root / "b" / "checkpoint"), "b"),
    "an epoch more": (
        lambda root: (root / "b" / "history.csv").write_text(
            (root / "b" / "history.csv").read_text() + "4,all,1,0.1,1.5,0.9,1e-3,100,2\n"
        ),
        "b",
    ),
    "settings": (
        lambda root: (root / "b" / "config.yaml").write_text(
            (root / "b" / "config.yaml").read_text().replace("depth: 6", "depth: 5")
        ),
        "b",
    ),
    "its first file": (lambda root: (root / "empty" / "notes.txt").write_text("x"), "empty"),
    "a new run": (lambda root: finished(root / "d"), "d"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_other", [False, True])
def test_what_has_changed_is_read_again(change, is_other, folder, read):
    list_runs(folder)
    if is_other:
        other_process()
    read.clear()
    act, name = CHANGES[change]
    act(folder)
    assert list_runs(folder) == fresh(folder)
    assert read == [name]


def replaced(root):
    """As training and evaluation write a file."""
    file = root / "a" / "metrics.json"
    atomic.write_text(file, file.read_text().replace('"epochs": 80', '"epochs": 81'))


def a_new_checkpoint(root):
    folder = root / "b" / "checkpoint"
    file = next(folder.iterdir())
    file.rename(folder / f"{file.stem}0{file.suffix}")


AT_ONCE = {name: CHANGES[name] for name in ("a lost model", "a checkpoint", "its first file")}
AT_ONCE |= {"metrics": (replaced, "a"), "another checkpoint": (a_new_checkpoint, "b")}


@pytest.mark.parametrize("change", AT_ONCE)
def test_of_many_runs_files_that_come_and_go_are_seen_at_once(change, folder, read, monkeypatch):
    monkeypatch.setattr(status_cache, "MANY", 4)
    monkeypatch.setattr(status_cache, "TURNS", 1_000)
    list_runs(folder)
    list_runs(folder)
    read.clear()
    act, name = AT_ONCE[change]
    act(folder)
    assert list_runs(folder) == fresh(folder)
    assert read == [name]


def test_of_many_runs_a_file_written_in_place_is_seen_after_some_listings(folder, monkeypatch):
    monkeypatch.setattr(status_cache, "MANY", 4)
    list_runs(folder)
    rewritten_with_its_times(folder)
    lists = [list_runs(folder) for _ in range(status_cache.TURNS)]
    assert lists[-1] == fresh(folder)


def test_of_many_runs_what_one_look_found_is_what_the_next_list_says(folder, monkeypatch):
    """Also of a file that was written in place just now, which is not remembered."""
    monkeypatch.setattr(status_cache, "MANY", 4)
    monkeypatch.setattr(status_cache, "TURNS", 1_000)
    list_runs(folder)
    list_runs(folder)
    rewritten_with_its_times(folder)
    monkeypatch.setattr(status_cache, "_signature", lambda path: None)  # as for two seconds
    looked = status_cache.cache_of(folder).status(folder / "a", "a")
    assert looked.metrics["epochs"] == 81
    assert list_runs(folder)[0] == looked


def test_of_many_runs_one_that_is_trained_is_seen_at_once(folder, monkeypatch):
    monkeypatch.setattr(status_cache, "MANY", 4)
    run_dir.Run(folder / "b").close()  # the lock file is there
    list_runs(folder)
    held = run_dir.Run(folder / "b")
    try:
        states = [{run.name: run.state for run in list_runs(folder)}["b"] for _ in range(12)]
        assert set(states) == {"running"}
    finally:
        held.close()


def test_a_run_that_is_trained_is_never_taken_from_the_cache(folder):
    list_runs(folder)
    held = run_dir.Run(folder / "b")
    try:
        states = {run.name: run.state for run in list_runs(folder)}
        assert states == {"a": "finished", "b": "running", "c": "started", "empty": "empty"}
    finally:
        held.close()
    assert list_runs(folder) == fresh(folder)


def test_a_deleted_run_is_forgotten(folder):
    list_runs(folder)
    shutil.rmtree(folder / "a")
    other_process()
    assert [run.name for run in list_runs(folder)] == ["b", "c", "empty"]


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"version": 1, "runs": {}}', "deep", "record"])
def test_a_damaged_cache_is_written_again(damage, folder, read):
    list_runs(folder)
    file = status_cache._file(folder)
    good = file.read_text()
    if damage == "record":
        content = json.loads(good)
        content["runs"]["a"]["config"] = {"unknown": 1}
        content["runs"]["b"] = None
        del content["runs"]["c"]["state"]
        damage = json.dumps(content)
    file.write_text("[" * 100_000 if damage == "deep" else damage)
    other_process()
    assert list_runs(folder) == fresh(folder)
    assert json.loads(file.read_text()) == json.loads(good)


def test_other_code_reads_everything_again(folder, read, monkeypatch):
    list_runs(folder)
    monkeypatch.setattr(status_cache, "_code_version", lambda: "another")
    other_process()
    read.clear()
    assert list_runs(folder) == fresh(folder)
    assert read == ["a", "b", "c", "empty"]


def test_files_that_were_just_written_are_not_trusted(folder, read, monkeypatch):
    """Within the resolution of a file system's clock, a file may change without a new time."""
    monkeypatch.setattr(status_cache, "SETTLED", 60_000_000_000)
    (folder / "a" / "metrics.json").touch()
    old = time.time() - 3600
    for name in ("b", "c"):
        for file in (folder / name).rglob("*"):
            os.utime(file, (old, old))
    list_runs(folder)
    read.clear()
    list_runs(folder)
    assert read == ["a"]


def test_without_a_place_for_the_cache_runs_are_listed_all_the_same(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    assert list_runs(folder) == fresh(folder)


def test_a_run_that_is_locked_while_it_is_read_is_not_remembered_as_running(folder, monkeypatch):
    held = run_dir.Run(folder / "a")
    monkeypatch.setattr(status_cache, "is_locked", lambda path: False)  # as just before
    assert list_runs(folder)[0].state == "running"
    held.close()
    assert list_runs(folder)[0].state == "finished"


def test_threads_that_look_at_a_run_at_once_do_not_find_it_locked_by_each_other(folder):
    run_dir.Run(folder / "a").close()  # the lock file is there
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(is_locked, [folder / "a"] * 200))
