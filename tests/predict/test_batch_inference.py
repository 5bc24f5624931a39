"""Batch inference: each image has one row, whatever was killed, and none of another run."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.exported_runs import exported_digits
from helpers.fake_runs import RELEASED, in_process
from helpers.waiting import PATIENCE, until
from vit_keras import Predictor, SettingError, open_run
from vit_keras.predict import batch_images, batch_output, preflight, tables

arrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")
from pyarrow import parquet  # noqa: E402

PIXELS = (load_digits().images * 255 / 16).round().astype("uint8")


def png(index):
    content = io.BytesIO()
    Image.fromarray(PIXELS[index]).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(120):
        (folder / f"{index:03d}.png").write_bytes(png(index))
    (folder / "bad.png").write_bytes(b"")
    return folder


@pytest.fixture
def job():
    return batch_output.batch_job(open_run(RELEASED), engine="onnx")


def rows(names):
    return {"path": arrow.array(names), "class": arrow.array(["3"] * len(names))}


@pytest.fixture
def output(tmp_path, job):
    """A folder with rows of two images."""
    folder = batch_output.OutputFolder(tmp_path / "out")
    with folder.begun(job):
        folder.write(rows(["/a.png", "/b.png"]))
        folder.write(rows(["/a.png", "/b.png"]))  # as when Ray repeats a task
    return folder


def test_what_is_missing_is_added(output, job):
    assert output.count() == 2
    assert output.missing(["/b.png", "/c.png", "/a.png"]) == ["/c.png"]
    (output.path / ".new-1-part-1.parquet").write_bytes(b"killed while it was written")
    with output.begun(job):
        output.write(rows(output.missing(["/a.png", "/b.png", "/c.png"])))
    assert output.missing(["/a.png", "/b.png", "/c.png"]) == []
    assert not list(output.path.glob(".new-*"))


def test_a_damaged_part_is_written_again(output):
    [part] = output.path.glob(batch_output.PARTS)
    part.write_bytes(part.read_bytes()[:-9])
    assert output.missing(["/a.png", "/b.png"]) == ["/a.png", "/b.png"]


def test_a_worker_of_an_earlier_attempt_adds_nothing(output, job):
    old = batch_output.OutputFolder(output.path, output.attempt)
    with output.begun(job), pytest.raises(RuntimeError, match="another process writes"):
        old.write(rows(["/c.png"]))
    assert output.count() == 2


def test_a_second_process_waits(output, job):
    other = batch_output.OutputFolder(output.path)
    refused = pytest.raises(SettingError, match="is being written by another process")
    with output.begun(job), refused, other.begun(job):
        pass


def test_the_output_of_another_run_is_refused_by_name(output, job):
    other = batch_output.batch_job(open_run(RELEASED.parent / "cifar10_small"), engine="onnx")
    with pytest.raises(SettingError, match=rf"belongs to run={RELEASED}, and run=.*cifar10_small"):
        output.check(other)
    with pytest.raises(SettingError, match="was begun with flip=False, and now it is True"):
        output.check(batch_output.batch_job(open_run(RELEASED), engine="onnx", flip=True))
    with pytest.raises(SettingError, match=r"rows of 1 images that .* such as /b\.png"):
        output.missing(["/a.png"])


def test_a_folder_of_something_else_is_refused(tmp_path, job):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(SettingError, match="is not empty"):
        batch_output.OutputFolder(tmp_path).check(job)


def test_rows_of_parquet_files_are_images(tmp_path):
    """As Hugging Face has them, in row groups, from any row on; an empty cell has a reason."""
    file = tmp_path / "digits.parquet"
    images = [{"bytes": png(index), "path": None} for index in range(10)] + [None]
    parquet.write_table(arrow.table({"label": range(11), "image": images}), file, row_group_size=4)
    found = batch_images.find_images([str(file)])
    assert found.column == "image"
    assert found.names == [f"{file}#{row}" for row in range(11)]
    chosen = [found.names[row] for row in (1, 3, 4, 9, 10)]
    items = list(batch_images.read_items(chosen, found.column))
    assert [item.source for item in items] == chosen
    assert [item.image for item in items] == [png(1), png(3), png(4), png(9), b""]


def test_a_list_names_images_from_its_own_folder(photos, monkeypatch):
    (photos / "some.txt").write_text("001.png\n\n../photos/007.png\n001.png\n")
    expected = [str(photos / name) for name in ("001.png", "007.png")]
    assert batch_images.find_images([str(photos / "some.txt")]).names == expected
    assert len(tables.find_table([str(photos / "some.txt")]).files) == 3  # a row for each line
    monkeypatch.chdir(photos)
    assert batch_images.find_images(["001.png", "./001.png"]).names == expected[:1]
    (photos / "none.txt").write_text("\n")
    with pytest.raises(SettingError, match="has no line"):
        batch_images.find_images([str(photos / "none.txt")])


def settings(**changed):
    defaults = dict(
        top_k=None, format=None, coverage=None, ood_quantile=None, tile_size=None, maps=None
    )
    rest = dict(overwrite=False, no_calibration=False, actors=None, image_column=None)
    return SimpleNamespace(**{**defaults, **rest, "output": "out", **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"top_k": 5}, "top_k=5 has no effect"),
        ({"overwrite": True}, "overwrite=True has no effect"),
        ({"output": None}, "set output="),
        ({"images": ["nothing.png"]}, "nothing.png is no file"),
    ],
)
def test_settings_are_refused_before_ray_starts(changed, message, monkeypatch):
    monkeypatch.setattr(preflight, "RAY_PACKAGES", {})
    with pytest.raises(SettingError, match=message):
        preflight.check_batch(open_run(RELEASED), settings(**changed))


def test_without_ray_the_command_to_install_it_is_named(monkeypatch, capsys):
    monkeypatch.setattr(preflight, "RAY_PACKAGES", {"ray": "no_ray"})
    predict = in_process("predict", monkeypatch, capsys)
    status, _, err = predict(RELEASED, "x.png", "--engine", "ray", "--output", "out")
    expected = '--engine ray needs ray, not installed here: pip install "vit-keras-lab[cluster]"'
    assert (status, err) == (2, f"error: {expected}\n")
    status, _, err = predict(RELEASED, "x.png", "--probabilities")
    assert (status, err[:39]) == (2, "error: --probabilities is of --engine r")


@pytest.mark.exhaustive
def test_killed_in_the_middle_every_image_has_one_row_and_the_class_of_predict(photos, tmp_path):
    for package in ("ray", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package, reason=f"needs {package}: pip install {package}")
    run, output = exported_digits(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "vit_keras", "predict", str(run), str(photos)]
    command += ["--engine", "ray", "--actors", "onnx", "--output", str(output), "--probabilities"]
    command += ["--embeddings"]
    environment = {**os.environ, "RAY_worker_niceness": "0"}

    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until(lambda: list(output.glob(batch_output.PARTS)))
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = parquet.read_table(list(output.glob(batch_output.PARTS))).num_rows
    assert 0 < before < 121

    again = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert again.returncode == 0, again.stderr
    # Its workers may have lived a little longer than the process that was killed.
    assert int(re.search(r"(\d+) were there already", again.stderr)[1]) >= before
    found = parquet.read_table(sorted(output.glob(batch_output.PARTS))).to_pylist()
    found.sort(key=lambda row: row["path"])
    assert [row["path"] for row in found] == sorted(map(str, photos.iterdir()))
    *read, bad = found
    assert (bad["class"], bad["embedding"], bad["reason"]) == (None, None, "an empty file")
    predictor = Predictor(run, engine="onnx")
    expected = predictor.predict([row["path"] for row in read], top_k=10)
    assert [row["class"] for row in read] == [one.label for one in expected]
    for row, one in zip(read, expected, strict=True):
        ordered = sorted(one.top, key=lambda candidate: candidate.index)
        np.testing.assert_allclose(row["probabilities"], [c.confidence for c in ordered], atol=1e-6)
    vectors = np.array([row["embedding"] for row in read[:8]])
    np.testing.assert_allclose(vectors, predictor.embed(PIXELS[:8]), rtol=1e-4, atol=1e-5)

    shutil.copytree(RELEASED.parent / "cifar10_small", tmp_path / "other")
    command[4] = str(tmp_path / "other")
    other = subprocess.run(
        [word for word in command if word not in ("--actors", "onnx")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert other.returncode == 2
    assert f"belongs to {run}, and {tmp_path}/other is another model" in other.stderr
