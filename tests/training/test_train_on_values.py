"""Images of 12 bits and of five channels, from training to an exported file and the studio."""

import base64
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.scientific_images import npy, png, tiff
from helpers.trained_runs import assert_same
from vit_keras import (
    Predictor,
    SettingError,
    evaluate_run,
    explain_run,
    export_run,
    load_config,
    train_model,
)
from vit_keras.runs.run_dir import read_config
from vit_keras.studio.worker.model_tasks import ModelTasks

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = DIGITS.reshape(-1, 8, 8)[:200], LABELS[:200]
TWELVE = (DIGITS / 16 * 4095).round().astype("uint16")
SMALL = (
    *("recipe=digits", "train.epochs=2", "train.batch_size=32", "train.jit_compile=false"),
    *("model.depth=1", "model.width=16", "model.mlp_dim=16", "model.num_heads=2"),
)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports need TensorFlow")
def test_a_folder_of_12_bits_from_training_to_the_studio(tmp_path):
    for index, (image, label) in enumerate(zip(TWELVE, LABELS, strict=True)):
        folder = tmp_path / "scans" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:03}.tif").write_bytes(tiff(image))
    words = (
        *("data=folder", f"data.path={tmp_path / 'scans'}", "data.image_size=8"),
        *("data.value_range=auto", "data.channels=1", "train.sample_predictions=2"),
    )
    result = train_model(load_config(*SMALL, *words, f"run.dir={tmp_path / 'run'}"))
    run = result.path
    data = read_config(run / "config.yaml").data
    assert (data.value_range, data.channels) == ([0.0, 4095.0], 1)

    evaluation = evaluate_run(run, images=8)
    assert evaluation.report["accuracy"] == pytest.approx(result.metrics["test_accuracy"])

    file = next((tmp_path / "scans" / "3").iterdir())
    image = TWELVE[int(file.stem)]
    predictor = Predictor(run, engine="keras")
    inputs = [file, image, image[..., None], png(image), npy(image)]
    by_keras = predictor.predict(inputs, top_k=10)
    assert len({one.top[0].confidence for one in by_keras}) == 1
    logits = predictor.run.model.predict(image[None, ..., None] / np.float32(4095) * 255, verbose=0)
    assert by_keras[0].top[0].index == logits.argmax()
    with pytest.raises(SettingError, match=r"data.value_range is \[0,4095\]"):
        predictor.predict(DIGITS[3].astype("uint8"))

    exported = export_run(run, "onnx", images=20)
    assert exported.report["max_difference"] < 1e-5
    described = exported.report["image_input"]
    assert (described["dtype"], described["value_range"]) == ("float32", [0.0, 4095.0])
    by_onnx = Predictor(run, engine="onnx").predict(inputs, top_k=10)
    for one, other in zip(by_onnx, by_keras, strict=True):
        assert one.label == other.label
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)

    tasks = ModelTasks()
    tasks.open(str(run))
    shown = base64.b64encode(tiff(image)).decode()
    (found,) = tasks.predict(str(run), [shown])
    assert found["top"][0][2] == pytest.approx(by_keras[0].confidence, abs=1e-5)
    assert "overlay" in tasks.overlay(str(run), shown, None)
    assert (Path(explain_run(run, file)) / "overview.png").is_file()

    shorter = (*SMALL, *words, f"run.dir={tmp_path / 'resumed'}", "train.schedule_epochs=[2]")
    train_model(load_config(*shorter, "train.epochs=1"))
    resumed = train_model(load_config(f"run.resume={tmp_path / 'resumed'}", "train.epochs=2"))
    assert_same(resumed.path, run)


@pytest.mark.slow
def test_arrays_of_five_channels(tmp_path):
    spectra = np.stack([DIGITS * (k + 1) - 100.0 for k in range(5)], -1).astype("float32")
    words = ("data=arrays", "data.value_range=percentile", "data.channels=5")
    augment = ("augment.crop_padding=1", "augment.mixup=0.2", "augment.random_erasing=0.2")
    config = load_config(*SMALL, *words, *augment, f"run.dir={tmp_path / 'run'}")
    result = train_model(config, data=(spectra, LABELS))
    low, high = read_config(result.path / "config.yaml").data.value_range
    assert spectra.min() <= low < high <= spectra.max()
    report = evaluate_run(result.path, data=(spectra, LABELS), images=8).report
    assert report["data"]["is_the_runs_own"]
    (found,) = Predictor(result.path).predict(spectra[:1], top_k=10)
    pixels = ((spectra[:1] - low) / (high - low)).clip(0, 1) * 255
    logits = Predictor(result.path).run.model.predict(pixels, verbose=0)
    assert found.top[0].index == logits.argmax()
    description = json.dumps(Predictor(result.path).run.image_input.describe())
    assert "0 to 255 in float32" in description
