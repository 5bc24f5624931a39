"""Duplicates across splits or labels are found, and distinct images are not reported."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from helpers.image_files import config, photo
from vit_keras.data import quality_report
from vit_keras.data.splits import load_splits

DRAWN = 6


@pytest.fixture
def root(tmp_path):
    """Splits of pictures that have nothing in common, a hundred pixels a side."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("ant", "bee"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(DRAWN):
                coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), "uint8"))
                coarse.resize((100, 100), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return tmp_path


def found(root):
    findings = load_splits(config(root), 0).findings
    return [(f.problem, f.file, f.other_file) for f in findings]


def test_different_pictures_are_no_duplicates(root):
    assert found(root) == []


def test_equal_files_in_two_splits_are_found(root):
    shutil.copy(root / "train/ant/0.png", root / "test/ant/copy.png")
    shutil.copy(root / "val/bee/1.png", root / "test/bee/copy.png")
    assert found(root) == [
        ("duplicate", "test/ant/copy.png", "train/ant/0.png"),
        ("duplicate", "test/bee/copy.png", "val/bee/1.png"),
    ]
    splits = load_splits(config(root), 0)
    (line,) = quality_report.summary(splits.findings)
    assert line.startswith("2 files are in two splits")
    assert "test/ant/copy.png (train/ant/0.png)" in line


def test_a_picture_under_two_labels_is_found(root):
    shutil.copy(root / "train/ant/0.png", root / "train/bee/copy.png")
    assert found(root) == [("two_labels", "train/bee/copy.png", "train/ant/0.png")]


def smaller(image):
    return image.resize((70, 70))


def brighter(image):
    return ImageEnhance.Brightness(image).enhance(1.1)


@pytest.mark.parametrize("change", [smaller, brighter])
def test_a_picture_saved_again_is_found(change, root):
    image = Image.open(root / "train/ant/3.png")
    change(image).save(root / "test/ant/again.jpg", quality=75)
    assert found(root) == [("near_duplicate", "test/ant/again.jpg", "train/ant/3.png")]


def test_flat_pictures_are_not_taken_for_each_other(root):
    """Skies, walls and blank pages all have the difference hash of nothing."""
    for place, level in (("train/ant", 90), ("val/ant", 120), ("test/bee", 200)):
        Image.new("RGB", (60, 60), (level,) * 3).save(root / place / "flat.png")
        noise = np.random.default_rng(level).integers(level, level + 2, (60, 60, 3), "uint8")
        Image.fromarray(noise).save(root / place / "nearly flat.png")
    assert found(root) == []


def test_pictures_that_differ_in_a_part_are_not_taken_for_each_other(root):
    """The same wall with something else before it, which the hash alone can miss."""
    wall = photo(100, 100)
    for place, box in (("train/ant", (30, 10, 60, 40)), ("test/ant", (40, 55, 75, 95))):
        image = wall.copy()
        image.paste((0, 0, 0), box)
        file = io.BytesIO()
        image.save(file, "PNG")
        (root / place / "wall.png").write_bytes(file.getvalue())
    assert found(root) == []
