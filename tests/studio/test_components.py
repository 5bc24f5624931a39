"""Components of the studio's pages, without a browser and without Keras."""

import json
import os
import subprocess
import sys
import threading
import time
import zipfile

import pytest
from omegaconf import OmegaConf

from helpers.fake_runs import finished
from helpers.paths import SAVED_MODELS

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from vit_keras import SettingError
from vit_keras.evaluation.audit_source import data_config
from vit_keras.runs.listing import list_runs, rank
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import open_run
from vit_keras.studio.components import audit_start, run_details
from vit_keras.studio.components.display import table
from vit_keras.studio.components.run_table import filter_runs, table_rows
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.queue import Job
from vit_keras.studio.worker import client
from vit_keras.studio.worker.client import WorkerProcess
from vit_keras.studio.worker.server import respond

RUNS = SAVED_MODELS


def test_a_model_is_drawn_from_the_pixels_to_the_logits():
    drawn = run_details.layer_diagram(RUNS / "digits" / "best.keras")
    with zipfile.ZipFile(RUNS / "digits" / "best.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert all(f'"{layer["name"]}" [label=' in drawn for layer in layers)
    assert drawn.count(" -> ") >= len(layers) - 1
    assert "8 x 8 x 1" in drawn


def test_a_damaged_model_is_not_drawn(tmp_path):
    (tmp_path / "best.keras").write_bytes(b"PK")
    with pytest.raises(SettingError, match=r"the layers of best.keras cannot be read"):
        run_details.layer_diagram(tmp_path / "best.keras")


def test_runs_are_found_by_name_setting_tag_and_note():
    names = {"digits", "cifar10_small"}  # those that are committed, whatever else was trained
    committed = [run for run in list_runs(RUNS) if run.name in names]
    found = [(one, Notes(("kept",), "Paper")) for one in rank(committed)]
    assert {one.run.name for one, _ in found} == names

    def of(*asked):
        return {one.run.name for one, _ in filter_runs(found, *asked)}

    assert of("", [], []) == names
    assert of("data.name=cifar10", [], []) == {"cifar10_small"}
    assert of("PAPER digits", [], []) == {"digits"}
    assert of("", ["broken"], []) == set()
    assert of("", [], ["kept"]) == names
    assert of("", [], ["kept", "other"]) == set()
    head, *lines = table_rows(found, "test_loss")
    assert head[2] == "test loss"
    assert {len(line) for line in lines} == {len(head)}


def test_folds_are_followed_one_by_one_and_then_their_ensemble(tmp_path):
    job = Job("1", "train", (), str(tmp_path), (), "")
    assert live_run.runs_of(job) == [tmp_path]
    folds = [tmp_path / "folds" / number for number in ("1", "2")]
    for folder in folds:
        folder.mkdir(parents=True)
    assert live_run.runs_of(job) == folds
    (tmp_path / "metrics.json").write_text("{}")
    assert live_run.runs_of(job) == [*folds, tmp_path]


def test_a_table_shows_words_as_they_are():
    lines = table([("a", "b"), ("x|y", "![x](http:e)\n<b>")]).splitlines()
    assert len(lines) == 3
    assert "\\|" in lines[2]
    assert "<" not in lines[2].replace("\\<", "")


def test_every_error_of_a_task_becomes_a_response():
    def refuses():
        raise SettingError("a=1 is wrong; use 2")

    def fails():
        raise KeyError("x")

    def is_full():
        raise OSError(28, "No space left on device", "/tmp/x")

    tasks = {"good": lambda a: a + 1, "refuses": refuses, "fails": fails, "full": is_full}
    assert respond(tasks, "good", {"a": 1}) == {"result": 2}
    assert respond(tasks, "refuses", {}) == {"error": "a=1 is wrong; use 2"}
    assert respond(tasks, "fails", {})["error"].startswith("KeyError: 'x'; see the terminal")
    assert respond(tasks, "full", {})["error"].startswith("/tmp/x: No space left on device")


SLOW = (
    "import sys, time\n"
    "for line in sys.stdin:\n"
    "    if 'slow' in line: time.sleep(60)\n"
    "    if 'deadly' in line: sys.exit(1)\n"
    "    print('{\"result\": 7}', flush=True)"
)


@pytest.fixture
def worker(monkeypatch):
    """One whose process responds with 7, is slow, or dies during the request."""

    def start(self):
        self.started = getattr(self, "started", 0) + 1
        return subprocess.Popen(
            [sys.executable, "-c", SLOW],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    monkeypatch.setattr(WorkerProcess, "_start", start)
    made = WorkerProcess()
    yield made
    with made._process as process:
        process.kill()


def test_a_new_request_of_a_page_cancels_its_long_one(worker, monkeypatch):
    monkeypatch.setattr(client, "CANCEL_AFTER", 0.2)
    cancelled = []

    def call():
        with pytest.raises(SettingError, match="cancelled by a newer request"):
            worker.call("summary", session="me", words=["slow"])
        cancelled.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(1)
    assert worker.call("summary", session="me", words=["fast"]) == 7
    thread.join(timeout=10)
    assert cancelled


def test_a_dead_worker_is_restarted_and_reported_if_it_dies_again(worker):
    assert worker.call("open", run="a") == 7
    worker._process.kill()
    assert worker.call("open", run="a") == 7
    assert worker.started == 2
    with pytest.raises(
        SettingError, match=r"worker process died twice during this request \(status 1\)"
    ):
        worker.call("open", run="deadly")
    assert worker.call("open", run="a") == 7
    assert worker.started == 4


def test_the_images_of_a_run_are_audited_as_it_read_them(tmp_path):
    run = finished(tmp_path / "run")
    config = OmegaConf.load(run / "config.yaml")
    config.data.update(name="folder", path="my photos", missing_classes="allow")
    OmegaConf.save(config, run / "config.yaml")
    asked, own = data_config(audit_start.words_of_run(run)), open_run(run).config.data
    assert (asked.name, asked.path) == ("folder", f"{os.getcwd()}/my photos")
    for name in ("layout", "missing_classes", "suffixes", "follow_links"):
        assert getattr(asked, name) == getattr(own, name)
    assert audit_start.words_of_run(RUNS / "digits") == ()  # has no image files


def test_the_pages_import_no_keras():
    code = (
        "import sys; from vit_keras.studio.pages import data, inference, labels, runs; "
        "assert not {'keras', 'tensorflow', 'jax'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
