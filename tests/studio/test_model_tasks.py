"""The studio's worker predicts a run with an ONNX file by it, and explains by Keras."""

import base64
import io

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.exported_runs import exported_digits, skip_without_onnx
from vit_keras.studio.worker.model_tasks import ModelTasks

skip_without_onnx()
pytestmark = pytest.mark.usefixtures("without_gpu")


@pytest.mark.slow
def test_a_run_is_predicted_by_onnx_and_explained_by_keras(tmp_path):
    run, stream = str(exported_digits(tmp_path)), io.BytesIO()
    Image.fromarray((load_digits().images[3] * 255 / 16).astype("uint8")).save(stream, "PNG")
    file = base64.b64encode(stream.getvalue()).decode()
    tasks = ModelTasks()
    tasks.open(run)
    found, bad = tasks.predict(run, [file, base64.b64encode(b"no image").decode()])
    assert found["engine"] == "ONNX Runtime"
    assert found["top"][0][0] == "3"
    assert len(found["top"]) == 10
    assert found["decision"]["abstain"] == bool(found["decision"]["reason"])
    assert bad == {"unreadable": "no image by its content"}
    assert "overlay" in tasks.overlay(run, file, None)
    tiled = tasks.tiles(run, file, 4, 0.5, "mean")
    assert (tiled["grid"], tiled["tile"], len(tiled["top"])) == ([3, 3], [4, 4], 10)
    assert base64.b64decode(tiled["map"]).startswith(b"\x89PNG")
    small = tasks.tiles(run, file, 16, 0.5, "mean")
    assert "is smaller than a tile of 16 by 16" in small["unreadable"]
