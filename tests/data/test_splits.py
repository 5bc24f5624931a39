"""Splits are complete, disjoint and reproducible."""

import dataclasses
import json
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.paths import SAVED_MODELS
from vit_keras import SettingError, load_config
from vit_keras.config.schema import DataConfig
from vit_keras.data import dataset, registry
from vit_keras.data.splits import load_splits, train_image_count

SPLITS = ("train", "validation", "test")


def digits(seed=0, **settings):
    return load_splits(DataConfig(**settings), seed)


def contents(*splits):
    """How often each (pixels, label) occurs; no two of the digits are alike."""
    return Counter(
        (image.tobytes(), int(label))
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )


def published_digits():
    """(1797, 8, 8, 1) with 0..16 spread over 0..255, and labels (1797,)."""
    bunch = load_digits()
    return dataset.Split(np.rint(bunch.images / 16 * 255).astype("uint8")[..., None], bunch.target)


def assert_in_proportion(part, whole):
    """Each class has its share of `part`, to within one image."""
    share = np.bincount(whole, minlength=10) * len(part) / len(whole)
    assert np.abs(np.bincount(part, minlength=10) - share).max() <= 1


def test_each_digit_is_in_one_split():
    splits = digits()
    parts = [getattr(splits, name) for name in SPLITS]
    sizes = [len(part.labels) for part in parts]
    assert sizes == [1797 - 359 - 144, 144, 359]  # a fifth to test on, a tenth of the rest
    assert contents(*parts) == contents(published_digits())
    for part in parts:
        assert (part.images.dtype, part.labels.dtype) == ("uint8", "int32")


@pytest.mark.parametrize("seed", range(5))
def test_digits_are_split_in_proportion(seed):
    splits = digits(seed)
    assert_in_proportion(splits.test.labels, load_digits().target)
    rest = np.concatenate([splits.train.labels, splits.validation.labels])
    assert_in_proportion(splits.validation.labels, rest)


def test_one_seed_gives_one_split():
    assert digits(seed=3).fingerprint == digits(seed=3).fingerprint


@pytest.mark.parametrize(
    "name", ["digits", pytest.param("cifar10_small", marks=pytest.mark.exhaustive)]
)
def test_released_runs_have_the_split_that_their_recipe_draws(name, request):
    """These sets have no equal images to keep together, so that their results are as before."""
    if name != "digits":
        request.getfixturevalue("tfds_dir")
        pytest.importorskip("tensorflow_datasets")
    config = load_config(f"recipe={name}")
    environment = json.loads((SAVED_MODELS / name / "environment.json").read_text())
    assert config.data.group_duplicates == "equal"
    fingerprint = load_splits(config.data, config.train.seed).fingerprint
    assert fingerprint == environment["data_fingerprint"]


def test_another_seed_draws_another_validation_split_and_keeps_the_test_split():
    one, other = digits(seed=0), digits(seed=1)
    assert contents(one.validation) != contents(other.validation)
    assert contents(one.test) == contents(other.test)
    assert contents(one.train, one.validation) == contents(other.train, other.validation)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.9])
def test_the_validation_fraction_is_kept(fraction):
    splits = digits(validation_fraction=fraction)
    assert len(splits.validation.labels) == round(fraction * (1797 - 359))


@pytest.mark.parametrize("limit", [7, 100, 400])
def test_a_limit_bounds_training_and_test_images(limit):
    whole, small = digits(), digits(limit=limit)
    drawn = np.concatenate([small.train.labels, small.validation.labels])
    assert len(drawn) == limit
    assert len(small.test.labels) == min(limit, 359)
    assert_in_proportion(drawn, np.concatenate([whole.train.labels, whole.validation.labels]))
    assert_in_proportion(small.test.labels, whole.test.labels)
    assert contents(small.train, small.validation) <= contents(whole.train, whole.validation)
    assert contents(small.test) <= contents(whole.test)


def test_a_limit_beyond_the_set_changes_nothing():
    assert digits(limit=5000).fingerprint == digits().fingerprint


@pytest.mark.parametrize("classes", [[8, 3, 5], ["8", "3", "5"], ["8", 3, "5"]])
def test_chosen_classes_are_relabelled_in_the_order_of_choice(classes):
    splits = digits(classes=classes)
    published = published_digits()
    order = [8, 3, 5]
    kept = np.isin(published.labels, order)
    relabelled = [order.index(label) for label in published.labels[kept]]
    assert splits.class_names == ["8", "3", "5"]
    assert contents(*(getattr(splits, name) for name in SPLITS)) == contents(
        dataset.Split(published.images[kept], np.array(relabelled))
    )


@pytest.mark.parametrize("wrong", ["ten", 10, -1, 1.5])
def test_an_unknown_class_is_refused_with_those_there_are(wrong):
    with pytest.raises(SettingError, match=rf"data.classes has {wrong}.* 0 to 9"):
        digits(classes=[0, wrong])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (dict(limit=1), "data.limit=1"),
        (dict(limit=2, validation_fraction=0.9), "data.validation_fraction=0.9"),
    ],
)
def test_too_few_images_to_split_are_refused(settings, named):
    with pytest.raises(SettingError) as caught:
        digits(**settings)
    assert named in str(caught.value)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("part", ["images", "labels"])
def test_the_fingerprint_tells_one_pixel_and_one_label(split, part):
    splits = digits(limit=20)
    old = getattr(splits, split)
    array = getattr(old, part).copy()
    array.flat[-1] ^= 1
    changed = dataclasses.replace(splits, **{split: old._replace(**{part: array})})
    assert changed.fingerprint != splits.fingerprint


def test_the_fingerprint_tells_the_order():
    splits = digits(limit=20)
    turned = dataclasses.replace(splits, train=splits.train.take(np.arange(17, -1, -1)))
    assert turned.fingerprint != splits.fingerprint


def test_the_table_counts_each_class_in_each_split():
    splits = digits(classes=[8, 3])
    header, *rows = [line.split() for line in splits.table().splitlines()]
    assert header == list(SPLITS)
    counts = {name: list(map(int, cells)) for name, *cells in rows}
    for place, name in enumerate(SPLITS):
        labels = list(getattr(splits, name).labels)
        assert counts["images"][place] == len(labels)
        assert [counts["8"][place], counts["3"][place]] == [labels.count(0), labels.count(1)]


def test_the_table_of_many_classes_is_one_row():
    images = np.zeros((200, 1, 1, 1), "uint8")
    split = dataset.Split(images, np.repeat(np.arange(50, dtype="int32"), 4))
    lopsided = dataset.Split(images[:100], np.arange(100, dtype="int32") % 40)
    splits = dataset.Splits(split, lopsided, split, [f"class {index}" for index in range(50)])
    assert " ".join(splits.table().splitlines()[-1].split()) == "a class 4 to 4 0 to 3 4 to 4"


@pytest.mark.parametrize("name", sorted({*registry.WELL_KNOWN} - {"digits"}))
def test_what_is_known_of_a_set_is_what_its_files_say(name, tfds_dir):
    (features,) = Path(tfds_dir, name).glob("*/features.json")
    described = json.loads(features.read_text())["featuresDict"]["features"]
    height, width, channels = map(int, described["image"]["image"]["shape"]["dimensions"])
    classes = int(described["label"]["classLabel"]["numClasses"])
    assert registry.WELL_KNOWN[name] == dataset.DatasetInfo((height, width), channels, classes)


@pytest.mark.parametrize(("name", "images"), [("cifar10", 50000), ("mnist", 60000)])
def test_the_published_size_is_known_before_the_set_is_read(name, images, tfds_dir):
    counts = registry.image_counts(DataConfig(name=name, tfds_dir=tfds_dir))
    assert counts == {"train": images, "test": 10000}


def test_what_is_known_of_digits_is_what_is_read():
    splits = digits()
    known = registry.WELL_KNOWN["digits"]
    assert (*known.size, known.channels) == splits.train.images.shape[1:]
    assert known.num_classes == len(splits.class_names) == len(set(splits.train.labels))
    images = sum(len(split.labels) for split in splits.as_dict().values())
    counts = registry.image_counts(DataConfig())
    assert counts == {"train": images}
    assert train_image_count(DataConfig(), counts) == len(splits.train.labels)


@pytest.fixture(scope="module")
def cifar100(tfds_dir):
    """The published splits, as TFDS itself reads them."""
    tfds = pytest.importorskip("tensorflow_datasets")
    sets, info = tfds.load("cifar100", data_dir=tfds_dir, download=False, with_info=True)
    parts = {}
    for name in ("train", "test"):
        examples = list(sets[name].as_numpy_iterator())
        parts[name] = dataset.Split(
            np.stack([example["image"] for example in examples]),
            np.array([example["label"] for example in examples]),
        )
    return parts, info.features["label"].names


def test_cifar100_has_the_pixels_and_labels_that_tfds_reads(cifar100, tfds_dir):
    published, names = cifar100
    splits = load_splits(DataConfig(name="cifar100", tfds_dir=tfds_dir), seed=0)
    assert splits.class_names == names
    assert splits.train.images.dtype == "uint8"
    assert contents(splits.train, splits.validation) == contents(published["train"])
    np.testing.assert_array_equal(splits.test.images, published["test"].images)
    np.testing.assert_array_equal(splits.test.labels, published["test"].labels)


def test_cifar100_classes_are_chosen_by_name(cifar100, tfds_dir):
    published, names = cifar100
    first, second = (names[label] for label in sorted(set(published["test"].labels))[:2])
    config = DataConfig(name="cifar100", tfds_dir=tfds_dir, classes=[second, first])
    splits = load_splits(config, seed=0)
    assert splits.class_names == [second, first]
    for label, name in enumerate([second, first]):
        expected = published["test"].images[published["test"].labels == names.index(name)]
        np.testing.assert_array_equal(splits.test.images[splits.test.labels == label], expected)


def test_a_class_given_by_name_and_by_number_is_refused(cifar100, tfds_dir):
    """It would be a class without images beside one that is always right."""
    _, names = cifar100
    with pytest.raises(SettingError, match=r"data.classes .*once"):
        load_splits(
            DataConfig(name="cifar100", tfds_dir=tfds_dir, classes=[names[0], 0, 1]), seed=0
        )


def cut_in_half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_between_records(file):
    """Whole records, too few: each is a length (8 bytes), its checksum, content, its checksum."""
    content, place = file.read_bytes(), 0
    for _ in range(10):
        place += 8 + 4 + struct.unpack_from("<Q", content, place)[0] + 4
    file.write_bytes(content[:place])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_in_half, cut_between_records, flip_a_bit])
def test_a_damaged_shard_is_refused_with_the_way_to_mend_it(damage, tfds_dir, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    shutil.copytree(Path(tfds_dir, "cifar100"), tmp_path / "cifar100")
    damage(next(tmp_path.glob("cifar100/*/cifar100-test.tfrecord-*")))
    config = load_config("data=cifar100", "model=cifar", f"data.tfds_dir={tmp_path}").data
    with pytest.raises(SettingError) as caught:
        load_splits(config, seed=0)
    for phrase in ("cifar100", str(tmp_path), "damaged", "data.download=true"):
        assert phrase in str(caught.value)
