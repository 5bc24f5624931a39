"""Sampling draws classes as often as it says, and the images of a class equally often."""

import numpy as np
import pytest

from vit_keras import SettingError
from vit_keras.data.sampling import check_classes, epoch_order

SIZES = (400, 100, 25)  # roots: 20, 10, 5
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], SIZES))
EXPECTED = {"none": SIZES, "balanced": (175, 175, 175), "sqrt": (300, 150, 75)}


def drawn(sampling, seed=0, epoch=0):
    return epoch_order(LABELS, sampling, np.random.default_rng([seed, epoch]))


def test_without_sampling_the_order_is_that_of_earlier_versions():
    np.testing.assert_array_equal(drawn("none"), np.random.default_rng([0, 0]).permutation(525))


@pytest.mark.parametrize("sampling", EXPECTED)
def test_classes_are_drawn_as_often_as_the_setting_says(sampling):
    order = drawn(sampling)
    assert len(order) == len(LABELS)
    assert tuple(np.bincount(LABELS[order])) == EXPECTED[sampling]
    for label in range(3):  # each image as often as any other of its class, or once more
        times = np.bincount(order, minlength=len(LABELS))[label == LABELS]
        assert times.max() - times.min() <= 1


def test_the_order_follows_from_seed_and_epoch():
    np.testing.assert_array_equal(drawn("sqrt", 1, 2), drawn("sqrt", 1, 2))
    first, second = (set(drawn("balanced", 1, epoch)) for epoch in (0, 1))
    # Of the 400 images of the largest class 175 in an epoch, and others in the next one.
    assert len(first | second) > len(first) + 50


def test_classes_without_images_are_refused():
    names = ["ant", "bee", "cat", "dog"]
    check_classes(LABELS, names, "none")
    with pytest.raises(SettingError, match=r"data\.sampling=sqrt cannot draw images of dog: "):
        check_classes(LABELS, names, "sqrt")
