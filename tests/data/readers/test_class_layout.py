"""Splits and classes are found by one reader, whatever the folders are called and stand in."""

import unicodedata

import pytest

from helpers.image_files import config, write
from vit_keras import SettingError, load_config
from vit_keras.data import registry
from vit_keras.data.readers import folder_layout, layout_names
from vit_keras.data.splits import load_splits

NFC, NFD = "café", unicodedata.normalize("NFD", "café")


def make(root, *folders, count=4):
    """Images in each of the folders."""
    for folder in folders:
        write(root / folder, count)
    return root


def both(*folders):
    return [f"{folder}/{name}" for folder in folders for name in ("cat", "dog")]


def read(root, **settings):
    """(classes, {split: number of images}) as a training reads them."""
    data = registry.read_dataset(config(root, **settings))
    return data.class_names, data.image_counts


def problems(root, **settings):
    return {
        finding.problem: (finding.file, finding.detail)
        for finding in load_splits(config(root, **settings), 0).findings
    }


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", None, "Testing"),
        ("Train", "Valid", "Test"),
        ("training_set", None, "test_set"),
        ("TRAIN", "dev", "TEST"),
        ("seg_train", None, "seg_test"),
        ("Train Images", "Validation Images", "Test Images"),
        ("dogs_train", None, "dogs_test"),
        ("train2017", "val2017", None),
        ("trainset", None, "testset"),
    ],
)
def test_splits_have_their_usual_names_in_any_case(train, validation, test, tmp_path):
    names = {"train": train, "validation": validation, "test": test}
    names = {split: name for split, name in names.items() if name}
    make(tmp_path, *both(*names.values()))
    assert read(tmp_path) == (["cat", "dog"], dict.fromkeys(names, 8))


@pytest.mark.parametrize(
    "names",
    [
        ("test_tube", "test_strip"),
        ("training shoes", "dress shoes"),
        ("valid", "invalid"),
        ("train", "plane"),
        ("dev", "prod"),
    ],
)
def test_words_of_splits_in_names_of_classes_are_no_splits(names, tmp_path):
    make(tmp_path, *names)
    assert read(tmp_path) == (sorted(names), {"train": 8})


def test_a_folder_around_the_classes_is_taken_and_said(tmp_path):
    make(tmp_path, *both("wrap/PetImages"))
    make(tmp_path, "wrap", count=1)  # a stray image
    (tmp_path / "wrap" / "docs").mkdir()
    (tmp_path / "wrap" / "docs" / "readme.md").write_text("about")
    assert read(tmp_path) == (["cat", "dog"], {"train": 8})
    findings = load_splits(config(tmp_path), 0).findings
    assert [(f.problem, f.file, f.detail) for f in findings[:3]] == [
        ("inner_folder", "wrap/PetImages", "the folder around the classes"),
        ("ignored", "wrap/0.png", "in no folder of a class"),
        ("ignored", "wrap/docs/readme.md", "no image, by its ending .md"),
    ]


def test_a_single_class_is_no_folder_around_its_sub_folders(tmp_path):
    make(tmp_path, "cat", "cat/raw", "cat/edited")
    with pytest.raises(SettingError, match="has 1 sub-folder "):
        read(tmp_path)


def test_a_folder_around_splits_and_one_in_each_split_are_taken(tmp_path):
    make(tmp_path, *both("archive/seg_train/seg_train", "archive/seg_test/seg_test"))
    assert read(tmp_path) == (["cat", "dog"], {"train": 8, "test": 8})


def test_a_test_folder_without_classes_is_no_split_and_said(tmp_path):
    """As in most competitions: its images have no labels."""
    make(tmp_path, *both("train"), "test")
    assert read(tmp_path) == (["cat", "dog"], {"train": 8})
    findings = [f for f in load_splits(config(tmp_path), 0).findings if f.problem == "ignored"]
    assert len(findings) == 4
    assert findings[0].detail == "without a label: test has no folder for each class"
    assert "no_classes" in problems(tmp_path)


SYSTEM_FOLDERS = ["__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir"]


@pytest.mark.parametrize("where", ["", "cat", "cat/more"])
@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_folders_of_a_system_are_no_classes_and_said_once(name, where, tmp_path):
    make(tmp_path, *both("."), f"{where}/{name}/cat".strip("/"))
    assert read(tmp_path) == (["cat", "dog"], {"train": 8})
    findings = [f for f in load_splits(config(tmp_path), 0).findings if f.problem == "ignored"]
    (finding,) = findings
    assert finding.file == f"{where}/{name}".strip("/")
    assert finding.detail.endswith(", with 4 files")


def test_a_name_in_two_unicode_forms_is_one_class(tmp_path):
    make(tmp_path, f"train/{NFC}", "train/dog", f"test/{NFD}", "test/dog")
    assert read(tmp_path) == ([NFC, "dog"], {"train": 8, "test": 8})
    write(tmp_path / "train" / NFD, 3)
    assert read(tmp_path)[1] == {"train": 11, "test": 8}


def test_classes_whose_names_differ_in_case_or_spaces_are_reported(tmp_path):
    make(tmp_path, "Cat", "cat", "cat ", "dog")
    assert read(tmp_path)[0] == ["Cat", "cat", "cat ", "dog"]
    findings = load_splits(config(tmp_path), 0).findings
    pairs = [(f.file, f.other_file) for f in findings if f.problem == "similar_names"]
    assert pairs == [("cat", "Cat"), ("cat ", "Cat")]


ASKED = {
    "two folders of the same classes": (both("north", "south"), "have the same sub-folders"),
    "nearly the same": (
        ["a/1", "a/2", "a/3", "b/1", "b/2"],
        "say which is which by 'data.layout={train: a, test: b}'",
    ),
    "splits without classes": (["train", "test"], "named as splits"),
    "a folder beside train": ([*both("train", "test"), "raw"], "raw beside train"),
    "a folder beside Training": ([*both("Training"), "Match"], "data.layout=classes"),
    "two of one split": (both("train", "val", "valid"), "val and valid, which are both"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_can_be_read_in_two_ways_is_asked_with_the_answers(case, tmp_path):
    folders, phrase = ASKED[case]
    make(tmp_path, *folders)
    with pytest.raises(SettingError) as caught:
        read(tmp_path)
    assert phrase in str(caught.value)
    assert "data.layout=" in str(caught.value)


def test_each_answer_is_taken(tmp_path):
    make(tmp_path, *both("north", "south"), "raw")
    assert read(tmp_path, layout="classes") == (["north", "raw", "south"], {"train": 20})
    answered = dict(layout={"train": "north", "val": "south"})
    assert read(tmp_path, **answered) == (["cat", "dog"], {"train": 8, "validation": 8})
    assert problems(tmp_path, **answered)["ignored"] == ("raw/3.png", "in no folder of a class")


def test_folders_that_are_named_by_numbers_are_taken_as_splits(tmp_path):
    make(tmp_path, *both("2023", "2024"))
    with pytest.raises(SettingError, match=r"\{train: 2023, test: 2024\}"):
        read(tmp_path)
    layout = load_config("data.layout={train: 2023, test: 2024}").data.layout
    assert read(tmp_path, layout=layout)[1] == {"train": 8, "test": 8}


def test_classes_of_which_no_file_is_read_are_explained(tmp_path):
    make(tmp_path, "ant", "bee")
    with pytest.raises(SettingError, match=r"\(ant/0\.png: not among data\.suffixes\)"):
        read(tmp_path, suffixes=[".gif"])
    for file in tmp_path.glob("*/*.png"):
        file.rename(file.with_suffix(".npy"))
    with pytest.raises(SettingError, match=r"ant/0\.npy: .* where data\.value_range is set"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("layout", "phrase"),
    [
        ({"test": "south"}, "has no train"),
        ({"train": "north", "best": "south"}, "may have one for validation and test"),
        ({"train": "../north"}, "is not within"),
        ({"train": "west"}, "cannot be listed"),
        ("class", "did you mean classes?"),
    ],
)
def test_a_layout_that_is_not_there_is_refused(layout, phrase, tmp_path):
    make(tmp_path, *both("north", "south"))
    with pytest.raises(SettingError) as caught:
        read(tmp_path, layout=layout)
    assert phrase in str(caught.value)


def test_a_split_may_lack_a_class_where_that_is_asked_for(tmp_path):
    """The class keeps its number, also with an empty folder; the advice leads on from there."""
    make(tmp_path, "train/cat", "train/cow", "train/dog", "test/cow", "test/dog")
    with pytest.raises(SettingError, match=r"test lacks cat; set data\.missing_classes=allow"):
        read(tmp_path)
    (tmp_path / "test" / "cat").mkdir()
    with pytest.raises(SettingError, match=r"test/cat has no .* set data\.missing_classes=allow"):
        read(tmp_path)
    for _ in range(2):
        data = registry.read_dataset(config(tmp_path, missing_classes="allow"))
        assert data.class_names == ["cat", "cow", "dog"]
        assert data.test.labels.tolist() == [1] * 4 + [2] * 4
        if (tmp_path / "test" / "cat").is_dir():
            (tmp_path / "test" / "cat").rmdir()
    chosen = dict(classes=["cow", "dog"])
    assert load_splits(config(tmp_path, **chosen), 0).class_names == ["cow", "dog"]


def test_a_training_split_lacks_no_class_even_then(tmp_path):
    make(tmp_path, "train/dog", "train/cow", "test/cat", "test/dog", "test/cow")
    with pytest.raises(SettingError, match="test also has cat"):
        read(tmp_path, missing_classes="allow")


def test_a_run_of_version_0_1_reads_what_it_read(tmp_path):
    """By the values that its settings get: names as they are, files by seven endings."""
    literal = dict(layout="literal", suffixes=[".jpg", ".jpeg", ".png"])
    make(tmp_path, *both("Training", "Testing"), "@eaDir/cat")
    assert read(tmp_path, **literal) == (["@eaDir", "Testing", "Training"], {"train": 20})
    write(tmp_path / "Training" / "cat", 2, "tiff")
    assert read(tmp_path, **literal)[1] == {"train": 20}


def test_the_list_of_an_ordinary_folder_is_in_the_order_of_its_paths(tmp_path):
    """The fingerprint of a data set, and so each resumed run, depends on it."""
    make(tmp_path, "b", "a/z", "a", "a 2")
    files = folder_layout.list_files(config(tmp_path))
    assert [file.path for file in files] == [
        *(f"a/{i}.png" for i in range(4)),
        *(f"a/z/{i}.png" for i in range(4)),
        *(f"a 2/{i}.png" for i in range(4)),
        *(f"b/{i}.png" for i in range(4)),
    ]
    assert [file.label for file in files] == [0] * 8 + [1] * 4 + [2] * 4


def test_every_ending_of_an_image_is_one_of_no_other_file():
    assert not {*layout_names.SUFFIXES, *layout_names.UNREAD} & layout_names.COMPANIONS
