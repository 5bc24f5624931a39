"""Images of a group stay together in every draw, and a table that parts them is refused."""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from helpers.image_files import SIZE, write
from vit_keras import SettingError
from vit_keras.cli.split import main as split_main
from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates, registry
from vit_keras.data.dataset import SourceData, Split
from vit_keras.data.folds import assign_folds
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.data.splits import load_splits, train_image_count

SETS = 200


def random_source(seed):
    """Images of 2 to 5 classes in groups of all sizes, some of them copies of others.

    A group may have several classes, and a copy may be in another group.
    """
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(40, 400)), int(rng.integers(2, 6))
    groups = rng.integers(0, rng.integers(12, count), count)
    copies = rng.random(count) < rng.choice([0, 0.01])
    contents = np.where(copies, rng.integers(0, count, count), np.arange(count))
    records = [
        FileRecord(f"{index}.png", 1, 1, 1, 1, f"{content:064x}", "")
        for index, content in enumerate(contents)
    ]
    images = LazyImages(Path("no/such"), records, SIZE, "crop", 1, groups=[f"p{g}" for g in groups])
    labels = rng.integers(0, classes, count).astype(np.int32)
    return SourceData(Split(images, labels), None, None, [str(name) for name in range(classes)])


def assert_apart(splits):
    """No group, and no image, is in two of the splits."""
    for keys in (lambda images: images.groups, lambda images: [f.sha256 for f in images.files]):
        found = [{*keys(split.images)} for split in splits]
        assert len(set().union(*found)) == sum(map(len, found))


@pytest.mark.parametrize("seeds", np.split(np.arange(SETS), 4), ids="abcd")
def test_no_group_is_in_two_drawn_splits_and_shares_are_kept(seeds):
    for seed in seeds.tolist():
        source = random_source(seed)
        config = DataConfig(name="csv", group_column="patient", cache_mb=0)
        drawn = load_splits(config, seed, source).as_dict()
        assert_apart(drawn.values())
        joined = duplicates.group_images(source.train.images, "equal")
        largest, count = np.bincount(joined).max(), len(joined)
        # A split can miss its share by the largest group, hardly by more.
        assert abs(len(drawn["test"].labels) - count / 5) <= largest + 1
        assert abs(len(drawn["validation"].labels) - 0.1 * count * 4 / 5) <= largest + 1
        assert sum(len(split.labels) for split in drawn.values()) == count


def test_groups_are_joined_as_connected_components_are():
    rng = np.random.default_rng(0)
    for _ in range(20):
        groups, named = rng.integers(0, 40, 60), rng.integers(0, 50, 60)
        groups = np.unique(groups, return_inverse=True)[1]
        edges = coo_array((np.ones(60), (groups, 40 + named)), shape=(90, 90))
        _, expected = connected_components(edges, directed=False)
        found = duplicates.join_groups(groups, named)
        same = found[:, None] == found
        assert np.array_equal(same, expected[groups][:, None] == expected[groups])


@pytest.fixture
def table(tmp_path):
    """Writes labels.csv of images by ten patients, two of each class and patient."""
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 20)
    rows = [
        {"image": f"photos/{name}/{index}.png", "label": name, "patient": f"p{index // 2}"}
        for name in ("ant", "bee")
        for index in range(20)
    ]

    def written(edit=lambda row: {}, name="labels.csv"):
        edited = [{**row, **edit(row)} for row in rows]
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, edited[0])
            writer.writeheader()
            writer.writerows(edited)
        return tmp_path / name

    return written


def config_of(path, **settings):
    settings = {"group_column": "patient", **settings}
    return DataConfig(name="csv", path=str(path), image_size=list(SIZE), **settings)


@pytest.mark.parametrize("group_duplicates", ["equal", "near", "none"])
def test_a_table_is_drawn_by_its_groups(table, group_duplicates):
    for seed in range(3):
        config = config_of(table(), cache_mb=0, group_duplicates=group_duplicates)
        splits = load_splits(config, seed)
        assert_apart(splits.as_dict().values())
        assert splits.image_counts == {"train": 28, "validation": 4, "test": 8}


def test_one_group_cannot_be_divided(table):
    with pytest.raises(SettingError, match=r"no test split can be drawn from 40 images of 1 group"):
        load_splits(config_of(table(lambda row: {"patient": "p0"})), 0)


def in_splits(row):
    return {"split": {"p3": "val", "p4": "test"}.get(row["patient"], "train")}


def test_fixed_splits_keep_groups_apart(table):
    assert registry.image_counts(config_of(table(in_splits)))["validation"] == 4
    torn = table(lambda r: {"split": "test" if "bee/5" in r["image"] else in_splits(r)["split"]})
    expected = r"patient p2 is in train \(labels.csv, line 6\) and in test \(labels.csv, line 27\)"
    with pytest.raises(SettingError, match=expected):
        registry.image_counts(config_of(torn))
    assert registry.image_counts(config_of(torn, split_column="none")) == {"train": 40}


@pytest.mark.parametrize(
    ("edit", "column", "expected"),
    [
        (lambda row: {}, "patients", r"data.group_column=patients is no column of .*patient"),
        (lambda row: {}, "label", "data.group_column=label is the column of the labels"),
        (lambda row: {"patient": " "}, "patient", "labels.csv, line 2: no group in patient"),
        (
            lambda row: {"image": "photos/ant/0.png", "label": "ant"},
            "patient",
            r"line 4: photos/ant/0.png is of patient p1, and in another row of p0",
        ),
    ],
)
def test_bad_groups_are_refused(table, edit, column, expected):
    path = table(lambda row: edit(row) if row["label"] == "ant" else {})
    with pytest.raises(SettingError, match=expected):
        registry.image_counts(config_of(path, group_column=column))


def run_split(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["vit-keras split", *map(str, words)])
    split_main()


def test_a_table_is_split_into_a_table(table, tmp_path, monkeypatch, capsys):
    path, out = table(in_splits), tmp_path / "splits.csv"
    words = ("--table", out, "--group-column", "patient", "--ratios", "60/20/20")
    run_split(monkeypatch, path, *words)
    assert "data=csv" in capsys.readouterr().out.splitlines()[-1].split()
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["image", "label", "split", "patient"]
    splits, counts = defaultdict(set), defaultdict(int)
    for row in rows:
        splits[row["patient"]].add(row["split"])
        counts[row["split"]] += 1
    assert all(len(found) == 1 for found in splits.values())
    assert counts == {"train": 24, "val": 8, "test": 8}
    assert registry.image_counts(config_of(out)) == {"train": 24, "validation": 8, "test": 8}


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        ("labels.csv", ("out",), "is a table, whose splits go into another one; use --table FILE"),
        ("photos", ("out", "--group-column", "patient"), "--group-column patient is of a table"),
        ("labels.csv", ("--table", "new.csv", "--group-column", "x"), "error: --group-column x is"),
    ],
)
def test_a_split_that_cannot_be_is_refused(
    table, tmp_path, monkeypatch, capsys, source, words, expected
):
    table()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_split(monkeypatch, source, *words)
    assert expected in capsys.readouterr().err


def test_no_group_is_in_two_folds_and_shares_are_those_of_scikit_learn():
    ours, theirs = [], []
    for seed in range(SETS):
        source, count = random_source(seed), 3
        labels = source.train.labels
        groups = duplicates.group_images(source.train.images, "equal")
        folds = assign_folds(source, count, seed)
        assert {*folds.tolist()} == {1, 2, 3}
        assert_apart([source.train.take(np.flatnonzero(folds == n)) for n in (1, 2, 3)])
        if seed >= 30:  # its splitter takes most of the time
            continue
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        parts = [test for _, test in splitter.split(labels, labels, groups)]
        ours.append(unevenness(labels, [np.flatnonzero(folds == n) for n in (1, 2, 3)]))
        theirs.append(unevenness(labels, parts))
    assert np.mean(ours) <= np.mean(theirs)


def unevenness(labels, parts):
    """How far the counts of each class and part are from equal, in images."""
    counts = np.array([np.bincount(labels[part], minlength=labels.max() + 1) for part in parts])
    return np.abs(counts - counts.mean(axis=0)).mean()


def test_folds_are_splits_with_one_test_split(table):
    path, tests, validated = table(), [], []
    for number in (1, 2, 3, 4):
        splits = load_splits(config_of(path, cache_mb=0, fold=f"{number}/4"), 0)
        assert_apart(splits.as_dict().values())
        assert splits.image_counts == {"train": 24, "validation": 8, "test": 8}
        tests.append([file.path for file in splits.test.images.files])
        validated += [file.path for file in splits.validation.images.files]
    assert all(found == tests[0] for found in tests)
    assert len({*validated}) == len(validated) == 32
    assert not {*validated} & {*tests[0]}


def test_a_class_of_fewer_groups_than_folds_is_refused(table):
    path = table(lambda row: {"patient": row["patient"] if row["label"] == "ant" else "one"})
    for folds, expected in {
        2: "train.folds=2: bee has 1 group to train on, fewer than folds; add images",
        9: "train.folds=9: ant has 8 groups to train on, fewer than folds; use 8 folds or fewer",
    }.items():
        with pytest.raises(SettingError, match=expected):
            load_splits(config_of(path, fold=f"1/{folds}"), 0)


def test_folds_of_data_with_a_validation_split_are_refused(table):
    config = config_of(table(in_splits), fold="1/2")
    with pytest.raises(SettingError, match=r"train.folds=2: the data have a validation split"):
        load_splits(config, 0)
    with pytest.raises(SettingError, match=r"data.split_column=none"):
        train_image_count(config, registry.image_counts(config))
