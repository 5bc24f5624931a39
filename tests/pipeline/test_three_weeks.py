"""Three weeks of photos of signed digits: better with more of them, refused with wrong labels."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs the extra `tracking`")

from helpers.exported_runs import skip_without_onnx
from helpers.paths import SAVED_MODELS
from vit_keras.cli import pipeline as command
from vit_keras.registry.models import RegisteredModels
from vit_keras.runs.history import read_history
from vit_keras.training import checkpoint

skip_without_onnx()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of MLflow and what it imports
]

WEEKS = {"first": slice(0, 40), "second": slice(40, 70), "third": slice(70, 110)}
PIPELINE = f"""
name: signs
incoming: inbox
runs: runs
recipe: finetune_photos
settings: [pretrained.handle={SAVED_MODELS}/cifar10_hour, data.image_size=24, ~stages.head,
  stages.all.epochs=6, train.batch_size=32, train.jit_compile=false, train.precision=float32]
test_fraction: 0.5
robustness_images: 10
gate: gate.yaml
registry: sqlite:///mlflow.db
"""
# The time of a busy machine decides nothing here.
GATE = "max_latency_ratio: 1000000\nmax_calibration_loss: 0.1\nmax_size_ratio: 3"


@pytest.fixture(scope="module")
def photos():
    root = Path(os.environ.get("VIT_KERAS_PHOTOS", "no_such_folder"))
    if not root.is_dir():
        pytest.skip("needs photos: set VIT_KERAS_PHOTOS to a folder with one folder for each class")
    return root


def deliver(photos, week, shift=0):
    """Put the photos of a week into the inbox, with labels that are `shift` too high."""
    for label in range(10):
        folder = Path("inbox") / str((label + shift) % 10)
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted((photos / str(label)).iterdir())[WEEKS[week]]:
            shutil.copy(file, folder / file.name)


def start(monkeypatch, capsys):
    """(exit status, standard output, standard error) of `vit-keras pipeline pipeline.yaml`."""
    monkeypatch.setattr(sys, "argv", ["vit-keras pipeline", "pipeline.yaml"])
    try:
        command.main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    return status, *capsys.readouterr()


def newest_report():
    file = max(Path("data/reports").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(file.read_text())


def written():
    """When each file of the data was written, the lock aside."""
    files = [path for path in Path("data").rglob("[!.]*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.exhaustive
def test_three_weeks(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("pipeline.yaml").write_text(PIPELINE)
    Path("gate.yaml").write_text(GATE)

    deliver(photos, "first")
    Path("inbox/0/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    status, out, _ = start(monkeypatch, capsys)
    first = newest_report()
    assert (status, first["decision"], first["against"]) == (0, "promoted", "")
    assert [one["file"] for one in first["newest"]["left_out"]] == ["0/broken.jpg"]
    assert out.count("test accuracy 0.") == 1  # of the training, which prints it itself

    deliver(photos, "second")
    save = checkpoint.save_checkpoint

    def killed(run, epoch, *rest):
        if epoch == 3:
            raise KeyboardInterrupt
        save(run, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", killed)
        assert start(monkeypatch, capsys)[0] == 130
    status, out, _ = start(monkeypatch, capsys)
    second = newest_report()
    assert (status, second["decision"]) == (0, "promoted"), second["reason"]
    assert second["against"] == second["started_from"] == "signs version 1"
    assert "goes on" in out
    assert len(read_history(Path(second["run"]))) == 6
    assert second["trained_on"]["test"] == first["trained_on"]["test"]
    assert second["evaluation"]["accuracy"] > first["evaluation"]["accuracy"]

    deliver(photos, "third", shift=1)
    status, out, _ = start(monkeypatch, capsys)
    third = newest_report()
    assert (status, third["decision"], third["set_aside"]) == (1, "refused", ["v0003"])
    assert "paired test: worse" in third["reason"]
    models = RegisteredModels("sqlite:///mlflow.db")
    assert models.by_alias("signs", "champion").number == "2"
    assert "refused: paired test: worse" in models.by_number("signs", "3").tags["gate.decision"]

    before = written()
    status, out, _ = start(monkeypatch, capsys)
    assert (status, len(list(Path("runs").glob("signs-*")))) == (0, 3)
    assert "nothing has changed since" in out
    assert written() == before
    assert len(models.versions("signs")) == 3
