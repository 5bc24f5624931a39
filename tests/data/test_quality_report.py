"""The data report before training: labels, rare classes and pixel statistics."""

import keras
import numpy as np
import pytest

from vit_keras.data import quality_report
from vit_keras.data.dataset import Finding, Split, Splits
from vit_keras.model import preprocessing

NAMES = ["ant", "bee", "cat"]


def split(labels, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 5, 6, 3)).astype("uint8")
    return Split(images, np.array(labels, "int32"))


def splits(**changed):
    parts = {name: split([0, 1, 2] * 4) for name in ("train", "validation", "test")}
    return Splits(**{**parts, "class_names": NAMES, **changed})


def test_nothing_is_said_of_good_data():
    assert quality_report.label_problems(splits()) == []


def test_a_class_that_a_split_lacks_is_named():
    (problem,) = quality_report.label_problems(splits(test=split([0, 0, 2])))
    assert problem == "the test split has no image of bee"


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_off_the_mapping_are_counted(wrong):
    (problem,) = quality_report.label_problems(splits(validation=split([0, 1, 2, wrong, wrong])))
    for phrase in ("2 labels of the validation split", "0 to 2", str(wrong)):
        assert phrase in problem


def test_a_class_of_one_picture_is_named():
    part = split([0, 1, 2] * 4)
    part.images[part.labels == 1] = 77
    (problem,) = quality_report.label_problems(splits(train=part))
    assert problem == "all images of the train split are the same of bee"


def test_one_image_of_a_class_is_not_a_label_problem():
    assert quality_report.label_problems(splits(test=split([0, 1, 2]))) == []


def test_many_classes_are_named_in_part():
    names = [f"class {index}" for index in range(9)]
    part = split(list(range(9)))
    lacking = Splits(part, split([0]), part, names)
    (problem,) = quality_report.label_problems(lacking)
    assert problem.endswith("class 1, class 2, class 3, class 4, class 5 and 3 more")


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_the_pixels(channels):
    images = np.random.default_rng(0).normal(100, 30, (50, 7, 5, channels)).clip(0, 255)
    images = images.astype("uint8")
    mean, std = quality_report.channel_statistics(Split(images, np.zeros(50, "int32")))
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-9)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-6)


def test_a_sample_is_spread_over_all():
    images = np.repeat(np.arange(200, dtype="uint8"), 12).reshape(200, 2, 2, 3)
    mean, _ = quality_report.channel_statistics(Split(images, np.zeros(200, "int32")), count=20)
    np.testing.assert_allclose(mean, 99.5 / 255, atol=0.5 / 255)


def test_the_models_own_normalisation_is_said_beside():
    pixels = keras.Input((8, 8, 3))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    model = keras.Model(pixels, preprocessing.normalization(mean, std)(pixels))
    said = quality_report.pixel_statistics(split([0]), model)
    assert "the model normalises by mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in said


def test_pixel_statistics_of_a_model_without_normalization():
    pixels = keras.Input((8, 8, 3))
    assert "model" not in quality_report.pixel_statistics(split([0]), keras.Model(pixels, pixels))


def test_each_kind_of_finding_has_a_line_with_two_examples():
    skipped = [Finding("skipped", f"{i}.png", "", "ant", "an empty file") for i in range(5)]
    twice = Finding("duplicate", "a.png", "test", "ant", "", "b\n.png", "train", "ant")
    first, second = quality_report.summary([*skipped, twice])
    assert first == (
        "5 files cannot be used and were skipped: 0.png (an empty file), 1.png (an empty file)"
    )
    assert second.endswith(
        r"in two splits, so that test metrics are too good (data leakage): a.png ('b\n.png')"
    )


def test_an_imbalance_of_one_to_ten_is_reported_with_what_to_set():
    nine, ten = (splits(train=split([0] * 2 * n + [1] * 5 + [2] * 2)) for n in (9, 10))
    assert quality_report.imbalance(nine) == []
    (line,) = quality_report.imbalance(ten)
    assert line == (
        "ant has 10 times the images of cat to train on (20 and 2); see "
        "train.class_weight=balanced or data.sampling=sqrt, and train.monitor=val_balanced_accuracy"
    )
    assert quality_report.imbalance(splits(train=split([0] * 9))) == []


def test_classes_that_are_several_labels_in_one_are_named():
    names = ["cat", "cat;dog", "dog; owl", "owl", "Äpfel, reif"]
    (line,) = quality_report.joined_labels(splits(class_names=names))
    assert line == (
        "2 classes may be several labels in one: cat;dog, dog; owl; see task=multilabel"
    )
    assert quality_report.joined_labels(splits(class_names=["Dogs, big", "Dogs, small"])) == []
