"""The Predictor uses the run's logits, temperature and classes, for images of every kind."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from helpers.paths import SAVED_MODELS
from vit_keras import Predictor, SettingError
from vit_keras.predict import predictor as predict_predictor
from vit_keras.predict import reader

pytestmark = pytest.mark.jax

RELEASED = SAVED_MODELS / "digits"
DIGITS = (load_digits().images * 255 / 16).round().astype("uint8")[..., None]


@pytest.fixture(scope="module")
def predictor():
    return Predictor(RELEASED, batch_size=8)


@pytest.fixture(scope="module")
def logits():
    return vit_keras.open_run(RELEASED).model.predict(DIGITS[:20], verbose=0)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def confidences(predictions):
    """(n, classes) of predictions with all classes."""
    table = np.zeros((len(predictions), 10))
    for row, one in zip(table, predictions, strict=True):
        for candidate in one.top:
            row[candidate.index] = candidate.confidence
    return table


def test_confidences_are_the_models_own_softmax(predictor, logits):
    """Twenty images in batches of eight: the last batch is padded, and the padding dropped."""
    predictions = predictor.predict(DIGITS[:20], top_k=10)
    np.testing.assert_allclose(confidences(predictions), softmax(logits), atol=1e-5)
    labels = [one.label for one in predictions]
    assert labels == [str(index) for index in logits.argmax(axis=-1)]
    assert (np.array(labels, int) == load_digits().target[:20]).mean() >= 0.9


def test_the_temperature_divides_the_logits(logits, tmp_path):
    run = shutil.copytree(RELEASED, tmp_path / "run")
    (run / "temperature.json").write_text(json.dumps({"temperature": 4.0}))
    predictions = Predictor(run).predict(DIGITS[:20], top_k=10)
    np.testing.assert_allclose(confidences(predictions), softmax(logits / 4), atol=1e-5)


def test_the_temperature_is_left_out_on_request(logits, tmp_path):
    run = shutil.copytree(RELEASED, tmp_path / "run")
    (run / "temperature.json").write_text(json.dumps({"temperature": 4.0}))
    predictor = Predictor(run, calibrated=False)
    predictions = predictor.predict(DIGITS[:20], top_k=10)
    np.testing.assert_allclose(confidences(predictions), softmax(logits), atol=1e-5)
    assert predictor.decision == (
        "confidences are not calibrated, as asked for: temperature 4.000 is unused"
    )
    with pytest.raises(SettingError, match="is of calibrated probabilities; leave out calibrated="):
        predictor.predict(DIGITS[:1], coverage=0.9)


def test_flip_averages_the_mirror_image(predictor):
    plain = predictor.predict(DIGITS[:5], top_k=10)
    mirrored = predictor.predict(DIGITS[:5, :, ::-1], top_k=10)
    both = confidences(predictor.predict(DIGITS[:5], top_k=10, flip=True))
    np.testing.assert_allclose(both, (confidences(plain) + confidences(mirrored)) / 2, atol=1e-6)


def test_top_classes_are_sorted_and_at_most_all(predictor):
    (one,) = predictor.predict(DIGITS[0], top_k=3)
    assert len(one.top) == 3
    assert one.top[0].confidence >= one.top[1].confidence >= one.top[2].confidence
    assert (one.label, one.confidence) == (one.top[0].label, one.top[0].confidence)
    assert len(predictor.predict(DIGITS[0], top_k=99)[0].top) == 10


def test_a_run_predicts_without_its_data_in_another_folder(tmp_path, monkeypatch):
    run = shutil.copytree(RELEASED, tmp_path / "mine")
    text = (run / "config.yaml").read_text()
    text = text.replace("name: digits\n  path: null", "name: folder\n  path: /gone")
    (run / "config.yaml").write_text(text)
    assert "path: /gone" in text
    monkeypatch.chdir(tmp_path)
    assert len(Predictor("mine").predict(DIGITS[0])) == 1


def test_unreadable_files_are_reported_in_order(predictor, tmp_path):
    for name in ("0.png", "2.png"):
        Image.fromarray(DIGITS[int(name[0]), ..., 0]).save(tmp_path / name)
    (tmp_path / "1.png").write_text("no image")
    files = [tmp_path / "0.png", tmp_path / "1.png", str(tmp_path / "2.png"), "nowhere.png"]
    kinds = {predict_predictor.Prediction: "p", predict_predictor.Unreadable: "u"}
    results = list(predictor.results(files))
    assert "".join(kinds[type(one)] for one in results) == "pupu"
    assert [one.source for one in results] == [str(file) for file in files]
    assert results[1].reason == "no image by its content"
    assert results[3].reason == "No such file or directory"
    alone = predictor.predict([files[0], files[2]], top_k=10)
    together = list(predictor.results(files, top_k=10))[::2]
    np.testing.assert_allclose(confidences(alone), confidences(together), atol=1e-6)
    with pytest.raises(SettingError, match=r"2 of 4 images cannot be read \(.*1.png: no image"):
        predictor.predict(files)


def test_keras_gets_few_batch_sizes_powers_of_two(predictor, monkeypatch):
    sizes = []
    model = predictor.engine.model
    compute = model.predict_on_batch
    monkeypatch.setattr(model, "predict_on_batch", lambda x: (sizes.append(len(x)), compute(x))[1])
    for count in range(1, 20):
        assert len(predictor.predict(DIGITS[:count], top_k=1)) == count
    assert {*sizes} <= {1, 2, 4, 8}
    assert sum(sizes) < 2 * sum(range(1, 20))


def test_an_endless_iterable_is_read_lazily(predictor):
    read = []

    def camera():
        while True:
            read.append(DIGITS[len(read) % 10])
            yield read[-1]

    results = predictor.results(camera())
    first = [next(results) for _ in range(3)]
    results.close()
    assert [one.source for one in first] == ["images[0]", "images[1]", "images[2]"]
    assert len(read) <= 8 * (reader.PREFETCHED_BATCHES + 1)


REFUSED = [
    (lambda: Predictor("nowhere"), "run=nowhere is not a run"),
    (lambda: Predictor(RELEASED, batch_size=0), "batch_size=0 is out of range; use 1 or more"),
    (lambda: Predictor(RELEASED, workers=0), "workers=0 is out of range; use 1 or more"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_invalid_runs_and_arguments_are_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_invalid_arguments_are_refused_at_the_call(predictor):
    with pytest.raises(SettingError, match="top_k=0 is out of range; use 1 or more"):
        predictor.results(DIGITS[0], top_k=0)
    with pytest.raises(SettingError, match="flip=1 is neither yes nor no"):
        predictor.results(DIGITS[0], flip=1)
    with pytest.raises(SettingError, match="multiply by 255"):
        predictor.predict(DIGITS[:2] / 255)


def test_a_run_whose_model_is_damaged_is_refused(tmp_path):
    run = shutil.copytree(RELEASED, tmp_path / "run")
    (run / "best.keras").write_bytes((run / "best.keras").read_bytes()[:100_000])
    with pytest.raises(SettingError, match=r"best.keras cannot be opened"):
        Predictor(run)
