"""`vit-keras soup`: weights are averaged where that validates better, and never else."""

import json
import shutil

import numpy as np
import pytest

from helpers.fake_runs import RELEASED
from vit_keras import SettingError, build_vit, open_run
from vit_keras.training.soup import greedy_soup, make_soup
from vit_keras.training.soup_checks import check_soup


def test_a_greedy_soup_takes_what_does_not_make_it_worse():
    """By Recipe 1 on models of one weight, whose best value is 0."""
    weights = [[np.array([value])] for value in (3.0, -1.0, 4.0, 1.0, -7.0)]

    def validate(values):
        return -float(abs(values[0][0]))

    soup = greedy_soup(weights, [validate(one) for one in weights], validate)
    assert soup.ingredients == [1, 3]  # 3 alone would make the mean 1, and -7 -3
    assert soup.accuracy == 0
    np.testing.assert_array_equal(soup.weights[0], [0])


def test_a_soup_of_nothing_better_is_the_best_model():
    weights = [[np.array([value])] for value in (0.0, 3.0, 4.0)]
    soup = greedy_soup(weights, [0.0, -3.0, -4.0], lambda values: -float(abs(values[0][0])))
    assert soup.ingredients == [0]


def test_runs_that_cannot_be_averaged_are_refused(tmp_path):
    for name in ("one", "other"):
        shutil.copytree(RELEASED, tmp_path / name)
    with pytest.raises(SettingError, match=r"one is one run; name two or more"):
        check_soup([tmp_path / "one"])
    with pytest.raises(SettingError, match=r"one is named twice"):
        check_soup([tmp_path / "one", tmp_path / "other", tmp_path / "one"])
    file = tmp_path / "other" / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "data_fingerprint": "another"}))
    with pytest.raises(SettingError, match=r"other was trained on other images than .*one"):
        check_soup([tmp_path / "one", tmp_path / "other"])


@pytest.mark.slow
def test_a_soup_is_a_run_of_its_own(tmp_path, monkeypatch):
    """Two runs on either side of a good one, and a third that no soup should have."""
    rng, good = np.random.default_rng(0), open_run(RELEASED).model.get_weights()
    noise = [rng.normal(0, 0.6 * one.std() + 1e-3, one.shape) for one in good]
    for name, factor in {"a": 1, "b": -1, "c": 8}.items():
        shutil.copytree(RELEASED, tmp_path / name)
        model = open_run(RELEASED).model
        moved = [one + factor * step for one, step in zip(good, noise, strict=True)]
        model.set_weights([one.astype("float32") for one in moved])
        model.save(tmp_path / name / "best.keras")
    runs = [tmp_path / name for name in "abc"]
    result = make_soup(runs, tmp_path / "soup")
    origin = json.loads((tmp_path / "soup" / "soup.json").read_text())
    assert sorted(origin["ingredients"]) == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert result.metrics["best_val_accuracy"] > max(origin["val_accuracies"].values())
    saved = open_run(tmp_path / "soup")
    for found, expected in zip(saved.model.get_weights(), good, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert make_soup([RELEASED, tmp_path / "c"], tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    sizes = dict(image_size=8, channels=1, num_classes=10, patch_size=4, width=8, mlp_dim=8)
    build_vit(None, depth=1, num_heads=1, **sizes).save(tmp_path / "c" / "best.keras")
    with pytest.raises(SettingError, match=r"c and .*a have different architectures, width=8 and"):
        make_soup(runs[::2], tmp_path / "none")
