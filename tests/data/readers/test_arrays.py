"""Arrays from a `.npz` file or a Python program: accepted formats and error messages."""

import zipfile
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vit_keras import SettingError, build_splits, load_config
from vit_keras.config.schema import DataConfig
from vit_keras.data import dataset, registry
from vit_keras.data.readers import npz
from vit_keras.data.readers.arrays import convert
from vit_keras.data.splits import load_splits, train_image_count

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3)).astype("uint8")
LABELS = np.arange(12) % 3


def convert_train(images=PIXELS, labels=LABELS, class_names=None):
    data, report = convert({"train": (images, labels)}, class_names, "x")
    return data.train, data.class_names, report


UNIT = PIXELS / 255
FORMS = {
    "uint8": (PIXELS, "uint8"),
    "integers": (PIXELS.astype("int64"), "0 to 255"),
    "float of 0 to 255": (PIXELS.astype("float32"), "0 to 255"),
    "float of 0 to 1": (UNIT.astype("float32"), "0 to 1"),
    "doubles": (UNIT, "0 to 1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_pixels_gives_the_same_bytes(form):
    images, said = FORMS[form]
    pair, names, report = convert_train(images)
    assert pair.images.dtype == "uint8"
    np.testing.assert_array_equal(pair.images, PIXELS)
    assert names == ["0", "1", "2"]
    assert said in report


def test_dark_bytes_are_not_taken_for_floats_of_0_to_1():
    dark = (PIXELS > 128).astype("uint8")
    np.testing.assert_array_equal(convert_train(dark)[0].images, dark)


def test_one_range_holds_for_every_split():
    """A test split that happens to be black is not made white."""
    black = np.minimum(PIXELS, 1).astype("float32")
    pairs = {"train": (PIXELS.astype("float32"), LABELS), "test": (black, LABELS)}
    data, _ = convert(pairs, None, "x")
    np.testing.assert_array_equal(data.test.images, black)


def test_grey_images_get_a_channel():
    assert convert_train(PIXELS[..., 0])[0].images.shape == (12, 6, 5, 1)


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS[:, None], LABELS.astype("uint8"), np.eye(3)[LABELS], list(map(int, LABELS))],
    ids=["numbers", "column", "bytes", "one_hot", "list"],
)
def test_each_form_of_labels_gives_the_same_numbers(labels):
    pair, names, _ = convert_train(labels=labels)
    assert pair.labels.dtype == "int32"
    np.testing.assert_array_equal(pair.labels, LABELS)
    assert len(names) == 3


def test_one_hot_labels_have_classes_without_images():
    assert len(convert_train(labels=np.eye(7)[LABELS])[1]) == 7


def spoiled(array, place, value):
    copy = array.astype("float64")
    copy[place] = value
    return copy


WRONG = {
    "NaN": (dict(images=spoiled(PIXELS, (3, 2, 1, 0), np.nan)), "1 value that is", "NaN"),
    "infinite": (dict(images=spoiled(PIXELS, 3, np.inf)), "90 values", "finite"),
    "too bright": (dict(images=PIXELS.astype("int32") * 2), "0 to 5", "give 0 to 255"),
    "normalised": (dict(images=UNIT * 2 - 1), "-1 to 1", "normalisation"),
    "text": (dict(images=PIXELS.astype(str)), "<U", "give uint8"),
    "flat": (dict(images=PIXELS.reshape(12, -1)), r"\(12, 90\)", "height, width"),
    "channels first": (dict(images=np.moveaxis(PIXELS, -1, 1)), r"\(12, 3, 6, 5\)", "moveaxis"),
    "two channels": (dict(images=PIXELS[..., :2]), r"\(12, 6, 5, 2\)", "1, 3 or 4"),
    "none": (dict(images=PIXELS[:0], labels=LABELS[:0]), r"\(0, 6, 5, 3\)", "give some"),
    "too few labels": (dict(labels=LABELS[:-1]), "12 images and 11 labels", "for each"),
    "negative label": (dict(labels=LABELS - 1), "label -1", "0, 1, 2"),
    "labels in between": (dict(labels=LABELS / 2), "float64", "integers"),
    "names as labels": (dict(labels=np.array(["a", "b", "c"])[LABELS]), "<U1", "integers"),
    "soft labels": (dict(labels=np.full((12, 3), 1 / 3)), "not one-hot", "class number"),
    "two classes each": (dict(labels=np.ones((12, 3))), "3 classes for image 0", "one class"),
    "no class": (dict(labels=spoiled(np.eye(3)[LABELS], 5, 0)), "0 classes for image 5", "one"),
    "numbers of a catalogue": (dict(labels=LABELS + 90210), "label 90212", "without gaps"),
    "one class": (dict(labels=LABELS * 0), "1 class", "two or more"),
    "too few names": (dict(class_names=["a", "b"]), "2 class names", "give 3 names"),
    "a name twice": (dict(class_names=["a", "b", "a"]), "class name a twice", "own"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arrays_are_refused_with_the_way_out(case):
    arrays, named, way_out = WRONG[case]
    with pytest.raises(SettingError, match=f"{named}.*{way_out}"):
        convert_train(**arrays)


@pytest.mark.parametrize("other", [PIXELS[:, 1:], UNIT], ids=["size", "range"])
def test_splits_that_do_not_match_are_refused(other):
    pairs = {"train": (PIXELS, LABELS), "test": (other, LABELS)}
    with pytest.raises(SettingError, match=r"train has images of .* and test of .*; (bring|give)"):
        convert(pairs, None, "x")


def contents(*splits):
    return Counter((i.tobytes(), int(k)) for s in splits for i, k in zip(*s, strict=True))


def saved(path, **arrays):
    np.savez_compressed(path, **arrays)
    return DataConfig(name="npz", path=str(path))


DIGITS = (load_digits().images * 255 / 16).round().astype("uint8"), load_digits().target


def test_a_file_like_keras_own_keeps_its_test_split(tmp_path):
    images, labels = DIGITS
    config = saved(
        tmp_path / "x.npz",
        **dict(x_train=images[:1000], y_train=labels[:1000]),
        **dict(x_test=images[1000:] / 255, y_test=labels[1000:]),
    )
    with pytest.raises(SettingError, match="0 to 255 or 0 to 1"):
        load_splits(config, 0)
    config = saved(
        tmp_path / "x.npz",
        **dict(x_train=images[:1000], y_train=labels[:1000]),
        **dict(x_test=images[1000:], y_test=labels[1000:]),
        class_names=[f"digit {digit}" for digit in range(10)],
    )
    splits = load_splits(config, 0)
    assert splits.class_names[3] == "digit 3" == registry.class_names(config)[3]
    np.testing.assert_array_equal(splits.test.images, images[1000:, ..., None])
    drawn = contents(splits.train, splits.validation)
    assert drawn == contents(dataset.Split(images[:1000, ..., None], labels[:1000]))
    assert registry.image_counts(config) == {"train": 1000, "test": 797}
    assert registry.dataset_info(config) == dataset.DatasetInfo((8, 8), 1, 10)


@pytest.mark.parametrize("names", [("images", "labels"), ("x_train", "y_train")])
def test_a_file_without_a_test_split_has_a_fifth_held_out(names, tmp_path):
    config = saved(tmp_path / "x.npz", **dict(zip(names, DIGITS, strict=True)))
    one, other = (load_splits(config, seed) for seed in (0, 1))
    assert len(one.test.labels) == 359
    np.testing.assert_array_equal(one.test.images, other.test.images)
    everything = dataset.Split(DIGITS[0][..., None], DIGITS[1])
    assert contents(one.train, one.validation, one.test) == contents(everything)
    counts = registry.image_counts(config)
    assert counts == {"train": 1797}
    assert train_image_count(config, counts) == len(one.train.labels)


def test_nothing_of_the_images_is_read_to_check_a_configuration(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    saved(path, images=DIGITS[0], labels=DIGITS[1])
    read, whole_read = [], npz._read

    def reading(path, name):
        read.append(name)
        return whole_read(path, name)

    monkeypatch.setattr(npz, "_read", reading)
    load_config("data=npz", f"data.path={path}")
    assert set(read) == {"labels"}


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_text("a web page")])
def test_a_damaged_file_is_named(damage, tmp_path):
    config = saved(tmp_path / "x.npz", images=DIGITS[0], labels=DIGITS[1])
    damage(tmp_path / "x.npz")
    with pytest.raises(SettingError, match=r"data\.path=.*x\.npz is damaged.*again"):
        load_splits(config, 0)


def test_a_pickle_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "x.npz"
    labels = np.array([Trap()] * 4, dtype=object)
    np.savez(path, images=np.zeros((4, 8, 8), "uint8"), labels=labels)
    with pytest.raises(SettingError, match="labels holds Python objects"):
        load_config("data=npz", f"data.path={path}")
    assert not (tmp_path / "sprung").exists()


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(SettingError, match=r"is damaged, or not of np\.savez"):
        load_config("data=npz", f"data.path={tmp_path / 'x.npz'}")


@pytest.mark.parametrize(
    ("arrays", "phrase"),
    [
        (dict(x=PIXELS), "has x, and no x_train; save x_train and y_train"),
        (dict(x_train=PIXELS), "no y_train"),
        (dict(images=PIXELS), "no labels"),
        (dict(images=PIXELS, labels=LABELS[:3]), "12 images and labels 3 labels"),
        (dict(x_train=PIXELS, y_train=LABELS, x_test=PIXELS), "no y_test"),
        (
            dict(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:, 1:], y_test=LABELS),
            r"\(6, 5, 3\) and of \(5, 5, 3\)",
        ),
    ],
)
def test_a_file_without_what_is_needed_is_refused_before_it_is_read(arrays, phrase, tmp_path):
    config = saved(tmp_path / "x.npz", **arrays)
    with pytest.raises(SettingError, match=phrase):
        registry.dataset_info(config)


@pytest.mark.parametrize(("path", "phrase"), [(None, "needs data.path"), ("/no/x.npz", "no file")])
def test_a_file_that_is_not_there_is_refused(path, phrase):
    with pytest.raises(SettingError, match=phrase):
        registry.dataset_info(DataConfig(name="npz", path=path))


def test_splits_are_built_of_one_pair_as_of_a_data_set():
    images, labels = DIGITS
    splits = build_splits((images, labels), seed=3, validation_fraction=0.25)
    assert [len(part.labels) for part in (splits.test, splits.validation)] == [359, 360]
    everything = dataset.Split(images[..., None], labels)
    assert contents(splits.train, splits.validation, splits.test) == contents(everything)


def test_given_splits_stay_as_they_are():
    images, labels = DIGITS
    parts = {
        "train": (images[:900], labels[:900]),
        "validation": (images[900:1000], labels[900:1000]),
        "test": (images[1000:], labels[1000:]),
    }
    splits = build_splits(**parts, class_names="abcdefghij")
    assert splits.class_names == list("abcdefghij")
    for name, (pixels, numbers) in parts.items():
        np.testing.assert_array_equal(getattr(splits, name).images[..., 0], pixels)
        np.testing.assert_array_equal(getattr(splits, name).labels, numbers)


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        (7, r"train is int; give \(images, labels\)"),
        ((PIXELS,), "train is tuple"),
        (([[[1]], [[1], [2]]], [0, 1]), "one size"),
    ],
)
def test_what_is_no_data_is_refused_with_what_is(value, phrase):
    with pytest.raises(SettingError, match=phrase):
        build_splits(value)
    with pytest.raises(SettingError, match=r"validation_fraction=2"):
        build_splits((PIXELS, LABELS), validation_fraction=2)
