"""Folders of images: layouts, classes, and the images that are read."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import SIZE, STRANGE, config, write
from vit_keras import SettingError, load_config
from vit_keras.config.schema import Config, ModelConfig
from vit_keras.data import registry
from vit_keras.data.splits import load_splits
from vit_keras.training import preflight

MODEL = ModelConfig(patch_size=2, width=8, depth=1, num_heads=1, mlp_dim=8)
COUNTS = {"ant": 10, "bee": 15, "cat 2": 5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Classes of different sizes, made in another order than by name."""
    root = tmp_path_factory.mktemp("photos")
    for name in reversed(COUNTS):
        write(root / name, COUNTS[name] - 2)
        write(root / name / "more" / "of it", 1, "BMP")
        write(root / name / "more", 1, "PNG")
        (root / name / "Thumbs.db").write_bytes(b"no image")
        (root / name / "._0.png").write_bytes(b"macOS writes these")
    (root / ".hidden").mkdir()
    (root / "readme.txt").write_text("no class")
    return root


@pytest.fixture
def split_root(tmp_path):
    """Twelve images a class to train on, two to validate and three to test."""
    for name in ("ant", "bee"):
        for split, count in (("train", 12), ("valid", 2), ("test", 3)):
            write(tmp_path / "split" / split / name, count)
    return tmp_path / "split"


def contents(*splits):
    return Counter((i.tobytes(), int(k)) for s in splits for i, k in zip(*s, strict=True))


def sizes(splits):
    return [len(part.labels) for part in (splits.train, splits.validation, splits.test)]


def test_classes_are_in_the_order_of_their_names_and_every_image_is_in_one_split(root):
    splits = load_splits(config(root), seed=0)
    assert splits.class_names == ["ant", "bee", "cat 2"]
    written = Counter()
    for label, name in enumerate(COUNTS):
        for path in root.glob(f"{name}/**/[0-9]*"):
            written[np.asarray(Image.open(path)).tobytes(), label] += 1
    assert contents(splits.train, splits.validation, splits.test) == written
    np.testing.assert_array_equal(np.bincount(splits.test.labels), [2, 3, 1])  # a fifth
    assert splits.train.images.shape[1:] == (*SIZE, 3)


def test_the_test_split_is_the_same_for_each_seed(root):
    one, other = (load_splits(config(root), seed) for seed in (0, 1))
    assert one.fingerprint != other.fingerprint
    np.testing.assert_array_equal(one.test.images, other.test.images)


def test_few_images_to_train_on_leave_the_test_split_whole(root):
    whole, few = (
        load_splits(config(root), 0),
        load_splits(config(root, train_limit=12), 0),
    )
    assert len(few.train.labels) + len(few.validation.labels) == 12
    np.testing.assert_array_equal(few.test.images, whole.test.images)


def test_a_folder_that_is_split_stays_as_it_is(split_root):
    splits = load_splits(config(split_root), 0)
    assert sizes(splits) == [24, 4, 6]
    for split, name in ((splits.validation, "valid"), (splits.test, "test")):
        expected = Counter(
            (np.asarray(Image.open(path)).tobytes(), label)
            for label, kind in enumerate(("ant", "bee"))
            for path in (split_root / name / kind).iterdir()
        )
        assert contents(split) == expected
    counts = registry.image_counts(config(split_root))
    assert counts == {"train": 24, "validation": 4, "test": 6}


@pytest.mark.parametrize(
    ("absent", "expected"),
    [("valid", [22, 2, 6]), ("test", [19, 4, 5]), ("both", [17, 2, 5])],
)
def test_a_split_that_is_not_there_is_carved_out_of_the_training_images(
    absent, expected, split_root, tmp_path
):
    for name in ("valid", "test"):
        if absent in (name, "both"):
            (split_root / name).rename(tmp_path / name)
    splits = load_splits(config(split_root), 0)
    assert sizes(splits) == expected
    assert splits.class_names == ["ant", "bee"]


def test_a_batch_may_be_as_large_as_a_training_split_that_nothing_is_carved_out_of(split_root):
    settings = ("data=folder", f"data.path={split_root}", "data.image_size=8", "model.patch_size=4")
    load_config(*settings, "train.batch_size=24")
    with pytest.raises(SettingError, match="more than the 24 images"):
        load_config(*settings, "train.batch_size=25")


def test_settings_choose_before_anything_is_decoded(split_root):
    """Of a set that is never in memory too."""
    for cache_mb in (0, 100):
        chosen = config(split_root, classes=["bee", "ant"], limit=10, cache_mb=cache_mb)
        splits = load_splits(chosen, 0)
        assert sizes(splits) == [10, 4, 6]
        assert splits.class_names == ["bee", "ant"]
        bees = np.stack([Image.open(p) for p in sorted((split_root / "test/bee").iterdir())])
        np.testing.assert_array_equal(splits.test.images[splits.test.labels == 0], bees)


def test_any_name_of_a_class_and_of_a_file_will_do(tmp_path):
    for name in STRANGE:
        write(tmp_path / name, 3)
        (tmp_path / name / "0.png").rename(tmp_path / name / f"{name}.PnG")
    splits = load_splits(config(tmp_path), 0)
    assert splits.class_names == sorted(STRANGE)
    assert sum(sizes(splits)) == 18
    assert splits.findings == ()
    assert len(splits.table().splitlines()) == 2 + len(STRANGE)


def raw_class(root):
    write(root / "raw" / "ant", 1)


REFUSED = {
    "an empty class": (lambda root: (root / "train/cow").mkdir(), "valid lacks cow"),
    "a class besides": (
        lambda root: write(root / "test/cow", 1),
        "test also has cow",
    ),
    "no images": (
        lambda root: [path.unlink() for path in (root / "valid/bee").iterdir()],
        "valid/bee has no image",
    ),
    "a stray": (raw_class, "raw beside train"),
    "two of one split": (lambda root: write(root / "val/ant", 1), "val and valid"),
    "one class": (
        lambda root: [
            path.rename(root.parent / f"{path.parent.name}-bee") for path in root.glob("*/bee")
        ],
        "1 sub-folder ",
    ),
    "a link of a folder": (
        lambda root: (root / "train/cow").symlink_to(root.parent),
        "train/cow is a link out",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_folder_that_makes_no_sense_is_refused(why, split_root):
    change, phrase = REFUSED[why]
    change(split_root)
    with pytest.raises(SettingError) as caught:
        preflight.check(Config(data=config(split_root), model=MODEL))
    assert phrase in str(caught.value)


def test_splits_without_one_to_train_on_are_refused(split_root):
    (split_root / "train").rename(split_root.parent / "elsewhere")
    with pytest.raises(SettingError, match="no train/<class>/"):
        load_splits(config(split_root), 0)


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("train", "plane"):
        write(tmp_path / name, 5)
    assert load_splits(config(tmp_path), 0).class_names == ["plane", "train"]


def test_another_folder_than_the_one_that_was_meant_is_told_apart(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"an image")
    (tmp_path / "empty").mkdir()
    said = {
        "fotos": "is no folder; did you mean .*photos",
        "empty": r"0 sub-folders with images.*\(the folder is empty\)",
        "photos": r"0 sub-folders with images.*\(1 file lies in it without a sub-folder\)",
    }
    for name, message in said.items():
        with pytest.raises(SettingError, match=message):
            registry.class_names(config(tmp_path / name))
