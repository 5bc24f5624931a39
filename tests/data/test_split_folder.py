"""`vit-keras split`: each image in exactly one split, in proportion; written atomically."""

import argparse
import csv
import os
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import STRANGE, config, write
from vit_keras import SettingError
from vit_keras.cli import split as cli_split
from vit_keras.data import split_folder
from vit_keras.data.splits import load_splits

RATIOS = split_folder.parse_ratios("80/10/10")


@pytest.fixture
def source(tmp_path):
    """Classes of 20, 33 and 7 images."""
    for name, count in (("ant", 20), ("bee", 33), ("cat", 7)):
        write(tmp_path / "photos" / name, count)
    return tmp_path / "photos"


def placed(folder):
    """(split, class) -> the pixels' bytes of its images."""
    return {
        (split.name, kind.name): Counter(
            np.asarray(Image.open(path)).tobytes() for path in kind.rglob("*.png")
        )
        for split in folder.iterdir()
        if split.is_dir()
        for kind in split.iterdir()
    }


def run(script, *words):
    status, text = script(*words, name="split_images")
    assert (status, text) == (0, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80/10/10", {"train": 0.8, "val": 0.1, "test": 0.1}),
        ("9/1", {"train": 0.9, "test": 0.1}),
        ("0.6/0.2/0.2", {"train": 0.6, "val": 0.2, "test": 0.2}),
    ],
)
def test_ratios_are_of_train_val_and_test_or_of_train_and_test(text, expected):
    assert split_folder.parse_ratios(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["80", "80/20/0", "a/b", "1/2/3/4", "-1/2", "nan/1", "inf/1", ""])
def test_other_ratios_are_refused(text):
    with pytest.raises(SettingError, match="80/10/10"):
        split_folder.parse_ratios(text)


@pytest.mark.parametrize(
    ("text", "total"), [("50/60", "110"), ("80/10/1", "91"), ("0.8/0.3", "1.1")]
)
def test_ratios_that_are_no_whole_are_refused(text, total):
    with pytest.raises(SettingError, match=f"{text} adds up to {total};"):
        split_folder.parse_ratios(text)


def test_every_image_is_in_one_split_in_proportion(source, tmp_path):
    split_folder.write_split(split_folder.plan_split(source, RATIOS), source, tmp_path / "out")
    parts = placed(tmp_path / "out")
    sizes = {key: sum(images.values()) for key, images in parts.items()}
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    for name, count in (("ant", 20), ("bee", 33), ("cat", 7)):
        assert sum(sizes[split, name] for split in shares) == count
        for split, share in shares.items():
            assert abs(sizes[split, name] - share * count) <= 1
            assert sizes[split, name] >= 1
        whole = Counter(np.asarray(Image.open(p)).tobytes() for p in (source / name).iterdir())
        assert sum((parts[split, name] for split in shares), Counter()) == whole


def test_the_same_seed_gives_the_same_split_and_another_another(source):
    assert split_folder.plan_split(source, RATIOS, 3) == split_folder.plan_split(source, RATIOS, 3)
    assert split_folder.plan_split(source, RATIOS, 3) != split_folder.plan_split(source, RATIOS, 4)


def test_equal_files_go_together_also_from_other_classes(source):
    for index in range(6):
        shutil.copy(source / f"bee/{index}.png", source / f"bee/{index} again.png")
        shutil.copy(source / f"bee/{index}.png", source / f"ant/{index} too.png")
    for seed in range(5):
        splits = {}
        for part in split_folder.plan_split(source, RATIOS, seed):
            assert splits.setdefault(part.sha256, part.split) == part.split


def test_a_file_under_two_labels_is_told(source, tmp_path, capsys):
    shutil.copy(source / "bee/0.png", source / "ant/a bee.png")
    settings = dict(
        ratios="80/10/10",
        seed=0,
        per_class=None,
        mode="copy",
        table=None,
        **dict.fromkeys(("image_column", "label_column", "group_column")),
        follow_links=False,
        layout="auto",
        group_duplicates="equal",
    )
    cli_split.split(
        argparse.Namespace(source=source, destination=tmp_path / "out", dry_run=True, **settings)
    )
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "labels" in line]
    pairs = ("ant/a bee.png (bee/0.png)", "bee/0.png (ant/a bee.png)")  # by their splits' order
    assert told in [f"warning: 1 file is there under two labels: {pair}" for pair in pairs]


def test_classes_of_nearly_the_same_name_are_told(source, tmp_path, capsys):
    write(source / "Ant", 8)
    settings = dict(ratios="80/10/10", seed=0, per_class=None, mode="copy", follow_links=False)
    settings |= dict(
        group_duplicates="equal",
        layout="auto",
        source=source,
        destination=tmp_path / "out",
        table=None,
        **dict.fromkeys(("image_column", "label_column", "group_column")),
        dry_run=True,
    )
    cli_split.split(argparse.Namespace(**settings))
    told = "warning: 1 class has the name of another one in other letters: "
    out = capsys.readouterr().out
    assert f"{told}Ant (ant)\n" in out or f"{told}ant (Ant)\n" in out


def test_a_subset_has_so_many_of_each_class(source):
    parts = split_folder.plan_split(source, RATIOS, per_class=5)
    drawn = [part for part in parts if part.split]
    assert Counter(part.class_name for part in drawn) == {"ant": 5, "bee": 5, "cat": 5}
    assert {p.source for p in parts} == {p.source for p in split_folder.plan_split(source, RATIOS)}
    assert {p.reason for p in parts if not p.split} == {split_folder.MORE}
    total = split_folder.split_table(parts, RATIOS).splitlines()[-1]
    assert sum(map(int, total.split()[1:])) == 60


@pytest.mark.parametrize("mode", split_folder.MODES)
def test_each_mode_gives_a_folder_to_train_on(mode, source, tmp_path):
    (source / "ant" / "0.png").rename(source / "ant" / f"{STRANGE[2]}{STRANGE[3]}.png")
    split_folder.write_split(
        split_folder.plan_split(source, RATIOS), source, tmp_path / "out", mode
    )
    (path,) = tmp_path.glob("out/*/ant/two*.png")
    assert path.is_symlink() == (mode == "symlink")
    assert (path.stat().st_nlink == 2) == (mode == "hardlink")
    splits = load_splits(config(tmp_path / "out", follow_links=mode == "symlink"), 0)
    assert sum(len(s.labels) for s in (splits.train, splits.validation, splits.test)) == 60
    assert splits.findings == ()


def test_each_file_of_the_source_is_in_the_table(source, tmp_path):
    """Whatever stands around the classes, in them and beside them."""
    wrap = tmp_path / "wrap"
    (wrap / "archive").mkdir(parents=True)
    source.rename(wrap / "archive" / "photos")
    (wrap / "archive" / "photos" / "ant" / "notes.txt").write_text("text")
    (wrap / "readme.md").write_text("text")
    parts = split_folder.plan_split(wrap, RATIOS)
    table = split_folder.split_table(parts, RATIOS).splitlines()
    assert table[1].split() == ["(no", "class)", "0", "0", "0", "1"]
    assert table[2].split()[-1] == "1"
    assert sum(map(int, table[-1].split()[1:])) == 62
    split_folder.write_split(parts, wrap, tmp_path / "out")
    assert {path.parent.name for path in tmp_path.glob("out/*/*/*.png")} == {"ant", "bee", "cat"}
    assert load_splits(config(tmp_path / "out"), 0).class_names == ["ant", "bee", "cat"]


def test_classes_with_the_same_sub_folders_are_split_when_that_is_said(source, script, tmp_path):
    for animal in ("ant", "bee"):
        for light in ("day", "night"):
            write(tmp_path / "lights" / animal / light, 4)
    status, text = script(tmp_path / "lights", tmp_path / "out", name="split_images")
    assert status == 2
    assert "--layout classes if they are the classes" in text
    assert "--layout {" not in text
    run(script, tmp_path / "lights", tmp_path / "out", "--layout", "classes")
    assert {path.name for path in tmp_path.glob("out/*/*")} == {"ant", "bee"}


def test_the_manifest_says_what_went_where_and_what_did_not(source, tmp_path):
    (source / "cat" / 'a, "b"\n.png').write_text("a web page")
    split_folder.write_split(split_folder.plan_split(source, RATIOS), source, tmp_path / "out")
    with open(tmp_path / "out" / split_folder.MANIFEST, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 61
    for row in rows:
        if row["split"]:
            assert row["file"].startswith(f"{row['split']}/{row['class']}/")
            copied = (tmp_path / "out" / row["file"]).read_bytes()
            assert copied == (source / row["source"]).read_bytes()
    (bad,) = [row for row in rows if not row["split"]]
    assert bad["source"] == 'cat/a, "b"\n.png'
    assert bad["left_out_because"].startswith("no image")


def test_a_failure_leaves_nothing(source, tmp_path, monkeypatch):
    real, done = shutil.copy2, []

    def full(file, target):
        if len(done) == 10:
            raise OSError(28, "No space left on device")
        done.append(real(file, target))

    monkeypatch.setattr(split_folder.shutil, "copy2", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SettingError, match="No space left"):
        split_folder.write_split(split_folder.plan_split(source, RATIOS), source, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def fill(source):
    (source.parent / "out").mkdir()
    (source.parent / "out" / "mine.txt").write_text("mine")


REFUSED = {
    "in use": (fill, "out", "is not empty"),
    "inside": (lambda source: None, "photos/split", "is in"),
    "a file": (lambda source: (source.parent / "out").write_text("mine"), "out", "no folder"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_destination_that_is_taken_is_refused(why, source, tmp_path):
    change, place, phrase = REFUSED[why]
    change(source)
    with pytest.raises(SettingError, match=phrase):
        split_folder.write_split(split_folder.plan_split(source, RATIOS), source, tmp_path / place)


def test_a_class_too_small_to_be_split_is_refused(source):
    for path in sorted((source / "cat").iterdir())[2:]:
        path.unlink()
    with pytest.raises(SettingError, match="cat has 2 different images, and 3 splits"):
        split_folder.plan_split(source, RATIOS)
    assert split_folder.plan_split(source, split_folder.parse_ratios("50/50"))


def test_a_folder_that_is_split_already_is_refused(source, tmp_path):
    split_folder.write_split(split_folder.plan_split(source, RATIOS), source, tmp_path / "out")
    with pytest.raises(SettingError, match="split already"):
        split_folder.plan_split(tmp_path / "out", RATIOS)


def test_the_script_splits_without_keras(source, script, tmp_path):
    run(script, source, tmp_path / "one", "--dry-run")
    assert not (tmp_path / "one").exists()
    run(script, source, tmp_path / "one", "--ratios", "60/40", "--per-class", 5, "--seed", 1)
    run(script, source, tmp_path / "two", "--ratios", "60/40", "--per-class", 5, "--seed", 1)
    assert placed(tmp_path / "one") == placed(tmp_path / "two")
    assert sorted(os.listdir(tmp_path / "one")) == [split_folder.MANIFEST, "test", "train"]
    sizes = {key: sum(images.values()) for key, images in placed(tmp_path / "one").items()}
    assert sizes == {
        (split, name): count
        for split, count in (("train", 3), ("test", 2))
        for name in ("ant", "bee", "cat")
    }
    status, text = script(source, tmp_path / "one", name="split_images")
    assert (status, text.count("\n")) == (2, 1)
    assert text.startswith("error: ")


def test_a_table_has_the_splits_that_copies_would_have(source, tmp_path, capsys):
    os.rename(source / "cat", source / " a 'cat', \"too\"")
    table, copies = tmp_path / "splits.csv", tmp_path / "splits"
    for words in ([str(copies)], ["--table", str(table)]):
        parser = argparse.ArgumentParser()
        cli_split.add_arguments(parser)
        cli_split.split(parser.parse_args([str(source), *words]))
    assert "recipe=folder data=csv data.path=" in capsys.readouterr().out
    of_table = config(table)
    of_table.name = "csv"
    one, other = load_splits(of_table, 0), load_splits(config(copies), 0)
    assert one.class_names == other.class_names
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a destination, or --table FILE"),
        (("new", "--table", "splits.csv"), "name a destination, or --table FILE"),
        (("--table", "beside/splits.csv"), "outside of its folder; write it into"),
        (("--table", "photos"), "is there already"),
        (("--table", "nowhere/splits.csv"), "nowhere is no folder"),
        (("--table", "splits.csv", "--mode", "symlink"), "--mode symlink means nothing"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused(source, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside").mkdir()
    parser = argparse.ArgumentParser()
    cli_split.add_arguments(parser)
    with pytest.raises(SettingError, match=message):
        cli_split.split(parser.parse_args(["photos", *words]))
    assert not (tmp_path / "splits.csv").exists()
