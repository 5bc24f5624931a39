"""`vit-keras runs clean` deletes incomplete runs after asking, others only by name."""

import os
import subprocess

import pytest

from helpers.fake_runs import begun, finished, in_process, stopped
from vit_keras import SettingError
from vit_keras.runs import run_dir
from vit_keras.runs.delete import candidates, delete


@pytest.fixture
def runs(monkeypatch, capsys):
    return in_process("runs", monkeypatch, capsys)


def test_cleaning_takes_what_is_half_written_after_asking(runs, tmp_path, monkeypatch):
    finished(tmp_path / "good")
    stopped(tmp_path / "resumable", 1)
    begun(tmp_path / "started")
    (tmp_path / "killed at once").mkdir()
    (tmp_path / "killed at once" / ".lock").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    everything = sorted(tmp_path.iterdir())
    for answer in ("", "n", "no"):
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        status, out, _ = runs("clean", "--root", tmp_path)
        assert (status, out.splitlines()[-1]) == (0, "nothing is deleted")
        assert sorted(tmp_path.iterdir()) == everything
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    status, out, _ = runs("clean", "--root", tmp_path)
    assert (status, len(out.splitlines())) == (0, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"good", "resumable", "mine", "empty"}
    assert "no incomplete runs" in runs("clean", "--root", tmp_path)[1]


def test_with_nobody_to_ask_nothing_is_deleted(runs, tmp_path, monkeypatch):
    def nobody(prompt):
        raise EOFError

    begun(tmp_path / "started")
    monkeypatch.setattr("builtins.input", nobody)
    status, _, err = runs("clean", "--root", tmp_path)
    assert status == 2
    assert err == "error: no terminal to confirm on; use --yes to delete anyway\n"
    assert (tmp_path / "started").is_dir()
    assert runs("clean", "--yes", "--root", tmp_path)[0] == 0
    assert not list(tmp_path.iterdir())


def test_a_run_goes_when_it_is_named_and_nothing_else(runs, tmp_path):
    for name in ("a", "b"):
        finished(tmp_path / name)
    begun(tmp_path / "started")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "empty").mkdir()
    assert runs("clean", "a", "empty", tmp_path / "link", "--yes", "--root", tmp_path)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"b", "started"}


def test_delete_refuses_folders_that_are_no_runs_or_in_use(tmp_path, monkeypatch):
    finished(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingError, match=r"mine is not a run .* delete it by hand"):
        candidates(["mine"], tmp_path)
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(SettingError, match=r"run contains .*; change the directory"):
        candidates(["run"], tmp_path)
    monkeypatch.chdir(tmp_path)
    (one,) = candidates(["run"], tmp_path)
    begun(tmp_path / "run" / "from_scratch")
    held = run_dir.Run(tmp_path / "run" / "from_scratch")
    try:
        with pytest.raises(SettingError, match="run is running; stop it first"):
            candidates(["run"], tmp_path)
    finally:
        held.close()
    held = run_dir.Run(tmp_path / "run")
    try:
        with pytest.raises(SettingError, match="in use"):
            delete(one.run)  # it was resumed while its deletion was being confirmed
    finally:
        held.close()
    assert (tmp_path / "run" / "best.keras").exists()


def test_a_run_in_git_goes_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    root = tmp_path / "runs"
    for name in ("kept", "other"):
        begun(root / name)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", root, "add", "kept/config.yaml"], check=True)
    assert [one.run.name for one in candidates([], root)] == ["other"]
    (kept,) = candidates(["kept"], root)
    assert (kept.run.name, kept.is_tracked) == ("kept", True)
