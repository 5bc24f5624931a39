"""The augmentation sheet shows the original images and augmented versions below them."""

import numpy as np
import pytest
from PIL import Image

import vit_keras
from vit_keras import SettingError, load_config
from vit_keras.augment import preview
from vit_keras.cli import show_augment
from vit_keras.config.schema import AugmentConfig
from vit_keras.data.splits import load_splits

pytestmark = pytest.mark.jax


def pictures(count=3, shape=(8, 12, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("uint8")


@pytest.mark.parametrize("channels", [1, 3])
def test_above_are_the_images_below_what_is_made_of_them(channels):
    images = pictures(shape=(8, 12, channels))
    made = vit_keras.augmentation_sheet(images, AugmentConfig(flip=True), draws=4)
    times, gap = preview.CELL // 12, preview.GAP
    width, height = 12 * times + 2 * gap, 8 * times + 2 * gap
    assert made.size == (3 * width, 5 * height)
    cells = np.asarray(made).reshape(5, height, 3, width, 3).transpose(0, 2, 1, 3, 4)
    shown = cells[:, :, gap:-gap:times, gap:-gap:times]  # (5, 3, 8, 12, 3)
    plain = np.broadcast_to(images, (3, 8, 12, 3))
    np.testing.assert_array_equal(shown[0], plain)
    mirrored = 0
    for row in shown[1:]:
        for image, original in zip(row, plain, strict=True):
            is_mirrored = np.array_equal(image, original[:, ::-1])
            assert is_mirrored != np.array_equal(image, original)
            mirrored += is_mirrored
    assert 0 < mirrored < 12


def test_each_row_is_an_epoch_of_an_alternating_flip():
    images = pictures(count=8)
    made = vit_keras.augmentation_sheet(images, AugmentConfig(flip="alternating"), draws=3)
    first, second, third = np.array_split(np.asarray(made), 4)[1:]
    np.testing.assert_array_equal(first, third)
    halves = [np.array_split(row, 8, axis=1) for row in (first, second)]
    for one, other in zip(*halves, strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


def test_mixed_images_of_another_size_are_shown_too():
    made = vit_keras.augmentation_sheet(
        pictures(), AugmentConfig(resized_crop=[0.2, 1.0], mixup=1.0), draws=1, size=(100, 100)
    )
    assert made.size == (3 * 108, 2 * 108)


def test_a_sheet_is_written_again_but_over_nothing_else(tmp_path):
    config = load_config("augment=shift", "data.limit=100", f"run.root={tmp_path / 'new'}")
    splits = load_splits(config.data, 0)
    file = show_augment.write_sheet(config, splits, columns=2)
    assert show_augment.write_sheet(config, splits, columns=3) == file
    with Image.open(file) as picture:
        assert picture.width == 3 * (preview.CELL + 2 * preview.GAP)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    for content in (b"mine", Image.new("RGB", (1, 1))):
        content.save(file) if isinstance(content, Image.Image) else file.write_bytes(content)
        before = file.read_bytes()
        with pytest.raises(SettingError, match=r"not an augmentation sheet; .*run\.root"):
            show_augment.write_sheet(config, splits)
        assert file.read_bytes() == before


def test_the_sheet_shows_all_classes(tmp_path):
    """Folders are sorted by class: the first images are of the first one alone."""
    config = load_config("augment=none", f"run.root={tmp_path / 'new'}")
    splits = load_splits(config.data, 0)
    chosen = splits.train.spread(10)
    assert splits.train.labels[chosen].tolist() == list(range(10))
    by_class = splits.train.take(np.argsort(splits.train.labels, kind="stable"))
    assert by_class.labels[by_class.spread(5)].tolist() == [0, 2, 4, 6, 9]
    assert by_class.labels[by_class.spread(12)].tolist() == [0, 0, 1, 1, *range(2, 10)]
    file = show_augment.write_sheet(config, splits, columns=10)
    with Image.open(file) as sheet:
        drawn = np.asarray(sheet)
    height = drawn.shape[1] // 10  # of the first row, of the images as they are
    one_of_each = vit_keras.augmentation_sheet(splits.train.images[chosen], config.augment)
    np.testing.assert_array_equal(drawn[:height], np.asarray(one_of_each)[:height])
