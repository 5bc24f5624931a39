"""Duplicates across splits or labels are found, and stay together in splits that are drawn."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from helpers.image_files import config, photo, write
from vit_keras import SettingError, build_splits
from vit_keras.data import duplicates, quality_report, split_folder
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
    assert {problem for problem, *_ in found(root)} == {"flat"}


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


@pytest.fixture
def icons(tmp_path):
    """Two classes, each of 20 files and 30 copies of them; some are also in the other class."""
    for name in ("ant", "bee"):
        write(tmp_path / "icons" / name, 20)
        for index in range(30):
            source = tmp_path / "icons" / name / f"{index % 7}.png"
            shutil.copy(source, source.with_name(f"copy {index}.png"))
    for index in range(4):
        shutil.copy(tmp_path / f"icons/bee/{index}.png", tmp_path / f"icons/ant/bee {index}.png")
    return tmp_path / "icons"


def files_of(splits):
    return {name: [*split.images.files] for name, split in splits.as_dict().items()}


def leaked(parts):
    """Names of parts that have an equal file, two by two."""
    hashes = {name: {file.sha256 for file in files} for name, files in parts.items()}
    names = [*hashes]
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if hashes[a] & hashes[b]]


@pytest.mark.parametrize("seed", range(4))
def test_equal_files_are_on_one_side_of_every_draw(seed, icons):
    """Of the test split, the validation split, and the split on disk."""
    parts = files_of(load_splits(config(icons, cache_mb=0), seed))
    assert leaked(parts) == []
    assert sum(map(len, parts.values())) == 104
    assert abs(len(parts["test"]) - 21) <= 1
    planned = {"train": [], "val": [], "test": []}
    for part in split_folder.plan_split(icons, split_folder.parse_ratios("80/10/10"), seed):
        planned[part.split].append(part)
    assert leaked(planned) == []
    assert sum(map(len, planned.values())) == 104


def test_without_groups_equal_files_are_drawn_one_by_one(icons):
    """As runs did that have no such setting, and go on doing when they are resumed."""
    parts = files_of(load_splits(config(icons, cache_mb=0, group_duplicates="none"), 0))
    assert ("train", "test") in leaked(parts)
    planned = {"train": [], "test": []}
    ratios = split_folder.parse_ratios("80/20")
    for part in split_folder.plan_split(icons, ratios, group_duplicates="none"):
        planned[part.split].append(part)
    assert leaked(planned) == [("train", "test")]


@pytest.fixture
def series(root, tmp_path):
    """Classes of ten pictures, each saved three times, smaller and brighter."""
    for name in ("ant", "bee"):
        folder = tmp_path / "series" / name
        folder.mkdir(parents=True)
        pictures = [path for split in ("train", "val") for path in (root / split / name).iterdir()]
        for index, path in enumerate(sorted(pictures)[:10]):
            with Image.open(path) as image:
                image.save(folder / f"{index}.png")
                smaller(image).save(folder / f"{index} small.jpg", quality=75)
                brighter(image).save(folder / f"{index} bright.jpg", quality=85)
    return tmp_path / "series"


def number_of(path):
    return path.split(".")[0].split()[0]


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_stay_together_on_request(seed, series):
    equal = load_splits(config(series), seed)
    assert {finding.problem for finding in equal.findings} == {"near_duplicate"}
    (line,) = quality_report.summary(equal.findings)
    assert "data.group_duplicates=near" in line
    near = load_splits(config(series, group_duplicates="near", cache_mb=0), seed)
    assert near.findings == ()
    sides = [{number_of(file.path) for file in files} for files in files_of(near).values()]
    assert sum(map(len, sides)) == 20
    planned = split_folder.plan_split(
        series, split_folder.parse_ratios("60/20/20"), seed, group_duplicates="near"
    )
    assert len({(number_of(part.source), part.split) for part in planned}) == 20


def test_near_duplicates_of_near_duplicates_belong_to_one_group(monkeypatch):
    """A series that changes a little from each picture to the next, as the frames of a video."""
    monkeypatch.setattr(duplicates, "MIN_CORRELATION", 0.9)
    wall = np.asarray(photo(60, 60)).astype(float)
    noise = np.random.default_rng(0).normal(0, 12, (8, *wall.shape)).cumsum(axis=0)
    frames = (wall + noise).clip(0, 255).astype("uint8")
    other = np.random.default_rng(1).integers(0, 256, (3, *wall.shape)).astype("uint8")
    groups = duplicates.group_images(np.concatenate([frames, other]), "near")
    assert len({*groups[:8]}) == 1
    assert len({*groups}) == 4


@pytest.mark.parametrize("seed", range(3))
def test_equal_arrays_stay_together(seed):
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (60, 5, 5, 3)).astype("uint8")
    images = np.concatenate([images, images[:25], images[:25]])
    labels = np.tile(np.arange(2), 55)
    splits = build_splits((images, labels), seed=seed)
    sides = [{image.tobytes() for image in split.images} for split in splits.as_dict().values()]
    assert sum(map(len, sides)) == 60
    assert len(splits.all.labels) == 110


def test_copies_of_one_image_cannot_be_split():
    images = np.zeros((40, 8, 8, 1), "uint8")
    data = (images, np.arange(40) % 2)
    with pytest.raises(SettingError, match=r"40 images that are copies of 1 .*duplicates=none"):
        build_splits(data)
    assert len(build_splits(data, group_duplicates="none").test.labels) == 8
