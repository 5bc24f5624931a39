"""Drift is found where images differ, and not where they are of the same source."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import rbf_kernel

from helpers.paths import SAVED_MODELS
from vit_keras import SettingError
from vit_keras.cli import drift as command
from vit_keras.data.splits import load_splits
from vit_keras.evaluation.drift import Sample, class_share_test, compare, mmd_test
from vit_keras.evaluation.drift_data import find_drift, input_figures
from vit_keras.runs.saved_run import open_run

RUN = SAVED_MODELS / "digits"


def sample(rng, count=120, shift=0.0):
    logits = rng.normal(size=(count, 4))
    odds = np.exp(logits)
    return Sample(
        rng.normal(size=(count, 8)) + shift,
        odds / odds.sum(axis=-1, keepdims=True),
        {"brightness": rng.normal(size=count) + shift},
    )


def test_the_mmd_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1
    together = np.concatenate([ours, theirs])
    squared = ((together[:, None] - together[None]) ** 2).sum(-1)
    gamma = 1 / np.median(squared[np.triu_indices(12, 1)])
    within = rbf_kernel(ours, gamma=gamma).sum() - 7
    others = rbf_kernel(theirs, gamma=gamma).sum() - 5
    expected = within / 42 + others / 20 - 2 * rbf_kernel(ours, theirs, gamma=gamma).mean()
    assert mmd_test(ours, theirs, rng, 9).statistic == pytest.approx(expected)


def test_equal_sources_rarely_alarm_and_shifted_ones_always():
    alarms, p_values = 0, []
    for draw in range(20):
        rng = np.random.default_rng(draw)
        found = compare(sample(rng), sample(rng), seed=draw)
        alarms += found.has_drifted
        p_values.append(found.tests[0].p_value)
    assert alarms <= 1
    assert sum(p > 0.05 for p in p_values) >= 18
    shifted = compare(sample(rng), sample(rng, shift=1.0))
    assert shifted.has_drifted
    assert {t.name for t in shifted.tests if t.p_value < 0.01} == {
        *("MMD of embeddings", "domain classifier", "brightness"),
    }


def test_class_shares_are_compared_by_chi_squared():
    """By the formula for a table of four, with Yates' correction: n (|ad - bc| - n/2)^2 / ..."""
    ours, theirs = np.eye(2)[[0] * 10 + [1] * 20], np.eye(2)[[0] * 20 + [1] * 20]
    found = class_share_test(ours, theirs)
    assert found.statistic == pytest.approx(70 * (200 - 35) ** 2 / (30 * 40 * 30 * 40))
    assert class_share_test(ours[:5], ours[:9]).p_value == 1.0


def test_a_blurred_image_is_less_sharp():
    image = (load_digits().images[0] * 15)[..., None]
    blurred = np.repeat(image.mean(axis=1, keepdims=True), 8, axis=1)
    assert input_figures(blurred)["sharpness"] < input_figures(image)["sharpness"] / 2
    assert input_figures(image)["brightness"] == pytest.approx(image.mean())


@pytest.fixture(scope="module")
def test_images():
    """(n, 8, 8) of the released run's test split."""
    config = open_run(RUN).config
    return load_splits(config.data, config.train.seed).test.images[..., 0]


def write(folder, images):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.round().astype("uint8")).save(folder / f"{number:04}.png")
    return str(folder)


def test_held_out_images_have_not_drifted_and_dark_ones_have(test_images, tmp_path, capsys):
    parser = command.arguments.build_parser("drift", command.add_arguments)
    words = [str(RUN), write(tmp_path / "same", test_images), "--output", str(tmp_path / "a.json")]
    settings = parser.parse_args(words)
    command.check(settings)
    command.drift(settings)
    assert "no drift: 359 images, compared with 144 of the run" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["has_drifted"] is False
    dark = parser.parse_args([str(RUN), write(tmp_path / "dark", test_images // 2), "--exit-code"])
    command.check(dark)
    with pytest.raises(SystemExit) as ended:
        command.drift(dark)
    assert ended.value.code == 1
    assert "DRIFT: 359 images" in capsys.readouterr().out


def test_too_few_images_are_refused(test_images, tmp_path):
    folder = write(tmp_path / "few", test_images[:3])
    files = command.inputs.find_image_files([folder])
    with pytest.raises(SettingError, match=r"images=...: 3 images, too few for a test"):
        find_drift(RUN, files)
