"""Metrics, calibration and corruptions, compared with independent implementations."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn import metrics

from vit_keras.evaluation import calibration, corruptions
from vit_keras.evaluation import metrics as evaluation_metrics
from vit_keras.runs import accuracy

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
WILSON = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0000, 0.1611),
    (1, 29): (0.0061, 0.1718),
}


@pytest.mark.parametrize(("counts", "interval"), WILSON.items())
def test_intervals_are_wilsons(counts, interval):
    assert accuracy.wilson_interval(*counts) == pytest.approx(interval, abs=5e-5)


def test_the_interval_of_a_difference_is_newcombes():
    """Newcombe 1998, table II, method 10: 56 of 70 and 48 of 80."""
    found = accuracy.difference_interval((56, 70), (48, 80))
    assert found == pytest.approx([0.0524, 0.3339], abs=5e-5)
    low, high = accuracy.difference_interval((5, 6), (4, 6))
    assert low < 0 < high


def drawn(images=400, classes=7, seed=0):
    """Logits that are right more often than not; the last class is never predicted."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) + 2 * np.eye(classes)[labels]
    logits[:, -1] = -9
    return logits.astype("float32"), labels


def test_overall_scores_are_scikit_learns():
    logits, labels = drawn()
    found = evaluation_metrics.overall_metrics(logits, labels, list("abcdefg"))
    predicted = logits.argmax(axis=-1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    order = np.argsort(-logits, axis=-1)[:, :5]
    assert found["top5_accuracy"] == pytest.approx((order == labels[:, None]).any(axis=-1).mean())
    probabilities = softmax(logits.astype("float64"), axis=-1)
    assert found["loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    low, high = found["accuracy_interval"]
    assert low < found["accuracy"] < high
    balanced = metrics.balanced_accuracy_score(labels, predicted)
    assert found["balanced_accuracy"] == pytest.approx(balanced)


def test_a_class_without_images_is_left_out_of_the_scores_of_classes():
    scores = accuracy.class_scores([9, 0, 2, 1], [10, 0, 4, 2], ["ant", "bee", "cat", "dog"])
    assert scores == {
        "balanced_accuracy": pytest.approx((0.9 + 0.5 + 0.5) / 3),
        "class_imbalance": 5,
        "worst_class": "cat",  # of two, the one with more images
        "worst_class_images": 4,
        "worst_class_recall": 0.5,
    }


def test_the_headline_names_what_accuracy_hides():
    """475 good parts and 25 defects, none of which is found."""
    defects = accuracy.class_scores([475, 0], [475, 25], ["good", "defect\n"])
    assert accuracy.class_text(defects) == (
        ", balanced accuracy 0.5000, worst class 'defect\\n' 0.0000 (0 of 25)"
    )
    assert accuracy.class_text(accuracy.class_scores([9, 5], [10, 5], ["a", "b"])) == ""
    assert accuracy.class_text({"accuracy": 0.9}) == ""  # of an earlier version


def test_few_images_are_said_to_be_few():
    assert accuracy.interval_text(accuracy.wilson_interval(5, 6), 6) == (
        "95% interval 0.4365 to 0.9699 on 6 images, too few to tell"
    )
    assert "too few" not in accuracy.interval_text([0.5, 0.9], 30)
    assert accuracy.wilson_interval(0, 0) == [0, 1]


def test_a_top_5_of_five_classes_says_nothing():
    found = evaluation_metrics.overall_metrics(*drawn(classes=5), list("abcde"))
    assert found["top5_accuracy"] is None
    assert found["top5_interval"] is None


def test_each_class_by_hand():
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    ant, bee, cat = evaluation_metrics.per_class_metrics(labels, predicted, ["ant", "bee", "cat"])
    assert (ant["images"], ant["precision"], ant["recall"]) == (3, 2 / 4, 2 / 3)
    assert ant["f1"] == pytest.approx(4 / 7)
    assert (bee["precision"], bee["recall"], bee["f1"]) == (1 / 2, 1 / 2, 1 / 2)
    assert (cat["precision"], cat["recall"], cat["f1"]) == (None, 0, 0)  # never predicted
    matrix = evaluation_metrics.confusion_matrix(labels, predicted, 3)
    assert matrix.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    pairs = evaluation_metrics.confused_pairs(matrix, ["ant", "bee", "cat"])
    assert [(pair["class"], pair["predicted"], pair["images"]) for pair in pairs] == [
        ("ant", "bee", 1),
        ("bee", "ant", 1),
        ("cat", "ant", 1),
    ]
    assert pairs[1]["share"] == 0.5


def test_most_confident_errors_come_first():
    logits = np.log([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]).astype("float32")
    assert evaluation_metrics.most_confident_errors(
        logits, np.array([1, 1, 1, 0]), 1.0
    ).tolist() == [0, 3, 1]


def test_the_calibration_error_by_hand():
    """Bins of 1/15: two at 0.95, of which one is right, one right at 0.62, one wrong at 0.52."""
    confidence, is_right = np.array([0.95, 0.62, 0.95, 0.52]), np.array([1, 1, 0, 0], bool)
    bins = calibration.reliability_bins(confidence, is_right)
    assert [part.images for part in bins] == [0] * 7 + [1, 0, 1, 0, 0, 0, 0, 2]
    expected = (2 * abs(0.5 - 0.95) + abs(1 - 0.62) + abs(0 - 0.52)) / 4
    assert calibration.expected_calibration_error(bins) == pytest.approx(expected)
    assert (bins[14].accuracy, bins[14].confidence) == (0.5, pytest.approx(0.95))
    assert bins[0].accuracy is None


def test_a_bin_has_its_upper_end():
    bins = calibration.reliability_bins(np.array([0.2, 0.5, 1.0]), np.ones(3, bool), bins=2)
    assert [part.images for part in bins] == [2, 1]


def test_the_temperature_that_logits_were_scaled_by_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 10))
    labels = (rng.random((20_000, 1)) > softmax(logits, axis=-1).cumsum(axis=-1)).sum(axis=-1)
    labels = np.minimum(labels, 9)
    for scale in (0.5, 1.0, 3.0):
        found = calibration.fit_temperature(scale * logits, labels)
        assert found.value == pytest.approx(scale, rel=0.03)
        assert found.calibrated_loss <= found.loss
        assert found.note.startswith("left at 1" if scale == 1 else "")
        assert (found.value == 1) == (scale == 1)
    confidence = calibration.confidences(3 * logits, found.value)
    is_right = logits.argmax(axis=-1) == labels
    bins = calibration.reliability_bins(confidence, is_right)
    assert calibration.expected_calibration_error(bins) < 0.02


def test_temperature_is_1_where_it_cannot_be_fitted():
    labels = np.arange(10)
    found = calibration.fit_temperature(3 * np.eye(10), labels)
    assert found.value == 1
    assert "every validation image is right" in found.note
    found = calibration.fit_temperature(-3 * np.eye(10), labels)
    assert found.value == 1
    assert "worse than a guess" in found.note


def drawn_from(rng, images, scale):
    """Logits of a model that is calibrated but for their `scale`, and labels."""
    logits = rng.normal(scale=2, size=(images, 10))
    odds = softmax(logits, axis=-1).cumsum(axis=-1)
    return scale * logits, np.minimum((rng.random((images, 1)) > odds).sum(axis=-1), 9)


@pytest.mark.parametrize("images", [6, 30, 99])
def test_too_few_images_leave_the_temperature_at_1(images):
    found = calibration.fit_temperature(*drawn_from(np.random.default_rng(0), images, 3.0))
    assert found.value == 1
    assert f"{images} validation images are too few to fit it, which takes 100" in found.note


def test_a_temperature_without_a_certain_gain_is_1():
    """Of a calibrated model; the minimum of the likelihood is somewhere else by chance."""
    rng = np.random.default_rng(0)
    found = [calibration.fit_temperature(*drawn_from(rng, 200, 1.0)) for _ in range(40)]
    kept = [one for one in found if one.value != 1]
    assert len(kept) <= 2
    for one in set(found) - set(kept):
        assert "does not reliably improve the 200 validation images" in one.note
        assert one.gain <= one.gain_error


def test_the_cross_validated_gain_is_of_images_that_were_held_out():
    """One error among certain predictions: the minimum over all images, a loss for that one."""
    labels = np.arange(200) % 10
    logits = 8.0 * np.eye(10)[labels]
    logits[7] = np.roll(logits[7], 1)
    gain, _ = calibration.cross_validated_gain(logits, labels)
    assert gain < 0
    assert calibration.fit_temperature(logits, labels).value == 1


def test_a_temperature_stays_within_its_bounds():
    logits, labels = drawn_from(np.random.default_rng(0), 500, 100.0)
    found = calibration.fit_temperature(logits, labels)
    assert found.value == pytest.approx(5, rel=1e-3)
    assert found.gain > found.gain_error


def photos(count=6, size=(20, 30, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *size)).astype("uint8")


def worse(kind, amount, images=None):
    images = photos() if images is None else images
    return corruptions.CorruptedImages(images, kind, amount, seed=3)[:]


def test_strengths_are_the_published_ones():
    """github.com/hendrycks/robustness, make_cifar_c.py and make_imagenet_c.py, severities 1 3 5."""
    small, large = (9, 32, 32, 3), (9, 224, 224, 3)
    assert corruptions.amounts("noise", small) == (0.04, 0.08, 0.10)
    assert corruptions.amounts("noise", large) == (0.08, 0.18, 0.38)
    assert corruptions.amounts("blur", small) == (0.4, 0.7, 1.0)
    assert corruptions.amounts("blur", large) == (1, 3, 6)
    assert corruptions.amounts("jpeg", small) == (80, 58, 40)
    assert corruptions.amounts("jpeg", large) == (25, 15, 7)
    assert corruptions.amounts("brightness", small) == (0.05, 0.15, 0.3)
    assert corruptions.amounts("brightness", large) == (0.1, 0.3, 0.5)


def test_noise_has_its_deviation_and_is_an_images_own():
    grey = np.full((4, 100, 100, 3), 128, "uint8")
    noisy = worse("noise", 0.1, grey)
    assert (noisy / 255).std() == pytest.approx(0.1, rel=0.02)
    assert not np.array_equal(noisy[0], noisy[1])
    images = corruptions.CorruptedImages(grey, "noise", 0.1, seed=3)
    np.testing.assert_array_equal(np.concatenate([images[:3], images[3:9]]), noisy)
    assert not np.array_equal(corruptions.CorruptedImages(grey, "noise", 0.1, seed=4)[:], noisy)


def test_blur_is_a_gaussian():
    point = np.zeros((1, 21, 21, 1), "uint8")
    point[0, 10, 10] = 255
    wave = np.exp(-(np.arange(-10, 11) ** 2) / 2)
    expected = np.outer(wave, wave) / wave.sum() ** 2 * 255
    np.testing.assert_allclose(worse("blur", 1.0, point)[0, ..., 0], expected, atol=0.51)


def test_jpeg_is_pillows():
    file = io.BytesIO()
    Image.fromarray(photos()[2]).save(file, "JPEG", quality=58)
    np.testing.assert_array_equal(worse("jpeg", 58)[2], np.asarray(Image.open(file)))
    grey = photos(size=(8, 8, 1))
    assert worse("jpeg", 58, grey).shape == grey.shape


def test_brightness_is_hsvs_value():
    image = photos(1, (5, 5, 3))
    image[0, 0] = 0
    found = worse("brightness", 0.3, image)[0].reshape(-1, 3)
    for before, after in zip(image[0].reshape(-1, 3), found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before / 255)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))
        np.testing.assert_allclose(after / 255, expected, atol=0.51 / 255)


@pytest.mark.parametrize("kind", corruptions.CORRUPTIONS)
def test_a_fourth_channel_stays(kind):
    images = photos(size=(8, 8, 4))
    found = worse(kind, corruptions.amounts(kind, images.shape)[2], images)
    np.testing.assert_array_equal(found[..., 3], images[..., 3])
    assert not np.array_equal(found[..., :3], images[..., :3])
