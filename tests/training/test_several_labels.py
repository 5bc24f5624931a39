"""task=multilabel from a table to predictions: targets, metrics, thresholds, files, refusals."""

import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from helpers.trained_runs import assert_same
from vit_keras import Predictor, SettingError, evaluate_run, load_config, train_model
from vit_keras.config.compose import compose, with_data
from vit_keras.data import registry
from vit_keras.explain import explain_run
from vit_keras.export.exporter import export_run
from vit_keras.model.vit import build_vit
from vit_keras.predict import outputs, tables, tiles
from vit_keras.runs.history import best_epoch, monitor_of
from vit_keras.runs.saved_run import open_run
from vit_keras.runs.status import run_status
from vit_keras.training.average_precision import MeanAveragePrecision
from vit_keras.training.soup_checks import check_soup
from vit_keras.training.training_model import TrainingModel

MODEL = ("patch_size=8", "width=8", "depth=1", "num_heads=2", "mlp_dim=8")
SETTINGS = (
    *("recipe=folder", "task=multilabel", "data.image_size=16", "augment.mixup=0.2"),
    *("optim.label_smoothing=0.1", "train.batch_size=32", "train.jit_compile=false"),
    *(f"model.{setting}" for setting in MODEL),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Canvases of two digits side by side, labelled as `3;8`."""
    folder = tmp_path_factory.mktemp("canvases")
    images, digits = load_digits(n_class=3, return_X_y=True)
    pairs = np.random.default_rng(0).integers(0, len(digits), (260, 2))
    with open(folder / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "labels"])
        for number, pair in enumerate(pairs):
            pixels = np.zeros((16, 16), "uint8")
            pixels[4:12] = np.hstack((images[pair] * 15.9).reshape(2, 8, 8))
            Image.fromarray(pixels).save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", ";".join(map(str, digits[pair]))])
    return folder / "labels.csv"


def data(table):
    return "data=csv", f"data.path={table}"


def test_average_precision_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 4)) < [0.5, 0.1, 0.02, 0]).astype("float32")
    logits = rng.normal(labels * 1.5, 2).astype("float32")
    metric = MeanAveragePrecision(4)
    for part in (slice(0, 150), slice(150, 300)):
        images = len(labels[part])
        padded = (
            np.vstack([logits[part], logits[:1] + 9]),
            np.vstack([labels[part], 1 - labels[:1]]),
        )
        metric.update_state(padded[1], padded[0], np.append(np.ones(images), 0))
    expected = average_precision_score(labels[:, :3], logits[:, :3])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-3)  # by bins


def test_targets_are_mixed_and_smoothed_as_probabilities_of_each_label(table):
    config = compose(*SETTINGS, *data(table))
    vit = build_vit(None, image_size=16, num_classes=3, patch_size=8, width=8, depth=1, num_heads=1,
                    mlp_dim=8)  # fmt: skip
    model = TrainingModel(vit, config, name="training")
    labels = np.array([[1, 0, 0], [1, 1, 0]], "float32")
    images = np.zeros((2, 16, 16, 3), "uint8")
    plain = keras.ops.convert_to_numpy(model((images, labels), training=False)["targets"])
    np.testing.assert_array_equal(plain, labels)
    mixed = keras.ops.convert_to_numpy(model((images, labels), training=True)["targets"])
    # Both have the first label and neither the third; the second is in one of them.
    np.testing.assert_allclose(mixed[:, 0], 0.95, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 2], 0.05, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 1].sum(), 1, rtol=1e-6)


def test_the_best_epoch_is_that_of_the_highest_map():
    rows = [
        {"epoch": 1, "val_accuracy": 0.9, "val_loss": 0.3, "val_map": 0.2},
        {"epoch": 2, "val_accuracy": 0.8, "val_loss": 0.4, "val_map": 0.6},
    ]
    monitor = monitor_of(compose("task=multilabel"))
    assert best_epoch(rows, monitor) == 2
    assert best_epoch([{**row, "val_map": 0.5} for row in rows], monitor) == 1  # ties: lowest loss


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["task=ordinal"], ["task=ordinal", "task=classification"]),
        (["task=regression"], ["task=regression", "num_classes=1"]),
        (["task=multilable"], ["task=multilable", "did you mean multilabel"]),
        (["loss=asymmetric"], ["loss.name=asymmetric", "task=multilabel"]),
        (["task=multilabel"], ["data.name=digits", "data=csv", "data=folder", "data=arrays"]),
        (["data=csv", "data.path=x", "data.several_labels=true"], ["set it instead", "multilabel"]),
        (["data=csv", "data.path=x", 'data.label_separator="|"'], ["has no effect", "multilabel"]),
        *(
            (["task=multilabel", "data=csv", "data.path=x", word], [word, "leave it out"])
            for word in (
                *("train.sample_predictions=3", "train.folds=5", "data.sampling=sqrt"),
                *("data.fold=2/5", "train.monitor=val_loss"),
            )
        ),
    ],
)
def test_a_task_that_cannot_work_is_refused(words, parts):
    with pytest.raises(SettingError) as caught:
        load_config(*words)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_other_data_of_a_run_are_read_by_its_task(table):
    own = compose(*SETTINGS, *data(table))
    assert with_data(own, ["data=csv", "data.path=other.csv"]).data.several_labels
    assert not with_data(compose(), ["data=csv", "data.path=other.csv"]).data.several_labels


@pytest.mark.slow
def test_several_labels_from_a_table_to_predictions(table, tmp_path):
    words = (*SETTINGS, *data(table))
    run = train_model(
        load_config(
            *(*words, "train.epochs=2", "loss=asymmetric", "train.class_weight=balanced"),
            f"run.dir={tmp_path / 'run'}",
        )
    )
    assert "weights of the classes in the training loss" in (run.path / "train.log").read_text()
    assert 0 < run.metrics["test_map"] <= 1
    assert "best_val_map" in run.metrics
    stopped = tmp_path / "stopped"
    shutil.copytree(run.path, stopped)
    for name in ("checkpoint/epoch-00002.npz", "metrics.json"):
        (stopped / name).unlink()
    train_model(load_config(f"run.resume={stopped}"))
    assert_same(stopped, run.path)
    state = run_status(run.path, "run")
    assert state.state == "finished"
    assert state.metrics["best_val_map"] > 0

    source = registry.read_dataset(load_config(*words).data)
    names = [[source.class_names[i] for i in np.flatnonzero(row)] for row in source.train.labels]
    images = source.train.decoded().images
    given = load_config(
        *(*SETTINGS, "data=arrays", "train.epochs=2", "loss=asymmetric"),
        *("train.class_weight=balanced", f"run.dir={tmp_path / 'arrays'}"),
    )
    assert_same(train_model(given, (images, names)).path, run.path)

    before = open_run(run.path)
    assert before.thresholds.values == (0.5, 0.5, 0.5)
    report = evaluate_run(run.path).report
    assert report["map"] == pytest.approx(run.metrics["test_map"], abs=5e-3)  # by bins
    saved = open_run(run.path)
    kept = json.loads((run.path / "thresholds.json").read_text())
    assert list(report["thresholds"].values()) == list(saved.thresholds.values)
    assert kept["fitted_on"]["images"] == 21
    assert kept["not_fitted"] == []
    assert "Hamming loss" in (run.path / "evaluation/report.html").read_text()
    assert not (run.path / "abstention.npz").exists()
    other = evaluate_run(
        run.path, data=(images[::6], names[::6]), split="all", output=tmp_path / "other"
    ).report
    assert other["thresholds"] == report["thresholds"]
    assert 0 < other["map"] <= 1
    for bad in (dict(sizes=[32]), dict(flip=True), dict(ood="digits")):
        with pytest.raises(SettingError, match=f"^{next(iter(bad))}=.*multilabel"):
            evaluate_run(run.path, **bad)
    with pytest.raises(SettingError, match=r"coverage=0\.95.*multilabel"):
        Predictor(run.path, engine="keras").predict([], coverage=0.95)
    with pytest.raises(SettingError, match=r"multilabel.*tile_size"):
        tiles.check_run(saved)
    with pytest.raises(SettingError, match="multilabel"):
        check_soup([run.path, stopped])

    files = sorted(map(str, table.parent.glob("1?.png")))
    by_keras = Predictor(run.path, engine="keras").predict(files)
    made = export_run(run.path, "onnx").report
    assert made["max_difference"] < 1e-5
    assert made["task"] == "multilabel"
    assert made["thresholds"] == report["thresholds"]
    by_onnx = Predictor(run.path, engine="onnx").predict(files)
    for one, other in zip(by_keras, by_onnx, strict=True):
        limits = dict(zip(saved.class_names, saved.thresholds.values, strict=True))
        expected = {c.label for c in one.top if c.confidence >= limits[c.label]}
        assert {c.label for c in one.labels} == {c.label for c in other.labels} == expected
        assert sum(c.confidence for c in one.top) != pytest.approx(1)
    rows = list(csv.DictReader(outputs.to_csv(by_onnx).decode().splitlines()))
    assert [json.loads(row["labels"]) for row in rows] == [
        [c.label for c in one.labels] for one in by_onnx
    ]
    images = tables.find_table([str(table)]).table
    kept = {"image": [Path(file).name for file in files], "note": ["x"] * len(files)}
    images = images._replace(columns=kept)
    predicted = list(csv.DictReader(tables.to_csv(images, by_onnx).decode().splitlines()))
    assert [*predicted[0]] == ["image", "note", "predicted", "confidence"]
    assert [row["predicted"] for row in predicted] == [row["labels"] for row in rows]
    assert outputs.to_table(by_onnx).startswith(b"file")
    assert "labels" in json.loads(outputs.to_json(by_onnx))[0]

    explained = json.loads((explain_run(run.path, 0) / "explanation.json").read_text())
    assert {*explained["label"].split("; ")} <= {"0", "1", "2"}
    assert "labels" in explained
