"""`train.export`: a run ends with its ONNX file, and never because of it."""

import json

import pytest

from helpers.exported_runs import skip_without_onnx
from helpers.trained_runs import trained
from vit_keras import Predictor, SettingError, load_config, train_model
from vit_keras.export import exporter
from vit_keras.training.export_at_end import export_formats
from vit_keras.training.resume import RESUMABLE

skip_without_onnx()
pytestmark = pytest.mark.usefixtures("without_gpu")


def test_what_train_export_stands_for():
    assert export_formats(True) == export_formats("onnx") == ["onnx"]
    assert export_formats(False) == export_formats(None) == []
    assert export_formats(["onnx", "litert"]) == ["onnx", "litert"]


@pytest.mark.slow
def test_a_failed_export_loses_nothing_and_the_resumed_run_has_it(tmp_path, monkeypatch, capsys):
    def fails(*args):
        raise RuntimeError("the converter\nfailed")

    with monkeypatch.context() as patched:
        patched.setattr(exporter, "write_export", fails)
        run = trained(tmp_path / "run", "train.epochs=1", "train.export=true").path
    assert json.loads((run / "end.json").read_text())["reason"] == "finished"
    assert (run / "metrics.json").is_file()
    *_, warning, last = capsys.readouterr().out.splitlines()
    assert warning.startswith("WARNING: not exported to onnx: the converter; the run is complete: ")
    assert warning.endswith(f"vit-keras export {run} --format onnx tries again")
    assert last == f"run: {run}"
    assert "train.export" in RESUMABLE
    train_model(load_config(f"run.resume={run}", "train.export=[onnx]"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"export: {run / 'export/onnx'}", f"run: {run}"]
    predictor = Predictor(run)
    assert predictor.engine.name == "ONNX Runtime"
    report = json.loads((run / "export/onnx/export.json").read_text())
    assert report["images_from"] == "test split of digits"
    assert report["max_difference"] < 1e-5


def test_formats_that_cannot_be_written_are_refused_before_training(monkeypatch):
    with pytest.raises(SettingError, match=r"train\.export=onix is unknown; did you mean onnx"):
        load_config("train.export=[onix]")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(SettingError, match=r"KERAS_BACKEND=jax cannot write train\.export=onnx"):
        load_config("train.export=true")
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(
        SettingError, match=r"train\.export=litert needs ai-edge-litert.*pip install.*; or leave"
    ):
        load_config("train.export=litert")
