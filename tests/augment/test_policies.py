"""Augmentation policies sample the published operations, counts and magnitudes."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from vit_keras.augment import policies, prng
from vit_keras.augment.ops import CODES
from vit_keras.config.schema import AugmentConfig

pytestmark = pytest.mark.jax

IMAGES = 20_000
SIZE = (224, 320)
NAMES = {code: name for name, code in CODES.items()}
BLENDS = ("brightness", "color", "contrast", "sharpness")
PLAIN = ("identity", "autocontrast", "equalize")
# torchvision's RandAugment: the strength of the last of 31 bins; of solarize, of the first.
RANDAUGMENT = {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30, **dict.fromkeys(BLENDS, 0.9)}
RANDAUGMENT |= {"translate_x": 150 / 331 * 320, "translate_y": 150 / 331 * 224}
TRIVIAL = {"shear_x": 0.99, "shear_y": 0.99, "rotate": 135, **dict.fromkeys(BLENDS, 0.99)}
TRIVIAL |= {"translate_x": 32, "translate_y": 32}


def drawn(**settings):
    """[(names, strengths)] of each step, for IMAGES images."""
    uniform = prng.random_numbers(prng.make_key(5), IMAGES, ["policy"])["policy"]
    steps = policies.policy_steps(AugmentConfig(**settings), uniform, SIZE)
    result = []
    for step in steps:
        codes, strength = (ops.convert_to_numpy(part) for part in step[:2])
        names = np.array([NAMES[code] for code in codes])
        assert set(names) <= {*step.possible, "identity"}
        result.append((names, strength))
    return result


def evenly(names, count):
    found, often = np.unique(names, return_counts=True)
    assert len(found) == count
    return stats.chisquare(often).pvalue > 1e-4


@pytest.mark.parametrize("magnitude", [0, 9, 17, 30])
def test_randaugment_draws_fourteen_operations_evenly_at_one_strength(magnitude):
    steps = drawn(policy="randaugment", policy_ops=3, policy_magnitude=magnitude)
    assert len(steps) == 3
    for names, strength in steps:
        assert evenly(names, 14)
        for name, most in RANDAUGMENT.items():
            expected = most * magnitude / 30
            if name.startswith("translate"):
                expected = int(expected)
            found = strength[names == name]
            np.testing.assert_allclose(np.abs(found), expected, rtol=1e-6)
            assert magnitude == 0 or abs((found > 0).mean() - 0.5) < 0.07
        np.testing.assert_array_equal(
            strength[names == "posterize"], {0: 8, 9: 7, 17: 6, 30: 4}[magnitude]
        )
        np.testing.assert_allclose(strength[names == "solarize"], 255 * (1 - magnitude / 30))
    pairs = [" ".join(pair) for pair in zip(steps[0][0], steps[1][0], strict=True)]
    assert evenly(pairs, 14 * 14)


def test_trivialaugment_draws_any_strength_of_the_wide_space_evenly():
    ((names, strength),) = drawn(policy="trivial_augment")
    assert evenly(names, 14)
    for name, most in TRIVIAL.items():
        found = np.abs(strength[names == name])
        bins = np.linspace(0, most, 31)
        bins = np.trunc(bins) if name.startswith("translate") else bins
        np.testing.assert_allclose(np.unique(found), np.unique(bins), rtol=1e-5)
        assert abs(np.median(found) - most / 2) < most / 10
    assert set(strength[names == "posterize"]) == {2, 3, 4, 5, 6, 7, 8}
    np.testing.assert_allclose(
        np.unique(strength[names == "solarize"]), np.linspace(0, 255, 31), rtol=1e-5
    )
    assert all(not strength[names == name].any() for name in PLAIN)


def test_autoaugment_applies_each_operation_as_often_as_published():
    """Cubuk et al. 2019, table 7: the mean of the probabilities over 25 pairs."""
    first, second = drawn(policy="autoaugment_cifar10")
    published = {
        "shear_y": (0.5 + 0.2, 0),
        "translate_x": (0, 0.3 + 0.5),
        "translate_y": (0.4 + 0.9 + 0.7, 0.7 + 0.7),
        "rotate": (0.7, 0),
        "brightness": (0.9 + 0.1, 0.6 + 0.7),
        "color": (0.4 + 0.7 + 0.9, 0.2 + 0.7),
        "contrast": (0.6, 0.2),
        "sharpness": (0.8 + 0.3, 0.9 + 0.6 + 0.2),
        "posterize": (0, 0.3),
        "autocontrast": (0.5 + 0.8 + 0.9, 0.4 + 0.6 + 0.9 + 0.9),
        "equalize": (0.6 + 0.3 + 0.2 + 0.2 + 0.8, 0.9 + 0.5 + 0.6 + 0.6),
        "solarize": (0.1 + 0.5 + 0.4, 0.2 + 0.8 + 0.0 + 0.1),  # the first 0.1 and last are invert
    }
    for name, shares in published.items():
        for (names, _), share in zip((first, second), shares, strict=True):
            expected = share / 25
            deviation = np.sqrt(expected * (1 - expected) / IMAGES)
            assert abs((names == name).mean() - expected) <= 5 * deviation, name
    strengths = {
        ("rotate", 0): {30 * 2 / 9},
        ("translate_x", 1): {int(150 / 331 * 320), int(150 / 331 * 320 * 8 / 9)},
        ("posterize", 1): {5},
        ("sharpness", 0): {0.9 * 1 / 9, 0.9 * 9 / 9},
        ("solarize", 0): {0, 255 * 7 / 9, 255 * 4 / 9},
    }
    for (name, slot), expected in strengths.items():
        names, strength = (first, second)[slot]
        found = np.unique(np.abs(strength[names == name]).round(3))
        np.testing.assert_allclose(found, sorted(expected), atol=1e-3)


def test_three_augment_draws_one_of_three_evenly():
    ((names, strength),) = drawn(policy="three_augment")
    assert evenly(names, 3)
    assert set(strength[names == "color"]) == {-1}
    assert set(strength[names == "solarize"]) == {128}
    blurs = strength[names == "blur"]
    assert stats.kstest(blurs, stats.uniform(0.1, 1.9).cdf).pvalue > 1e-4


def test_no_policy_has_no_steps():
    assert drawn() == []


def test_jitter_is_torchvisions_in_an_order_of_its_own_for_each_image():
    uniform = prng.random_numbers(prng.make_key(5), IMAGES, ["jitter"])["jitter"]
    steps = policies.jitter_steps([0.4, 0.0, 1.0, 0.1], uniform)
    codes = np.stack([ops.convert_to_numpy(step.operation) for step in steps], axis=1)
    strength = np.stack([ops.convert_to_numpy(step.strength) for step in steps], axis=1)
    assert evenly(["-".join(NAMES[code] for code in row) for row in codes], 6)
    for name, most in {"brightness": 0.4, "color": 1.0, "hue": 0.1}.items():
        found = strength[codes == CODES[name]]
        assert len(found) == IMAGES
        assert stats.kstest(found, stats.uniform(-most, 2 * most).cdf).pvalue > 1e-4
    assert policies.jitter_steps([0.0, 0.0, 0.0, 0.0], uniform) == []
