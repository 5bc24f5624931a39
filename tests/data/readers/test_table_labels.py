"""Tables with several labels an image: how cells are read, and the splits that are drawn."""

import json

import numpy as np
import pytest

from helpers.image_files import SIZE, write
from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data import quality_report
from vit_keras.data.dataset import label_text
from vit_keras.data.splits import load_splits
from vit_keras.data.stratify import rarest_labels

# Two labels that are rare, one that most have, and images of none.
LABELS = [["ant", "bee"], ["ant"], ["ant", "cat, big"], ["bee", "ant"], []] * 6 + [["dog"]] * 2


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    write(folder / "photos", len(LABELS))
    return folder


def config(path, **settings):
    return DataConfig(
        name="csv", path=str(path), image_size=list(SIZE), several_labels=True, **settings
    )


def table(folder, cell, name="labels.csv"):
    """A CSV file in which `cell` writes the labels of each image."""
    lines = [f"photos/{n}.png\t{cell(labels)}" for n, labels in enumerate(LABELS)]
    (folder / name).write_text("\n".join(["image\tlabels", *lines]) + "\n")
    return folder / name


def coco(folder):
    names = ["ant", "bee", "cat, big", "dog"]
    content = {
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "images": [{"id": n, "file_name": f"photos/{n}.png"} for n in range(len(LABELS))],
        "annotations": [
            {"image_id": n, "category_id": names.index(name)}
            for n, labels in enumerate(LABELS)
            for name in labels
        ],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def json_lines(folder):
    rows = [{"image": f"photos/{n}.png", "label": labels} for n, labels in enumerate(LABELS)]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "labels.jsonl"


def long_table(folder):
    """A row for each label of an image, and a list where it has none."""
    lines = [
        f"photos/{n}.png\t{label}"
        for n, labels in enumerate(LABELS)
        for label in (labels or ["[]"])
    ]
    (folder / "long.tsv").write_text("\n".join(["image\tlabel", *lines]))
    return folder / "long.tsv"


def test_every_way_to_write_several_labels_is_the_same_data_set(folder):
    paths = {
        "separator": table(folder, lambda labels: " ; ".join(labels) or "[]"),
        "pandas": table(folder, lambda labels: str(labels), "pandas.csv"),
        "coco": coco(folder),
        "json": json_lines(folder),
        "long": long_table(folder),
    }
    splits = {
        kind: load_splits(config(path, label_separator="; " if kind == "long" else None), 0)
        for kind, path in paths.items()
    }
    assert len({one.fingerprint for one in splits.values()}) == 1
    found = splits["coco"]
    assert found.class_names == ["ant", "bee", "cat, big", "dog"]
    assert found.train.labels.dtype == np.float32
    assert {label_text(row, found.class_names) for row in found.all.labels} == {
        *("; ".join(sorted(labels)) for labels in LABELS)
    }
    assert found.all.class_counts(4).tolist() == [24, 12, 6, 2]
    # The two images of the rarest label are not in one split by chance alone.
    assert sum(part.class_counts(4)[2] > 0 for part in found.as_dict().values()) >= 2


def test_one_label_a_row_stays_what_it_was(folder):
    path = table(folder, lambda labels: labels[0] if len(labels) == 1 else ";".join(labels))
    settings = DataConfig(name="csv", path=str(path), image_size=list(SIZE))
    assert load_splits(settings, 0).class_names == [
        "ant",
        "ant;bee",
        "ant;cat, big",
        "bee;ant",
        "dog",
    ]


def test_classes_are_chosen_of_several_labels(folder):
    path = json_lines(folder)
    chosen = load_splits(config(path, classes=["dog", "ant"]), 0)
    counts = chosen.all.class_counts(2).tolist()
    assert chosen.class_names == ["dog", "ant"]
    assert counts == [2, 24]
    assert len(chosen.all.labels) == 32  # those of bee alone are none; those of none stay


@pytest.mark.parametrize(
    ("cell", "settings", "words"),
    [
        (
            lambda labels: (labels or ["ant"])[0],
            {},
            ["one label for each image", "label_separator"],
        ),
        (lambda labels: "[ant" + "]", {}, ["[ant] is no list of labels"]),
        (lambda labels: ";".join(labels), {"on_bad_file": "fail"}, ["no label", "line 6"]),
        (lambda labels: "[]", {}, ["has no label, and two or more are needed"]),
    ],
)
def test_bad_labels_are_named(folder, cell, settings, words):
    with pytest.raises(SettingError) as caught:
        load_splits(config(table(folder, cell), **settings), 0)
    assert [word for word in words if word not in str(caught.value)] == []


def test_two_spellings_of_a_label_are_named_and_not_merged(folder):
    path = table(folder, lambda labels: ";".join([*labels, "Dog"] if labels == ["dog"] else labels))
    splits = load_splits(config(path), 0)
    assert "Dog" in splits.class_names
    assert "dog" in splits.class_names
    (line,) = [line for line in quality_report.summary(splits.findings) if "other letters" in line]
    assert "og" in line


def test_the_rarest_label_stratifies():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]], "float32")
    assert rarest_labels(labels).tolist() == [1, 0, 2, 3, 2]
