"""Conformal sets and OOD scores of arrays, compared with their definitions and other libraries."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from vit_keras import SettingError
from vit_keras.evaluation import abstention
from vit_keras.evaluation.logits import Outputs
from vit_keras.predict import decisions
from vit_keras.runs.abstention import (
    Abstention,
    conformal_quantile,
    images_needed,
    read_abstention,
    write_abstention,
)


def drawn(rng, count, classes=5, width=6):
    """Outputs and labels of a model that is uncertain at times; features cluster by class."""
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + 3 * np.eye(classes)[labels]
    centers = 4 * np.random.default_rng(9).normal(size=(classes, width))
    scales = np.linspace(0.1, 2, width)
    features = centers[labels] + scales * rng.normal(size=(count, width))
    return Outputs(logits.astype("float32"), features.astype("float32")), labels


def fitted(seed=0, images=400, temperature=1.0):
    rng = np.random.default_rng(seed)
    train, train_labels = drawn(rng, 100)
    validation, labels = drawn(rng, images)
    return abstention.fit(train.features, train_labels, validation, labels, temperature)


@pytest.mark.parametrize("images", [99, 100, 144, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_quantile_is_that_of_split_conformal_prediction(images, level):
    """The empirical quantile of Angelopoulos & Bates 2021, figure 2."""
    scores = np.sort(np.random.default_rng(0).random(images))
    rank = np.ceil(np.round((images + 1) * level, 9)) / images
    expected = np.quantile(scores, rank - 1e-9, method="inverted_cdf")
    assert conformal_quantile(scores, level, "coverage") == expected


def test_too_few_images_for_a_level_are_refused_by_their_number():
    assert [images_needed(level) for level in (0.9, 0.95, 0.99, 0.999)] == [9, 19, 99, 999]
    scores = np.arange(100.0)
    with pytest.raises(
        SettingError,
        match=r"coverage=0\.995 needs 199 validation images .* the run has 100; use 0\.99 at most",
    ):
        conformal_quantile(scores, 0.995, "coverage")
    for images in range(9, 300):
        most = np.floor(1000 * images / (images + 1)) / 1000  # as the message says
        conformal_quantile(np.arange(float(images)), most, "coverage")
    for level in (0, 1, -0.5, 95):
        with pytest.raises(SettingError, match=f"coverage={level} is out of range; use above 0"):
            conformal_quantile(scores, level, "coverage")
    with pytest.raises(SettingError, match="ood_quantile=high is not a number"):
        conformal_quantile(scores, "high", "ood_quantile")


def test_sets_hold_the_true_class_as_often_as_they_should():
    for coverage in (0.9, 0.95):
        observed = []
        for seed in range(20):
            test, labels = drawn(np.random.default_rng([7, seed]), 1000)
            rule = fitted(seed)
            sets = rule.decide(
                softmax(test.logits, axis=-1), rule.distances(test.features), coverage
            ).sets
            observed.append(sets[np.arange(1000), labels].mean())
        assert np.mean(observed) == pytest.approx(coverage, abs=0.01)


def test_the_ood_score_is_the_distance_to_the_kth_nearest_training_image():
    rng = np.random.default_rng(0)
    train, labels = drawn(rng, 300)
    test, _ = drawn(rng, 50)
    found = abstention.fit(train.features, labels, test, np.zeros(50, int), 1.0)
    assert found.rank == 6  # a tenth of 60 images a class
    nearest = NearestNeighbors(n_neighbors=6).fit(normalize(train.features))
    expected = nearest.kneighbors(normalize(test.features))[0][:, -1] ** 2 / 2
    np.testing.assert_allclose(found.distances(test.features), expected, atol=1e-6)
    np.testing.assert_allclose(found.ood_scores, np.sort(expected), atol=1e-6)


def test_features_of_length_0_and_few_training_images_have_a_score():
    test = Outputs(np.zeros((9, 2), "float32"), np.zeros((9, 4), "float32"))
    found = abstention.fit(np.eye(4), np.arange(4) % 2, test, np.zeros(9, int), 1.0)
    assert (found.rank, found.ood_scores.tolist()) == (1, [1.0] * 9)


def test_figures_against_other_data_are_by_their_definitions():
    rng = np.random.default_rng(0)
    own, others = rng.normal(size=300), rng.normal(1.5, size=200)
    pairs = (others[:, None] > own).mean()
    assert abstention.auroc(own, others) == pytest.approx(pairs)
    accepted = np.sort(own)[284]  # at which 285 of 300 are accepted
    assert abstention.fpr_at_95(own, others) == pytest.approx((others <= accepted).mean())


def test_the_rule_abstains_from_outliers_and_from_sets_without_one_class():
    rule = Abstention(1.0, np.linspace(0, 0.4, 199), np.arange(199.0), np.zeros((1, 1)), 1)
    least, limit = rule.least_probability(0.95), rule.ood_limit(0.99)
    assert least == pytest.approx(1 - 0.4 * 189 / 198, abs=1e-5)  # the 190th of 199
    assert limit == pytest.approx(197, rel=1e-3)  # the 198th
    probabilities = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.4, 0.35, 0.25], [0.63, 0.37, 0]])
    found = decisions.Rule(rule, 0.60, 0.99).decide(
        probabilities, np.array([5.0, 500.0, 5.0, 5.0]), ["ant", "bee", "cat"]
    )
    assert [one.reason for one in found] == ["", decisions.OUTLIER, *[decisions.NO_CLASS] * 2]
    assert [one.abstain for one in found] == [False, True, True, True]
    assert (found[0].classes, found[2].classes) == (("ant",), ())
    assert found[0].ood_percentile == pytest.approx(100 * 6 / 199)


def test_a_set_of_several_classes_names_them_in_order():
    rule = Abstention(1.0, np.linspace(0.5, 0.7, 199), np.arange(199.0), np.zeros((1, 1)), 1)
    (one,) = decisions.Rule(rule, 0.95, 0.99).decide(
        np.array([[0.33, 0.2, 0.47]]), np.array([0.0]), ["ant", "bee", "cat"]
    )
    assert (one.classes, one.reason) == (("cat", "ant"), decisions.SEVERAL)


def test_what_is_kept_is_whole_and_of_the_runs_temperature(tmp_path):
    rule, file = fitted(temperature=1.5), tmp_path / "abstention.npz"
    assert read_abstention(tmp_path, 1.5) is None
    write_abstention(file, rule)
    found = read_abstention(tmp_path, 1.5)
    for name, value in vars(rule).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert read_abstention(tmp_path, 1.0) is None
    assert found.summary["least_probability"].keys() == {"0.9", "0.95", "0.99"}
    for content in (file.read_bytes()[:500], b""):
        file.write_bytes(content)
        with pytest.raises(SettingError, match=r"abstention\.npz is damaged .* evaluate the run"):
            read_abstention(tmp_path, 1.5)
