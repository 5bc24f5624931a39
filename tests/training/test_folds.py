"""`train.folds`: runs of folds, their ensemble as one model, and what cannot be folded."""

import base64
import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.trained_runs import SMALL
from vit_keras import (
    Predictor,
    SettingError,
    evaluate_run,
    explain_run,
    export_run,
    load_config,
    load_splits,
    train_model,
)
from vit_keras.model.ensemble import LogMeanProbability
from vit_keras.runs.listing import list_runs
from vit_keras.runs.run_dir import read_config
from vit_keras.runs.saved_run import open_run
from vit_keras.studio.worker.model_tasks import ModelTasks
from vit_keras.training import folds
from vit_keras.training.combined_run import check_alike

CHEAP = ("train.epochs=1", "model.depth=1", "data.limit=120", "train.folds=2")


def test_the_layer_is_the_logarithm_of_the_mean_of_probabilities():
    logits = np.random.default_rng(0).normal(0, 8, (3, 5, 4)).astype("float32")
    exponents = np.exp(logits.astype("float64"))
    expected = np.log((exponents / exponents.sum(axis=-1, keepdims=True)).mean(axis=0))
    found = LogMeanProbability(dtype="float32")(
        [keras.ops.convert_to_tensor(one) for one in logits]
    )
    np.testing.assert_allclose(found, expected, atol=2e-5)
    far = [keras.ops.convert_to_tensor([[500.0, 0, -500]]), keras.ops.zeros((1, 3))]
    assert np.isfinite(LogMeanProbability(dtype="float32")(far)).all()


def test_the_interval_of_a_mean_is_students():
    """The table of Student 1908 as printed today: t of 4 degrees of freedom at 0.975 is 2.776."""
    low, high = folds.mean_interval([0.90, 0.92, 0.94, 0.96, 0.98])
    assert (low + high) / 2 == pytest.approx(0.94)
    assert (high - low) / 2 == pytest.approx(2.776 * 0.0316228 / 5**0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train.folds=1", "train.folds=1 is out of range; use 2"),
        ("data.fold=3/2", "data.fold=3/2 is no fold; write 2/5 for the second of five"),
        ("data.fold=1/1", "data.fold=1/1 is no fold"),
        ("data.fold=2", "data.fold=2 is no fold"),
        ("train.folds=2 data.fold=1/2", "train.folds=2 trains every fold, and data.fold=1/2 is of"),
        ("train.folds=2 train.overfit_batches=1", "a check for overfitting needs no folds"),
        ("train.folds=2 data.limit=40 train.batch_size=32", "train.batch_size=32 is more than the"),
    ],
)
def test_settings_that_cannot_stand_beside_folds_are_refused(words, expected):
    with pytest.raises(SettingError) as refused:
        load_config(*words.split())
    assert expected in str(refused.value)


def test_a_class_of_too_few_images_is_refused_before_training(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
    labels = np.where(np.arange(40) < 36, np.arange(40) % 2, 2)
    config = load_config("data=arrays", "train.folds=5", f"run.dir={tmp_path / 'run'}", *CHEAP[:2])
    config.train.batch_size = 8
    data = {"train": (images, labels), "test": (images, labels)}
    with pytest.raises(SettingError, match=r"train.folds=5: 2 has 4 different images to train on"):
        train_model(config, data)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_folds_are_resumed_and_make_one_model(tmp_path, monkeypatch):
    place = tmp_path / "runs" / "cv"
    trained, train = [], folds.train_model

    def stop_at_second(config, data=None):
        trained.append(config.data.fold)
        if trained == ["1/2", "2/2"]:
            raise KeyboardInterrupt
        return train(config, data)

    monkeypatch.setattr(folds, "train_model", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        train_model(load_config(*SMALL[3:], *CHEAP, f"run.dir={place}"))
    result = train_model(load_config(f"run.resume={place}"))
    assert trained == ["1/2", "2/2", "2/2"]  # what has finished is not trained again
    assert_means(result.metrics)
    config = result.path / "config.yaml"
    assert [run.name for run in list_runs(place.parent)] == ["cv", "cv/folds/1", "cv/folds/2"]
    assert {run.state for run in list_runs(place.parent)} == {"finished"}
    assert_out_of_fold(place)
    splits = load_splits(load_config(*CHEAP[2:3]).data, 0)
    assert_one_model(place, splits.test.images[:8])
    report = evaluate_run(place, images=20).report
    assert report["accuracy"] == result.metrics["test_accuracy"]
    assert report["calibration"]["temperature"] == 1
    assert "other folds were trained on" in report["calibration"]["temperature_from"]
    assert_explained(place)
    mapping = place / "folds" / "2" / "class_mapping.json"
    mapping.write_text(json.dumps(dict(enumerate("ABCDEFGHIJ"))))
    with pytest.raises(SettingError, match=r"folds/2 and .*folds/1 have different classes, 10 \(A"):
        check_alike([open_run(place / "folds" / number) for number in "12"])
    assert config.is_file()


@pytest.mark.slow
def test_folds_of_stored_values_have_one_range(tmp_path):
    """`percentile` is of all images that are folded, and out-of-fold predictions are by it."""
    digits, labels = load_digits(return_X_y=True)
    stored = (digits.reshape(-1, 8, 8)[:200] * 255 - 100).astype("float32")
    data = {"train": (stored[:160], labels[:160]), "test": (stored[160:], labels[160:200])}
    words = ("data=arrays", "data.value_range=percentile", *SMALL[3:], *CHEAP[:2], *CHEAP[3:])
    place = tmp_path / "run"
    result = train_model(load_config("recipe=digits", *words, f"run.dir={place}"), data)
    expected = pytest.approx(np.percentile(stored[:160], (0.5, 99.5)))
    for folder in (place, place / "folds" / "1", place / "folds" / "2"):
        kept = read_config(folder / "config.yaml").data
        assert (kept.value_range, kept.channels) == (expected, 1)
    assert result.metrics["out_of_fold_accuracy"] == pytest.approx(
        np.mean(result.metrics["fold_val_accuracies"]), abs=1e-6
    )
    rows = list(csv.DictReader((place / "out_of_fold.csv").read_text().splitlines()))
    for number in "12":
        own = [int(row["image"]) for row in rows if row["fold"] == number]
        found = Predictor(place / "folds" / number).predict(stored[own])
        kept = [float(rows[index]["confidence"]) for index in own]
        np.testing.assert_allclose([one.confidence for one in found], kept, atol=2e-6)
    report = evaluate_run(place, data=data, images=8).report
    assert report["accuracy"] == result.metrics["test_accuracy"]
    assert report["data"]["is_the_runs_own"]


def assert_explained(place):
    """The maps of the ensemble are those of its members together, in the studio as well."""
    folder = explain_run(place, 0)
    maps = np.load(folder / "maps.npz")
    assert maps["members"].tolist() == ["fold_1", "fold_2"]
    np.testing.assert_allclose(maps["rollout"], maps["member_rollout"].mean(axis=0))
    assert maps["relevance"].sum() == pytest.approx(1)
    report = json.loads((folder / "explanation.json").read_text())
    assert report["relevance_for"] == next(iter(report["predicted"]))
    assert {"overview.png", "rollout.png", "relevance.png"} == {
        file.name for file in folder.glob("*.png")
    }
    assert "heads.png" in report["left_out"]
    with pytest.raises(SettingError, match=r"layer=x is .* an ensemble; .* such as run=.*folds/1"):
        explain_run(place, 0, layer="x")
    stream = io.BytesIO()
    Image.fromarray(maps["image"][..., 0]).save(stream, "PNG")
    file = base64.b64encode(stream.getvalue()).decode()
    assert "overlay" in ModelTasks().overlay(str(place), file, None)


def assert_means(metrics):
    accuracies = metrics["fold_val_accuracies"]
    assert metrics["best_val_accuracy"] == np.mean(accuracies)
    assert metrics["out_of_fold_accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    low, high = metrics["best_val_accuracy_interval"]
    assert low <= metrics["best_val_accuracy"] <= high
    assert metrics["validation_images"] == 120


def assert_out_of_fold(place):
    """Every training image once, by the model that has not seen it."""
    rows = list(csv.DictReader((place / "out_of_fold.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == [str(index) for index in range(120)]
    for number in "12":
        own = [row for row in rows if row["fold"] == number]
        right = np.mean([row["class"] == row["predicted"] for row in own])
        kept = json.loads((place / "folds" / number / "metrics.json").read_text())
        assert right == pytest.approx(kept["best_val_accuracy"], abs=1e-6)
        sums = [sum(float(row[f"probability of {k}"]) for k in range(10)) for row in own]
        np.testing.assert_allclose(sums, 1, atol=1e-5)


def assert_one_model(place, images):
    """Its probabilities are the mean of the folds', in Keras and in ONNX."""
    assert export_run(place, "onnx", images=20).report["max_difference"] < 1e-6

    def probabilities(run, engine):
        found = Predictor(run, engine=engine).predict(images, top_k=10)
        return [[c.confidence for c in sorted(one.top, key=lambda c: c.index)] for one in found]

    members = [probabilities(place / "folds" / number, "keras") for number in "12"]
    for engine in ("keras", "onnx"):
        np.testing.assert_allclose(
            probabilities(place, engine), np.mean(members, axis=0), atol=1e-6
        )
