"""The value range of a run: how it is found, kept, and refused."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.scientific_images import dicom, npy, png, tiff
from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data import value_range
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.readers import in_memory
from vit_keras.data.splits import load_splits
from vit_keras.data.value_range import as_setting, facts_of, range_of

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS.reshape(-1, 8, 8)[:120]
LABELS = LABELS[:120] % 2
TWELVE = (DIGITS / 16 * 4095).round().astype("uint16")


def arrays(images, **settings):
    config = DataConfig(name="arrays", **settings)
    return load_splits(config, 0, in_memory.to_in_memory((images, LABELS), config))


def folder(root, contents, **settings):
    for index, content in enumerate(contents):
        path = root / "ab"[index % 2] / f"{index:03}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    settings = {"value_range": "auto", "channels": 1, **settings}
    return DataConfig(name="folder", path=str(root), image_size=8, **settings)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (TWELVE, (0, 4095)),
        (TWELVE * 16, (0, 65535)),
        (DIGITS.astype("uint8"), (0, 255)),
        ((DIGITS / 16).astype("float32"), (0, 1)),
    ],
)
def test_auto_of_arrays(images, expected):
    splits = arrays(images, value_range="auto")
    assert splits.value_range == expected
    every = splits.all.images
    assert every.dtype == np.float32
    exact = (images / expected[1] * 255).sum()
    assert every.sum(dtype="float64") == pytest.approx(exact, rel=1e-5)


def test_arrays_of_eight_bits_have_the_same_pixels():
    plain = arrays(DIGITS.astype("uint8"))
    ranged = arrays(DIGITS.astype("uint8"), value_range="auto")
    for name, split in plain.as_dict().items():
        assert split.images.dtype == np.uint8
        np.testing.assert_array_equal(ranged.as_dict()[name].images, split.images)
        np.testing.assert_array_equal(ranged.as_dict()[name].labels, split.labels)


def test_percentile_is_of_the_training_images():
    images = TWELVE.astype("float32") - 1000
    drawn = arrays(images, value_range=[-1000, 3095])
    stored = drawn.train.images.astype("float64") / 255 * 4095 - 1000
    low, high = arrays(images, value_range="percentile").value_range
    assert (low, high) == pytest.approx(np.percentile(stored, (0.5, 99.5)), abs=0.01)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([5, 5], "does not begin below its end"),
        ([9, 5], "does not begin below its end"),
        ("full", "is no range; use auto, percentile, window"),
        ([0, 1, 2], "is no range"),
        ([0, float("nan")], "is no range"),
        (["0", "1"], "is no range"),
        (255, "is no range"),
    ],
)
def test_a_wrong_setting_is_refused(value, reason):
    with pytest.raises(SettingError, match=reason):
        as_setting(value)


@pytest.mark.parametrize("images", [TWELVE.astype("float32"), TWELVE.astype("int32") - 9])
def test_auto_asks_where_the_range_is_not_known(images):
    with pytest.raises(SettingError, match=r"auto: values of .* set data.value_range=\[low,high\]"):
        arrays(images, value_range="auto")


def test_auto_of_images_of_two_depths_names_both():
    facts = [("a", facts_of(DIGITS.astype("uint8"))), ("b", facts_of(TWELVE))]
    with pytest.raises(RangeError, match="a has values of 0 to 255 by its type and b integers"):
        range_of(facts)
    assert range_of(facts[1:], bit_depth=14) == (0, 16383)


def test_clipping_of_more_than_one_percent_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "vit_keras"):
        arrays(TWELVE, value_range=[0, 4095])
        assert not caplog.records
        arrays(TWELVE, value_range=[300, 2000])
    share = ((TWELVE < 300) | (TWELVE > 2000)).mean()
    assert "clips" in caplog.text
    assert abs(float(caplog.text.split("clips ")[1].split("%")[0]) - 100 * share) < 5


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (tiff, (0, 4095)),
        (png, (0, 4095)),
        (npy, (0, 4095)),
        (dicom, (0, 4095)),
        (lambda image: tiff(image.astype("float32") / 4095), (0, 1)),
        (lambda image: dicom(image, WindowCenter=2000, WindowWidth=3000), "window"),
    ],
    ids=["TIFF", "PNG", "NumPy", "DICOM", "float TIFF", "DICOM with a window"],
)
def test_a_folder_and_what_is_kept_of_it(kind, expected, tmp_path):
    config = folder(tmp_path, map(kind, TWELVE[:40]))
    splits = load_splits(config, 0)
    assert splits.value_range == expected
    assert splits.train.images.dtype == np.float32
    assert splits.train.images.shape[1:] == (8, 8, 1)
    kept = expected if expected == "window" else list(expected)
    again = load_splits(replace(config, value_range=kept, cache_mb=0), 0)
    assert again.train.images.dtype == np.float32
    np.testing.assert_array_equal(again.train.images[:], splits.train.images)


def test_files_of_another_depth_or_channels_are_skipped_with_the_reason(tmp_path):
    contents = [*map(npy, TWELVE[:40]), npy(TWELVE[0] * 16), npy(np.stack([TWELVE[0]] * 2, -1))]
    splits = load_splits(folder(tmp_path, contents, value_range=[0, 4095]), 0)
    details = {finding.file[-7:]: finding.detail for finding in splits.findings}
    assert "give values of that many bits" in details["040.bin"]
    assert "2 channels instead of 1" in details["041.bin"]
    assert sum(splits.image_counts.values()) == 40


def test_mixed_folders_are_refused_by_name(tmp_path):
    contents = [tiff(TWELVE[0]), tiff(DIGITS[0].astype("uint8"))] * 5
    with pytest.raises(SettingError, match=r"auto: a/000.bin has .* and b/001.bin values of 0 to"):
        load_splits(folder(tmp_path, contents), 0)


def test_arrays_of_many_channels_need_their_number():
    images = np.stack([DIGITS.astype("uint8")] * 5, -1)
    with pytest.raises(SettingError, match=r"or set data\.channels=5"):
        arrays(images)
    assert arrays(images, channels=5).train.images.shape[-1] == 5
    with pytest.raises(SettingError, match=r"set data.channels=5, or give others"):
        arrays(images, channels=4)


def test_preview_is_of_any_values():
    shown = value_range.preview(np.linspace(-5, 7, 64).reshape(8, 8, 1))
    assert (shown.min(), shown.max(), shown.dtype) == (0, 255, np.uint8)
