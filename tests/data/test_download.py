"""Downloads of data sets: complete, counted, with the training command; or a clear error."""

import os
import runpy
import shlex
import sys
import types
from pathlib import Path

import pytest
from PIL import Image

from helpers.paths import SCRIPTS
from vit_keras import SettingError, load_config
from vit_keras.cli.main import COMMANDS
from vit_keras.config.compose import compose
from vit_keras.config.schema import DataConfig
from vit_keras.data import download as data_download
from vit_keras.data.readers import folder, folder_layout, tfds_index
from vit_keras.data.readers import tfds as readers_tfds

SCRIPT = SCRIPTS / "get_data.py"


def get_data(*words, monkeypatch, capsys):
    """(exit status, what it printed, what it complained of)."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    status = 0
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def say(monkeypatch, capsys):
    return lambda *words: get_data(*words, monkeypatch=monkeypatch, capsys=capsys)


def trains(command):
    """The command that is said passes every check."""
    program, name, *words = command.split()
    assert program == "vit-keras"
    assert name in COMMANDS
    return load_config(*words)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("cifar10", [50000, 10000]), ("cifar100", [3000, 1000]), ("mnist:3.0.1", [60000, 10000])],
)
def test_what_is_there_is_counted_and_not_fetched_again(name, counts, tfds_dir, monkeypatch, say):
    monkeypatch.setattr(readers_tfds, "prepare", None)
    status, out, _ = say(name, "--to", tfds_dir)
    assert status == 0
    numbers = [
        int(line.split()[0].replace(",", "")) for line in out.splitlines() if "images" in line
    ]
    assert numbers == counts
    assert f"{name} is in {tfds_dir}" in out
    config = trains(out.partition("train on it: ")[2].strip())
    assert (config.data.name, config.data.tfds_dir) == (name, tfds_dir)


def test_the_list_says_what_is_prepared_and_what_is_damaged(tfds_dir, tmp_path, say):
    for name in ("mnist", "cifar100"):
        (tmp_path / name).symlink_to(Path(tfds_dir, name))
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{")
    (tmp_path / "beans" / "incomplete.ABCDEF_1.0.0").mkdir(parents=True)
    (tmp_path / "downloads").mkdir()
    status, out, _ = say("--list", "--to", str(tmp_path))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert lines[1:4] == [
        "cifar10:3.0.2 damaged",
        "cifar100:3.0.2 3,000 train, 1,000 test",
        "mnist:3.0.1 60,000 train, 10,000 test",
    ]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("beans", ["beans could not be downloaded", "no answer from https://", "TFDS_DATA_DIR"]),
        ("imagenet2012", ["downloads/manual by hand", "manual_dir should contain two files"]),
        (
            "someone/photos",
            ["someone/photos cannot be downloaded from Kaggle", "browser", "unpack"],
        ),
    ],
)
def test_without_a_network_it_says_at_once_what_to_do_by_hand(name, phrases, tmp_path, say):
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("kagglehub")
    status, _, err = say(name, "--to", str(tmp_path / "sets"))
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    for phrase in phrases:
        assert phrase in err


@pytest.mark.usefixtures("no_network")
def test_a_training_that_downloads_says_so_too(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")
    config = DataConfig(name="mnist", tfds_dir=str(tmp_path), download=True)
    with pytest.raises(SettingError, match=r"mnist could not be downloaded .*TFDS_DATA_DIR"):
        readers_tfds.read(config)


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["wikipedia"], "no image classification: it has"),
        (["fashion_mnits"], "did you mean fashion_mnist?"),
        (["digits"], "digits needs no download"),
        (["bogus"], "error: bogus is unknown; "),
        (["bogus"], "vit-keras get-data --list prints"),
        (["cifar10:9.9.9"], "cifar10:9.9.9 cannot be loaded by TFDS"),
    ],
)
def test_what_cannot_be_trained_on_is_not_fetched(words, phrase, tmp_path, monkeypatch, say):
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(readers_tfds, "prepare", None)
    status, _, err = say(*words, "--to", str(tmp_path))
    assert (status, phrase in err) == (2, True)


def test_ctrl_c_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch, say):
    """TFDS itself prepares, in a folder beside, and is stopped in the middle of it."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")
    seen = []

    def stop(self, *args, **kwargs):
        seen.extend(path.name for path in (tmp_path / "beans").iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(tfds.core.GeneratorBasedBuilder, "_download_and_prepare", stop)
    monkeypatch.setattr(readers_tfds, "check_network", lambda addresses: None)
    status, _, err = say("beans", "--to", str(tmp_path))
    assert (status, "run the command again" in err) == (130, True)
    assert seen[0].startswith("incomplete.")
    assert data_download.prepared(str(tmp_path)) == {}
    assert tfds_index.prepared(DataConfig(name="beans", tfds_dir=str(tmp_path))) is None


def test_a_file_that_its_publisher_replaced_can_be_taken(tmp_path, monkeypatch, say):
    """The advice of a missing network, to prepare it elsewhere, would fail in the same way."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")

    def check(self, dl_manager, *args, **kwargs):
        if dl_manager.register_checksums:
            raise RuntimeError("taken as it is")
        raise tfds.core.download.download_manager.NonMatchingChecksumError("beans.zip: wrong")

    monkeypatch.setattr(tfds.core.GeneratorBasedBuilder, "_download_and_prepare", check)
    monkeypatch.setattr(readers_tfds, "check_network", lambda addresses: None)
    status, _, err = say("beans", "--to", str(tmp_path))
    assert (status, "another computer" in err) == (2, False)
    assert "tfds-nightly" in err
    way_out = err.strip().rpartition("vit-keras get-data ")[2].split()
    assert way_out == ["beans", "--accept-changes"]
    assert "taken as it is" in say(*way_out, "--to", str(tmp_path))[2]


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """A kagglehub that "downloads" what the test puts into `content`: path -> number of images."""
    content = {}

    def download(handle, output_dir=None):
        place = Path(output_dir or tmp_path / "cache")
        for path, count in content.items():
            (place / path).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (4, 4)).save(place / path / f"{index}.PNG")
        (place / "readme.txt").write_text(handle)
        return str(place)

    fake = types.SimpleNamespace(dataset_download=download)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    monkeypatch.setattr(readers_tfds, "check_network", lambda addresses: None)
    monkeypatch.setattr(tfds_index, "list_builders", lambda: ["imagenette"])
    return content


@pytest.mark.parametrize("handle", ["me/photos", "https://www.kaggle.com/datasets/me/photos/"])
@pytest.mark.parametrize("below", ["", "archive/photos 1"])
def test_classes_of_a_kaggle_set_are_found_wherever_they_lie(handle, below, kaggle, tmp_path, say):
    kaggle |= {os.path.join(below, "ant"): 3, os.path.join(below, "bee"): 2, "docs": 0}
    place = tmp_path / "here"
    status, out, _ = say(handle, "--to", str(place))
    assert status == 0
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["3", "images", "ant"],
        ["2", "images", "bee"],
    ]
    assert f"is in {place / below}\n" in out
    words = shlex.split(out.partition("train on it: ")[2])
    assert words[2] == "recipe=finetune_folder"
    config = compose(*words[2:])
    assert config.data.path == str(place / below)
    assert config.data.classes == (None if below else ["ant", "bee"])  # docs/ stands beside them
    assert folder_layout.list_folder(config.data).class_names[:2] == ["ant", "bee"]


SPLITS = [("train", "test"), ("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test")]


@pytest.mark.parametrize("names", SPLITS)
@pytest.mark.parametrize("below", ["", "archive"])
def test_the_splits_of_a_kaggle_set_are_all_of_it(names, below, kaggle, tmp_path, say):
    for name, count in zip(names, (3, 2), strict=True):
        kaggle |= {os.path.join(below, name, animal): count for animal in ("ant", "bee")}
    kaggle["__MACOSX/train/ant"] = 9
    status, out, _ = say("me/photos", "--to", str(tmp_path / "here"))
    assert status == 0
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["6", "images", "train"],
        ["4", "images", "test"],
    ]
    words = shlex.split(out.partition("train on it: ")[2])
    config = compose(*words[2:]).data
    assert config.path == str(tmp_path / "here" / below)
    assert folder.image_counts(config) == {"train": 6, "test": 4}


def test_a_sample_beside_the_classes_of_a_kaggle_set_is_no_class(kaggle, tmp_path, say):
    kaggle |= {"pets/ant": 3, "pets/bee": 2, "sample": 1}
    _, out, _ = say("me/photos", "--to", str(tmp_path / "here"))
    assert f"is in {tmp_path / 'here/pets'}\n" in out


def test_a_kaggle_set_that_can_be_read_in_two_ways_is_asked_about(kaggle, tmp_path, say):
    kaggle |= {f"{fold}/{animal}": 2 for fold in ("fold 1", "fold 2") for animal in ("ant", "bee")}
    status, _, err = say("me/photos", "--to", str(tmp_path / "here"))
    assert status == 2
    assert 'data.layout={train: "fold 1", test: "fold 2"}' in err


def test_a_kaggle_set_without_classes_says_what_it_has(kaggle, say):
    kaggle |= {"everything": 3}
    status, _, err = say("me/photos")
    assert status == 2
    assert "no folder with a sub-folder of images for each class (everything, readme.txt)" in err
