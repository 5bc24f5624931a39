"""What the page says of a training, and how it begins again with its settings."""

import os
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from helpers.fake_runs import finished

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("psutil", reason="needs the extra `studio`")

import streamlit as st

from vit_keras.studio.components import job_monitor, job_notice, job_summary, sweep_results
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.live_run import RunView
from vit_keras.studio.jobs.queue import RUNNING, Job, Jobs

WORDS = ("recipe=digits", "train.epochs=30", 'name="Meine KI"')


def test_a_resumed_training_is_described_by_its_first_start(tmp_path):
    jobs = Jobs(tmp_path)
    first = jobs.add("train", WORDS, "a")
    with jobs.changing():
        jobs.save(replace(first, state="stopped", ended=1.0))
    again = jobs.add("train", (f"run.resume={first.place}",), "a", place=first.place)
    assert job_summary.words_of(jobs, again) == WORDS
    assert job_summary.words_of_run(jobs, again, tmp_path / "a") == [*WORDS]


def test_a_line_says_what_is_trained():
    shown = {"recipe": "folder", "data.path": "my_photos", "train.sample_predictions": "8"}
    shown |= {"optim.learning_rate": "0.003", "optim.clip_norm": "", "augment": "heavy"}
    assert job_summary._summary(shown).replace("\\", "") == (
        "Data: **my_photos** · Learning rate 0.003 · Gradient clipping norm none"
    )
    assert job_summary._summary({"recipe": "digits"}) == "Data: **digits**"


def test_a_run_of_a_sweep_begins_again_with_its_own_values(tmp_path):
    swept = ("optim.learning_rate", "augment.policy", "optim.clip_norm")
    words = ("recipe=digits", "optim.learning_rate=0.1,0.2", "augment.policy=none,trivial_augment")
    sweeper = ("optim.clip_norm=null,1", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2")
    run = finished(tmp_path / "1")
    config = OmegaConf.load(run / "config.yaml")
    config.optim.learning_rate, config.optim.clip_norm = 0.123456789, None
    config.augment.policy = "trivial_augment"
    OmegaConf.save(config, run / "config.yaml")
    job = Job("1", "train", (*words, *sweeper), str(tmp_path), swept, "")
    assert job_summary.words_of_run(Jobs(tmp_path), job, run) == [
        *("recipe=digits", "optim.learning_rate=0.123456789"),
        *("augment.policy=trivial_augment", "optim.clip_norm=null"),
    ]


def view(path, accuracies=(), **parts):
    rows = [
        {"epoch": number, "val_accuracy": one} for number, one in enumerate(accuracies, start=1)
    ]
    return RunView(path, rows, parts.get("progress", {}), parts.get("metrics", {}), {})


def test_the_runs_of_a_sweep_come_by_their_results(tmp_path, monkeypatch):
    monkeypatch.setattr(live_run, "settings_of", lambda path, names: [path.name])
    job = Job("1", "train", (), str(tmp_path), ("optim.learning_rate",), "")
    views = [view(tmp_path / "0", [0.5, 0.4]), view(tmp_path / "1"), view(tmp_path / "2", [0.7])]
    found = sweep_results.results_of(job, views)
    assert [one.view.path.name for one in found] == ["2", "0", "1"]
    assert [one.best for one in found] == [0.7, 0.5, None]
    points = sweep_results._points(["Learning rate"], found[:2])
    assert [(one["run"], one["setting"], one["place"]) for one in points] == [
        *(("2", "Learning rate", 1.0), ("0", "Learning rate", 0.0)),
        *(("2", sweep_results.RESULT, 1.0), ("0", sweep_results.RESULT, 0.0)),
    ]
    assert sweep_results._points(["Learning rate"], found[:1]) == []


def test_a_training_says_what_it_does_where_it_counts_no_steps(tmp_path):
    history = tmp_path / "history.csv"
    job = Job("1", "train", (), str(tmp_path), (), "", RUNNING, started=1000.0)
    steps = {"epoch": 2, "epochs": 9, "step": 0, "steps": 5}
    at_start = view(tmp_path, progress={**steps, "compiling": True})
    text = job_monitor._progress_text
    assert text(job, view(tmp_path)) == "reading the data and building the model"
    assert text(job, at_start) == (
        "epoch 2 of 9, step 0 of 5: compiling the first step takes a while"
    )
    history.touch()
    os.utime(history, (900, 900))  # of the process that it is resumed from
    assert text(job, view(tmp_path)) == "reading the data and building the model"
    os.utime(history, (1100, 1100))
    assert "compiling" in text(job, at_start)  # in a later stage
    assert text(job, view(tmp_path, progress=steps)) == "epoch 2 of 9, step 0 of 5"
    assert text(job, view(tmp_path)) == "evaluating the best model on the test split"


def test_the_end_of_a_training_is_told_until_it_was_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    jobs = Jobs(tmp_path)
    old, job = (jobs.add("train", WORDS, name) for name in ("old", "new"))
    jobs.mark_finished(old, 0)
    assert job_notice._note_ended(jobs.all()) == ({}, False)  # it had ended before
    assert job_notice.title() == "vit_keras studio"
    jobs.mark_finished(job, 1)
    told = {job.id: f"failed: {job.name}"}
    assert job_notice._note_ended(jobs.all()) == (told, True)
    assert job_notice._note_ended(jobs.all()) == (told, False)
    job_notice.look_at(old)
    job_notice.leave_page()
    assert job_notice.title() == f"failed: {job.name} - vit_keras studio"
    job_notice.look_at(job)  # as long as the page is open, somebody may look at another window
    assert job_notice.title() == f"failed: {job.name} - vit_keras studio"
    job_notice.leave_page()
    assert job_notice.title() == "vit_keras studio"
    assert job_notice._note_ended(jobs.all()) == ({}, False)


def test_a_training_that_was_stopped_resumed_or_removed_is_no_news(tmp_path, monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    jobs = Jobs(tmp_path)
    waiting, failing, killed = (jobs.add("train", WORDS, name) for name in "abc")
    assert job_notice._note_ended(jobs.all()) == ({}, False)
    jobs.stop(waiting)
    assert job_notice._note_ended(jobs.all()) == ({}, False)  # somebody wanted that
    jobs.mark_finished(failing, 1)
    jobs.mark_finished(killed, -9)
    told = {failing.id: f"failed: {failing.name}", killed.id: f"killed: {killed.name}"}
    assert job_notice._note_ended(jobs.all()) == (told, True)
    jobs.resume(jobs.get(killed.id))
    assert job_notice._note_ended(jobs.all()) == ({failing.id: told[failing.id]}, True)
    jobs.remove(jobs.get(failing.id))
    assert job_notice._note_ended(jobs.all()) == ({}, True)
    assert job_notice.title() == "vit_keras studio"
