"""Components of the studio's pages, without a browser and without Keras."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from PIL import Image

from helpers.fake_runs import begun, finished, stopped
from helpers.paths import SAVED_MODELS
from helpers.waiting import PATIENCE

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from vit_keras import SettingError
from vit_keras.config.compose import compose
from vit_keras.evaluation.audit_source import data_config
from vit_keras.evaluation.html_report import render_report
from vit_keras.runs.listing import list_runs, rank
from vit_keras.runs.notes import Notes
from vit_keras.runs.saved_run import open_run
from vit_keras.runs.status import RunState
from vit_keras.studio.components import (
    audit_start,
    charts,
    confusion,
    display,
    gallery,
    run_details,
)
from vit_keras.studio.components.display import table
from vit_keras.studio.components.run_columns import NotedRun, columns_to_choose, table_frame
from vit_keras.studio.components.run_table import filter_runs
from vit_keras.studio.jobs import live_run, rerun
from vit_keras.studio.jobs.queue import Job, Jobs
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
    found = [NotedRun(one, Notes(("kept",), "Paper")) for one in rank(committed)]
    assert {one.run.name for one in found} == names

    def of(*asked):
        return {one.run.name for one in filter_runs(found, *asked)}

    assert of("", [], []) == names
    assert of("data.name=cifar10", [], []) == {"cifar10_small"}
    assert of("PAPER digits", [], []) == {"digits"}
    assert of("", ["broken"], []) == set()
    assert of("", ["finished"], []) == names
    assert of("", [], ["kept"]) == names
    assert of("", [], ["kept", "other"]) == set()
    assert of("", [], [], ["digits"]) == {"digits"}


def test_the_table_of_runs_has_a_column_for_any_metric_and_setting(tmp_path):
    finished(tmp_path / "a")
    stopped(tmp_path / "b", 3, "optim.learning_rate=5e-4", "train.batch_size=auto")
    begun(tmp_path / "c", "+stages.head={trainable: {last: 2}, epochs: 3}", "train.epochs=null")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "best.keras").write_bytes(b"PK")
    found = [NotedRun(one, Notes(("x",))) for one in rank(list_runs(tmp_path))]
    columns = columns_to_choose([one.run for one in found])
    assert {"Last trained", "test_accuracy", "optim.learning_rate", "stages.head.epochs"} <= {
        *columns
    }
    frame = table_frame(found, columns).set_index("Run")
    assert frame.shape == (4, len(columns))
    assert frame["optim.learning_rate"]["a"] == 0.002
    assert frame["optim.learning_rate"]["b"] == 0.0005
    assert frame["best_val_accuracy"].dtype == float  # sorts as a number
    assert frame["State"].to_dict() == {
        "a": "finished",
        "b": "stopped",
        "c": "stopped",  # before its first epoch ended
        "d": "broken",
    }
    assert list(frame["train.batch_size"].dropna().map(type).unique()) == [str]  # auto, or 32
    assert frame["stages.head.epochs"]["c"] == 3
    import pyarrow

    pyarrow.Table.from_pandas(frame)  # as Streamlit sends it


def test_curves_are_smoothed_without_bias_and_the_best_epoch_is_marked():
    assert charts.smooth([1.0, 2.0, 3.0], 0) == [1, 2, 3]
    smoothed = charts.smooth([2.0, 2.0, 2.0], 0.9)
    assert smoothed == pytest.approx([2, 2, 2])  # TensorBoard's: its start is no lower
    assert charts.smooth([0.0, 1.0], 0.5) == pytest.approx([0, 2 / 3])
    rows = [{"epoch": float(e), "loss": 1 / e, "val_loss": 2 / e} for e in (1, 2, 3)]
    points = charts._points("run", "training", rows, "loss", 0.5, 2)
    assert [point["best"] for point in points] == ["", "best epoch", ""]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
@pytest.mark.parametrize("is_log", [False, True])
def test_charts_are_valid_vega_lite(names, is_log):
    altair = pytest.importorskip("altair")
    data = {"data": {"values": [{"epoch": 1, "value": 1, "smooth": 1, "of": "x", "run": "a"}]}}
    for labels in (["training", "validation"], ["of the last update"]):
        for is_smoothed in (False, True):
            spec = charts.curve_spec(names, labels, is_smoothed, is_log)
            altair.Chart.from_dict({**spec, **data})
    altair.Chart.from_dict({**confusion.matrix_spec(["a", "b"], True), **data})


def test_the_settings_of_a_run_are_those_of_a_new_training(tmp_path):
    """Overrides on its recipe that give the same settings again."""
    for words in (
        ("recipe=digits",),
        ("recipe=digits", "model.depth=6", "optim.learning_rate=5e-4", "name='a b'"),
        ("recipe=folder", "data.path='my photos'", "augment=heavy", "train.class_weight=balanced"),
        ("recipe=finetune_folder", "data.path=x", "stages.head.epochs=3", "pretrained.handle=y"),
        ("recipe=digits", "data=tfds", "data.name=fashion_mnist", "augment.flip=true"),
    ):
        config = compose(*words)
        run = RunState("a", tmp_path / "a", "finished", "", config)
        made = compose(*rerun.overrides_of(run))
        assert replace(made, run=config.run) == config
        assert not [word for word in rerun.overrides_of(run) if word.startswith("run.")]


def test_what_cannot_be_trained_again_in_the_studio_says_why(tmp_path):
    of_arrays = compose("recipe=digits", "data=arrays")
    with pytest.raises(SettingError, match="arrays of a Python program"):
        rerun.overrides_of(RunState("a", tmp_path / "a", "finished", "", of_arrays))
    staged = compose("recipe=digits", "+stages.mine={trainable: head, epochs: 2}")
    with pytest.raises(SettingError, match="the stages of this run, mine, are those of no recipe"):
        rerun.overrides_of(RunState("a", tmp_path / "a", "finished", "", staged))


def test_a_stopped_run_of_the_command_line_is_resumed_by_the_queue(tmp_path):
    jobs = Jobs(tmp_path)
    runs = {
        "stopped": stopped(tmp_path / "stopped", 3),
        "begun": begun(tmp_path / "begun"),
        "finished": finished(tmp_path / "finished"),
    }
    shutil.rmtree(stopped(tmp_path / "lost", 2) / "checkpoint")
    states = {run.name: run for run in list_runs(tmp_path)}
    resumable = [name for name, run in states.items() if rerun.is_resumable(run)]
    assert resumable == ["begun", "stopped"]
    job = rerun.resume(jobs, states["stopped"])
    assert (job.command, job.words) == ("train", (f"run.resume={runs['stopped']}",))
    assert job.place == str(runs["stopped"])
    with pytest.raises(SettingError, match="already waiting"):
        rerun.resume(jobs, states["stopped"])
    rerun.move_jobs(jobs, runs["stopped"], tmp_path / "renamed")
    assert jobs.get(job.id).place == str(tmp_path / "renamed")


def test_only_a_full_disk_is_told_to_be_freed():
    full = display.os_error_text(OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))
    assert full == "No space left on device (/tmp/x); free disk space, and reload"
    for number in (errno.EACCES, errno.ENOENT, errno.ENAMETOOLONG, errno.EIO, errno.ECONNREFUSED):
        text = display.os_error_text(OSError(number, os.strerror(number), "/tmp/x"))
        assert text.startswith(f"{os.strerror(number)} (/tmp/x); ")
        assert "free" not in text
    assert display.os_error_text(OSError("odd")) == "odd; reload to try again"


def test_the_report_of_an_evaluation_without_a_picture_is_shown_all_the_same():
    """The released runs come without the pictures of their errors."""
    folder = RUNS / "cifar10_small" / "evaluation"
    report = json.loads((folder / "evaluation.json").read_text())
    assert not (folder / "mistakes.png").exists()
    html = render_report(report, folder)
    assert html.count("data:image/png") == 4
    assert "The images with the most confident errors" not in html
    assert confusion.read_mistakes(folder) is None  # which is not "none was wrong"


def test_the_errors_of_a_cell_have_the_numbers_of_their_images(tmp_path):
    rows = ["image,class,predicted,confidence", "a.png,x,y,0.9", "b.png,y,x,0.8", "c.png,x,y,0.7"]
    (tmp_path / "mistakes.csv").write_text("\n".join(rows))
    found = confusion.read_mistakes(tmp_path)
    assert [one.number for one in found if (one.label, one.predicted) == ("x", "y")] == [0, 2]
    (tmp_path / "mistakes.csv").write_text(rows[0])
    assert confusion.read_mistakes(tmp_path) == []


def test_a_gallery_shows_what_pillow_reads_and_leaves_the_rest_out():
    stream = io.BytesIO()
    Image.new("RGB", (3000, 2000), "red").save(stream, "JPEG")
    with Image.open(io.BytesIO(gallery.thumbnail(stream.getvalue()))) as shown:
        assert shown.size == (480, 320)
    stream = io.BytesIO()
    Image.new("I;16", (8, 8)).save(stream, "PNG")
    assert gallery.thumbnail(stream.getvalue()) is None
    assert gallery.thumbnail(b"no image") is None


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
    thread.join(PATIENCE)
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


def test_the_pages_import_neither_keras_nor_scikit_learn():
    code = (
        "import sys; from vit_keras.studio.pages import data, inference, labels, runs, training; "
        "assert not {'keras', 'tensorflow', 'jax', 'sklearn'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
