"""Training on in-memory data sets, and the settings for debugging."""

import csv
import shutil

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.trained_runs import COMPILED, assert_same
from vit_keras import SettingError, build_splits, load_config, train_model
from vit_keras.config.schema import AugmentConfig
from vit_keras.data import dataset as data_dataset
from vit_keras.data.splits import load_splits
from vit_keras.runs import run_dir
from vit_keras.training import checkpoint, overfit_check, training_model

pytestmark = pytest.mark.jax

IMAGES = (load_digits().images * 255 / 16).round().astype("uint8")[:300]
LABELS = load_digits().target[:300]
SMALL = (
    "data=arrays",
    "train.epochs=2",
    "model.depth=1",
    "train.batch_size=32",
    COMPILED,
)


def small(directory, *overrides):
    return load_config(*SMALL, *overrides, f"run.dir={directory}")


def history(directory):
    with open(directory / "history.csv") as file:
        return list(csv.DictReader(file))


class Batches(keras.utils.PyDataset):
    def __init__(self, end=True):
        super().__init__()
        self.end = end

    @property
    def num_batches(self):
        return 30 if self.end else None

    def __getitem__(self, index):
        part = slice(index * 10, index * 10 + 10)
        return IMAGES[part], LABELS[part]


def of_tensorflow(change):
    tf = pytest.importorskip("tensorflow")
    return change(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)))


def one_hot(dataset):
    import tensorflow as tf

    return dataset.map(lambda x, y: (x[..., None], tf.one_hot(y, 10)))


def unknown(dataset):
    return dataset.filter(lambda *_: True).batch(7)


KINDS = {
    "arrays": lambda: (IMAGES, LABELS),
    "lists": lambda: (IMAGES.tolist(), LABELS.tolist()),
    "floats": lambda: (IMAGES / 255, LABELS),
    "a dictionary": lambda: {"train": (IMAGES, LABELS), "class_names": map(str, range(10))},
    "a Keras data set": Batches,
    "single images": lambda: of_tensorflow(lambda dataset: dataset),
    "batches": lambda: of_tensorflow(lambda dataset: dataset.batch(7)),
    "batches of unknown number": lambda: of_tensorflow(
        lambda d: d.filter(lambda *_: True).batch(7)
    ),
    "one-hot, one by one": lambda: of_tensorflow(one_hot),
    "one-hot batches": lambda: of_tensorflow(lambda dataset: one_hot(dataset).batch(7)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_in_memory_data_has_the_same_fingerprint(kind):
    value = KINDS[kind]()
    parts = value if isinstance(value, dict) else {"train": value}
    assert build_splits(**parts).fingerprint == build_splits((IMAGES, LABELS)).fingerprint


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        (lambda: Batches(end=False), "train has no end; give a finite"),
        (lambda: of_tensorflow(lambda d: d.repeat()), "train has no end; give a finite"),
        (lambda: of_tensorflow(lambda d: d.take(0)), "train is empty"),
        (lambda: of_tensorflow(lambda d: d.map(lambda x, y: x)), r"ndarray\); give \(images, lab"),
        (lambda: of_tensorflow(lambda d: d.map(lambda x, y: {"x": x})), "as_supervised=True"),
        (lambda: {"train": (IMAGES, LABELS), "tets": None}, "data=tets is unknown.* test"),
        (lambda: {"test": (IMAGES, LABELS)}, "data has no train"),
    ],
)
def test_what_cannot_be_read_is_refused(kind, phrase, tmp_path):
    with pytest.raises(SettingError, match=phrase):
        train_model(small(tmp_path / "run"), kind())
    assert not (tmp_path / "run").exists()


def test_endless_dataset_is_refused_when_it_fills_half_of_the_memory(monkeypatch):
    from vit_keras.data.readers import in_memory

    monkeypatch.setattr(in_memory, "_half_the_memory", lambda: 10**6)
    endless = of_tensorflow(lambda d: d.repeat().filter(lambda *_: True).batch(100))
    with pytest.raises(SettingError, match="has not ended when its images filled half of the mem"):
        build_splits(endless)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """On three given splits, with every setting of the data that applies to them."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = small(
        folder,
        "augment.repeated_augmentation=4",
        "augment.crop_padding=1",
        "train.limit_train_batches=3",
    )
    return config, train_model(config, (IMAGES, LABELS))


def test_config_of_a_run_on_arrays_names_arrays(trained):
    _, result = trained
    kept = run_dir.config_of_run(str(result.path))
    assert (kept.data.name, kept.data.path) == ("arrays", None)
    assert result.metrics["epochs"] == 2


def test_a_limit_of_steps_holds_for_batches_schedule_and_speed(trained):
    _, result = trained
    rows = history(result.path)
    # Of six updates, one is the warm-up; the last one is four fifths down the cosine.
    last = 2e-3 * (1 + np.cos(np.pi * 4 / 5)) / 2
    assert float(rows[-1]["learning_rate"]) == pytest.approx(last, rel=1e-5)
    with np.load(max((result.path / "checkpoint").glob("*.npz"))) as archive:
        (updates,) = (archive[key] for key in archive if key.endswith("/iteration"))
    assert updates == 3 * 2
    for row in rows:
        assert 0 <= float(row["data_wait"]) <= 1
        assert float(row["images_per_second"]) <= 3 * 32 / (float(row["seconds"]) * 0.001)


def test_run_on_arrays_resumes_bit_for_bit_in_python(trained, tmp_path):
    _, result = trained
    shutil.copytree(result.path, tmp_path / "run")
    (tmp_path / "run" / "checkpoint" / "epoch-00002.npz").unlink()
    config = load_config(f"run.resume={tmp_path / 'run'}")
    again = train_model(config, (IMAGES / 255, LABELS))  # the same pixels
    assert again.metrics["test_loss"] == result.metrics["test_loss"]
    assert_same(result.path, tmp_path / "run")
    with pytest.raises(SettingError, match="fingerprint"):
        train_model(config, (255 - IMAGES, LABELS))
    with pytest.raises(SettingError, match=r"data\.name=arrays is data that a Python program"):
        train_model(config)


def test_command_line_refuses_to_resume_a_run_on_arrays(trained, refusal):
    _, result = trained
    answer = refusal(f"run.resume={result.path}")
    for phrase in ("data.name=arrays", "train_model(config, data=...)", "data=npz"):
        assert phrase in answer


def test_classes_and_limits_hold_for_given_splits():
    split = data_dataset.Split(IMAGES[..., None], LABELS.astype("int32"))
    given = data_dataset.SourceData(split, split, split, list("0123456789"))
    config = load_config("data=arrays", "data.classes=[3,7]", "data.limit=20").data
    splits = load_splits(config, 0, given)
    assert splits.class_names == ["3", "7"]
    for part in (splits.train, splits.validation, splits.test):
        assert len(part.labels) == 20
        shown = {image.tobytes() for image in IMAGES[np.isin(LABELS, [3, 7])][..., None]}
        assert {image.tobytes() for image in part.images} <= shown


def test_settings_are_checked_against_the_arrays(tmp_path):
    config = small(tmp_path / "run", "train.batch_size=250")
    with pytest.raises(SettingError, match=r"train\.batch_size=250 is more than the 216 images"):
        train_model(config, (IMAGES, LABELS))
    config = small(tmp_path / "run", "model.patch_size=5")
    with pytest.raises(SettingError, match=r"model\.patch_size=5 does not divide"):
        train_model(config, (IMAGES, LABELS))


def test_few_batches_are_trained_on_as_they_are(tmp_path, monkeypatch, capsys):
    """Nothing that makes training harder, the same images to validate on; what to do is said."""
    seen = []
    configure = training_model.TrainingModel.configure_stage

    def spy(self, *args):
        configure(self, *args)
        seen.append((self.augment_config, self.label_smoothing))

    monkeypatch.setattr(training_model.TrainingModel, "configure_stage", spy)
    words = ("train.overfit_batches=2", "augment=light", "optim.label_smoothing=0.3")
    config = small(tmp_path / "run", *words)
    result = train_model(config, (IMAGES, LABELS))
    assert seen == [(AugmentConfig(), 0)]
    said = capsys.readouterr().out
    assert "images          64          64" in said
    assert "train.overfit_batches=2: " in said
    assert "Look at the labels first" in said
    kept = run_dir.config_of_run(str(result.path))
    assert (kept.augment.flip, kept.optim.label_smoothing) == (True, 0.3)
    assert checkpoint.load_latest(run_dir.Run(result.path)).state["rows"][-1]["epoch"] == 2


@pytest.mark.parametrize(("accuracy", "is_said"), [(0.99, False), (0.98, True)])
def test_a_sound_model_is_told_from_one_that_learns_nothing(accuracy, is_said, caplog):
    config = load_config("data=arrays", "train.overfit_batches=2")
    overfit_check.warn_if_not_overfit(config, [{"accuracy": 0.2}, {"accuracy": accuracy}])
    assert ("Look at the labels first" in caplog.text) == is_said
    caplog.clear()
    overfit_check.warn_if_not_overfit(load_config("data=arrays"), [{"accuracy": 0.1}])
    assert not caplog.text
