"""Several labels an image from folders and from arrays: the same data set as by a table."""

import os
import shutil

import numpy as np
import pytest

from helpers.image_files import SIZE, config, pixels, write
from vit_keras import SettingError, build_splits
from vit_keras.config.schema import DataConfig
from vit_keras.data import registry
from vit_keras.data.readers import folder
from vit_keras.data.readers.in_memory import to_in_memory
from vit_keras.data.splits import load_splits

LABELS = [["ant", "bee"], ["ant"], ["ant", "cat"], ["bee", "ant"], ["ant", "bee", "cat"]] * 6
NAMES = ["ant", "bee", "cat"]
IMAGES = np.array([pixels(seed) for seed in range(len(LABELS))])
ROWS = np.array([[name in labels for name in NAMES] for labels in LABELS], "int64")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def put(source, file, kind):
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        file.symlink_to(source)
    else:
        (os.link if kind == "hard link" else shutil.copy)(source, file)


def in_folders(root, kind):
    """Each image in the folder of each of its labels."""
    write(root / "all", len(LABELS))
    for index, labels in enumerate(LABELS):
        for label in labels:
            put(root / "all" / f"{index}.png", root / "classes" / label / f"{index}.png", kind)
    return root / "classes"


def table(root):
    """The same by a table, which names each image in the folder of its first label."""
    lines = [f"{min(labels)}/{index}.png,{';'.join(labels)}" for index, labels in enumerate(LABELS)]
    (root / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    return DataConfig(
        name="csv",
        path=str(root / "labels.csv"),
        image_size=list(SIZE),
        several_labels=True,
        follow_links=True,
    )


@pytest.mark.parametrize("kind", ["link", "hard link", "copy"])
def test_an_image_in_several_folders_has_the_labels_of_all(kind, tmp_path):
    classes = in_folders(tmp_path, kind)
    settings = config(classes, several_labels=True, follow_links=True)
    found = load_splits(settings, 0)
    assert found.class_names == NAMES
    assert len(found.all.labels) == len(LABELS)
    assert found.all.class_counts(3).tolist() == ROWS.sum(axis=0).tolist()
    assert found.fingerprint == load_splits(table(classes), 0).fingerprint
    files = ROWS.sum() if kind == "copy" else len(LABELS)  # copies are not compared before
    assert registry.image_counts(settings) == {"train": files}
    if kind == "link":
        with pytest.raises(SettingError, match="follow_links"):
            load_splits(config(classes, several_labels=True), 0)


def test_files_of_two_splits_stay_two_images(tmp_path):
    for split in ("train", "val"):
        for label in "ab":
            write(tmp_path / split / label, 3)
            shutil.copy(tmp_path / "train" / "a" / "0.png", tmp_path / split / label / "same.png")
    found = folder.read(config(tmp_path, several_labels=True))
    # "same" is 0.png of train/a, and with it in both classes of train, and of val.
    assert found.image_counts == {"train": 6, "validation": 7}
    for split in (found.train, found.validation):
        assert sorted(split.labels.sum(axis=1))[-2:] == [1, 2]


def test_folders_of_one_class_for_each_image_are_refused(tmp_path):
    for label in "ab":
        write(tmp_path / label, 4)
    with pytest.raises(SettingError, match=r"folder of one class; leave task=multilabel out"):
        load_splits(config(tmp_path, several_labels=True), 0)


def test_columns_of_zeros_and_ones_are_a_label_each(tmp_path):
    classes = in_folders(tmp_path, "hard link")
    expected = load_splits(table(classes), 0)
    words = {0: ["0", "1"], 1: ["False", "true"], 2: ["0.0", "1.0"]}
    lines = [
        f"{min(labels)}/{index}.png,{','.join(words[index % 3][bit] for bit in ROWS[index])},x"
        for index, labels in enumerate(LABELS)
    ]
    file = classes / "columns.csv"
    settings = DataConfig(
        name="csv",
        path=str(file),
        image_size=list(SIZE),
        several_labels=True,
        label_column=["cat", "ant", "bee"],
    )
    file.write_text("\n".join(["image,ant,bee,cat,note", *lines]))
    assert load_splits(settings, 0).fingerprint == expected.fingerprint

    for cell, phrase in {
        "2": r"line 2: cat is 2; write 1",
        "maybe": "cat is maybe; write 1",
    }.items():
        file.write_text(
            "\n".join(["image,ant,bee,cat,note", f"ant/0.png,1,0,{cell},x", *lines[1:]])
        )
        with pytest.raises(SettingError, match=phrase):
            load_splits(settings, 0)
    file.write_text("\n".join(["image,ant,bee,cat,note", "ant/0.png,1,0,,x", *lines[1:]]))
    found = load_splits(settings, 0)
    assert [one.file for one in found.findings if one.problem == "no_label"] == ["ant/0.png"]
    settings.label_column = ["cat", "bea"]
    with pytest.raises(SettingError, match=r"label_column=bea is no column.*did you mean bee"):
        load_splits(settings, 0)
    settings.label_column = ["cat", "image"]
    with pytest.raises(SettingError, match=r"image is ant/0.png; write 1"):
        load_splits(settings, 0)


def test_one_column_of_one_for_each_row_is_a_class(tmp_path):
    write(tmp_path, 6)
    lines = [f"{index}.png,{index % 2},{1 - index % 2}" for index in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,odd,even", *lines]))
    settings = DataConfig(
        name="csv",
        path=str(tmp_path / "labels.csv"),
        image_size=list(SIZE),
        label_column=["odd", "even"],
    )
    found = load_splits(settings, 0)
    assert found.class_names == ["even", "odd"]
    assert found.all.labels.ndim == 1


def test_arrays_have_rows_or_lists_of_names(tmp_path):
    by_rows = build_splits((IMAGES, ROWS), class_names=NAMES, several_labels=True)
    by_name = build_splits((IMAGES, LABELS), several_labels=True)
    assert by_name.class_names == NAMES
    assert by_name.fingerprint == by_rows.fingerprint
    assert by_name.all.class_counts(3).tolist() == ROWS.sum(axis=0).tolist()
    assert by_name.train.labels.dtype == np.float32

    path = str(tmp_path / "labels.npz")
    np.savez(path, images=IMAGES, labels=ROWS.astype(bool), class_names=NAMES)
    settings = DataConfig(name="npz", path=path, several_labels=True)
    assert load_splits(settings, 0).fingerprint == by_rows.fingerprint
    assert registry.class_names(settings) == NAMES

    # A label that only the validation images have is one of all, and splits are taken again.
    three = build_splits(
        (IMAGES, LABELS), (IMAGES[:2], [["dog"], []]), (IMAGES[:1], [["ant"]]), several_labels=True
    )
    assert three.class_names == [*NAMES, "dog"]
    assert three.validation.labels.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    again = to_in_memory(three, DataConfig(several_labels=True))
    np.testing.assert_array_equal(again.train.labels, three.train.labels)


REFUSED = {
    "classes": (
        dict(train=(IMAGES, ROWS[:, 0])),
        "train has labels of shape (30,), and task=multi",
    ),
    "numbers": (dict(train=(IMAGES, ROWS * 2)), "train has 2 in its labels; give rows of 0 and 1"),
    "no label": (dict(train=(IMAGES, ROWS * 0)), "train has no label of any image"),
    "one name": (
        dict(train=(IMAGES, [*LABELS[:-1], "ant"])),
        "train has ant for image 29, and lists of names for others",
    ),
    "too few names": (
        dict(train=(IMAGES, ROWS), class_names=["ant", "bee"]),
        "3 labels for each image in train and 2 in class_names",
    ),
    "another number": (
        dict(train=(IMAGES, ROWS), test=(IMAGES, ROWS[:, :2])),
        "3 labels for each image in train and 2 in test",
    ),
    "unknown name": (
        dict(train=(IMAGES, LABELS), class_names=["ant", "bee", "cow"]),
        "train has the label cat for image 2, which is none of the 3 class names",
    ),
    "too few": (dict(train=(IMAGES, LABELS[:-1])), "30 images and 29 labels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_labels_that_are_none_are_named(kind):
    parts, phrase = REFUSED[kind]
    with pytest.raises(SettingError) as caught:
        build_splits(**parts, several_labels=True)
    assert phrase in str(caught.value)


def test_several_labels_without_the_task_name_it():
    with pytest.raises(SettingError, match="give each image one class, or set task=multilabel"):
        build_splits((IMAGES, ROWS))
