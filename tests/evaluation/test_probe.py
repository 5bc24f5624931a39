"""kNN and linear probes are scikit-learn's, on the features of runs and of pretrained weights."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from helpers.paths import SAVED_MODELS
from vit_keras import SettingError
from vit_keras.evaluation import probe
from vit_keras.evaluation.probe_data import probe_config
from vit_keras.runs.abstention import unit_length

PIXELS, LABELS = load_digits(return_X_y=True)


def test_knn_is_scikit_learns_with_the_votes_of_dino():
    units = unit_length(PIXELS)
    train, test = slice(0, 400), slice(400, 900)
    by_distance = KNeighborsClassifier(
        20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    expected = by_distance.fit(units[train], LABELS[train]).predict(units[test])
    found = probe.knn_predict(units[train], LABELS[train], units[test], 10, 20)
    np.testing.assert_array_equal(found, expected)
    few = probe.knn_predict(units[:5], LABELS[:5], units[:5], 10, 20)  # fewer than k
    np.testing.assert_array_equal(few, LABELS[:5])


def test_the_probe_takes_the_best_c_of_the_validation_images(monkeypatch):
    scaled = (PIXELS - 8) / 8
    monkeypatch.setattr(probe, "STRENGTHS", (1e-4, 0.1))
    fitted, accuracies = probe.fit_probe(
        scaled[:300], LABELS[:300], scaled[300:500], LABELS[300:500]
    )
    alone = LogisticRegression(C=0.1, max_iter=300).fit(scaled[:300], LABELS[:300])
    assert fitted.C == 0.1  # which began with the weights of the smaller one
    assert (fitted.predict(scaled[500:]) == alone.predict(scaled[500:])).mean() > 0.99
    assert accuracies["0.1"] == fitted.score(scaled[300:500], LABELS[300:500])
    assert accuracies["0.0001"] < accuracies["0.1"]


@pytest.mark.slow
def test_a_run_and_a_handle_are_probed_on_data_of_other_classes():
    words = ["data=digits", "data.limit=300", "data.classes=[1,4,7]"]
    report = probe.probe(SAVED_MODELS / "digits", words)
    assert report["knn"]["accuracy"] > 0.9
    assert report["linear"]["accuracy"] > 0.9
    assert report["classes"] == 3
    assert report["images"]["test"] + report["images"]["train"] < 400
    by_handle = probe.probe(SAVED_MODELS / "digits" / "best.keras", words)
    assert by_handle["fingerprint"] == report["fingerprint"]
    assert by_handle["data_fingerprint"] == report["data_fingerprint"]
    assert by_handle["linear"]["accuracy"] == report["linear"]["accuracy"]
    first, *_, last = probe.describe(report).splitlines()
    assert first.split() == ["validation", "test", "95%", "interval", "seconds"]
    assert last.startswith("features of ")


def test_what_cannot_be_probed_is_refused():
    model = SAVED_MODELS / "digits" / "best.keras"
    with pytest.raises(SettingError, match="is no run, which has data of its own; name them"):
        probe_config(model)
    with pytest.raises(SettingError, match=r"train\.epochs=3 is no setting of the data"):
        probe_config(model, ["train.epochs=3"])
    with pytest.raises(SettingError, match=r"data\.several_labels=true has no kNN accuracy"):
        probe_config(model, ["data=digits", "data.several_labels=true"])
    with pytest.raises(SettingError, match=r"data\.path=nowhere"):
        probe_config(model, ["data=folder", "data.path=nowhere"])
