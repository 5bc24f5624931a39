"""A folder of images: classes by name, each image as it is meant to be seen, and whole splits."""

import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from vit_keras import SettingError, data, folders, load_config
from vit_keras.config import DataConfig

SIZE = (4, 6)  # rows, columns
COUNTS = {"ant": 10, "bee": 15, "cat 2": 5}


def pixels(seed, shape=(*SIZE, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Classes of different sizes, made in another order than by name; no two images alike."""
    root = tmp_path_factory.mktemp("photos")
    for name in reversed(COUNTS):
        (root / name).mkdir()
        for index in range(COUNTS[name]):
            array = pixels([len(name), index, COUNTS[name]])
            Image.fromarray(array).save(root / name / f"{index}.{'PNG' if index % 2 else 'bmp'}")
        (root / name / "Thumbs.db").write_bytes(b"no image")
        (root / name / "._0.png").write_bytes(b"macOS writes these")
    (root / ".hidden").mkdir()
    (root / "readme.txt").write_text("no class")
    return root


def config(root, **settings):
    return DataConfig(name="folder", path=str(root), image_size=list(SIZE), **settings)


def contents(*splits):
    return Counter((i.tobytes(), int(k)) for s in splits for i, k in zip(*s, strict=True))


def test_classes_are_in_the_order_of_their_names_and_every_image_is_in_one_split(root):
    splits = data.load(config(root), seed=0)
    assert splits.class_names == ["ant", "bee", "cat 2"]
    paths, labels = folders.files(config(root))
    assert Counter(labels.tolist()) == dict(enumerate(COUNTS.values()))
    whole = data.Split(np.stack([folders.read(path, SIZE) for path in paths]), labels)
    assert contents(splits.train, splits.validation, splits.test) == contents(whole)
    np.testing.assert_array_equal(np.bincount(splits.test.labels), [2, 3, 1])  # a fifth
    assert splits.train.images.shape[1:] == (*SIZE, 3)


def test_the_test_split_is_the_same_for_each_seed(root):
    one, other = (data.load(config(root), seed) for seed in (0, 1))
    assert one.fingerprint != other.fingerprint
    np.testing.assert_array_equal(one.test.images, other.test.images)


def test_few_images_to_train_on_leave_the_test_split_whole(root):
    whole, few = data.load(config(root), 0), data.load(config(root, train_limit=12), 0)
    assert len(few.train.labels) + len(few.validation.labels) == 12
    np.testing.assert_array_equal(few.test.images, whole.test.images)


RED, BLUE = (255, 0, 0), (0, 0, 255)
GREY16 = (np.arange(24).reshape(SIZE) * 2570).astype("uint16")  # 0, 10, 20, ... of 255


def turned():
    """Stored red beside blue; to be seen a quarter turned to the right: red above blue."""
    stored = np.zeros((8, 16, 3), "uint8")
    stored[:, :8], stored[:, 8:] = RED, BLUE
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = 6
    return image


# What is saved, under which name, and what is read of it at SIZE.
KINDS = {
    "grey": (Image.fromarray(pixels(0, SIZE)), "a.png", pixels(0, SIZE)[..., None].repeat(3, -1)),
    "alpha": (Image.fromarray(pixels(1, (*SIZE, 4))), "a.png", pixels(1, (*SIZE, 4))[..., :3]),
    "black_and_white": (Image.new("1", SIZE[::-1], 1), "a.bmp", np.full((*SIZE, 3), 255)),
    "palette": (Image.new("P", (9, 9), 0), "a.gif", np.zeros((*SIZE, 3))),
    "16_bits": (Image.fromarray(GREY16), "a.png", (GREY16 / 257)[..., None].repeat(3, -1)),
    "cmyk": (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "a.jpeg", np.tile(RED, (*SIZE, 1))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_three_channels(kind, tmp_path):
    image, name, expected = KINDS[kind]
    image.save(tmp_path / name)
    read = folders.read(tmp_path / name, SIZE)
    assert (read.shape, read.dtype) == ((*SIZE, 3), "uint8")
    np.testing.assert_allclose(read, expected, atol=2)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_turned_photo_is_read_upright(suffix, tmp_path):
    image = turned()
    image.save(tmp_path / f"a.{suffix}", exif=image.getexif())
    read = folders.read(tmp_path / f"a.{suffix}", (4, 2)).astype(int)
    np.testing.assert_allclose(read[0], [RED] * 2, atol=20)
    np.testing.assert_allclose(read[-1], [BLUE] * 2, atol=20)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_text("a web page")]
)
def test_a_file_that_cannot_be_decoded_is_named(damage, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.fromarray(pixels(index, (40, 40, 3))).save(tmp_path / name / f"{index}.jpg")
    damage(tmp_path / "b" / "2.jpg")
    settings = load_config(
        "data=folder", f"data.path={tmp_path}", "data.image_size=4", "train.batch_size=2"
    )
    with pytest.raises(SettingError, match=r"b/2\.jpg cannot be read \(.*mend it or take it away"):
        data.load(settings.data, seed=0)
