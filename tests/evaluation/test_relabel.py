"""Decisions on an audit, and the table that is written of them, against tables made by hand."""

import json
import sys

import pytest
from PIL import Image

from vit_keras import SettingError
from vit_keras.cli import main as command_line
from vit_keras.config import compose
from vit_keras.data.splits import load_splits
from vit_keras.evaluation import audit_source, audit_table
from vit_keras.evaluation.audit_decisions import Decision, Decisions
from vit_keras.evaluation.audit_table import Audited
from vit_keras.evaluation.relabel import relabel

UMLAUT = 'Bär, "groß".png'


def audited(path, label, new_label=None, group=0):
    """A row of an audit whose scores do not matter here."""
    new = label if new_label is None else new_label
    rest = (False, 0.5, "dog", 0.9, 0.8, False, 0.5, False, 0.5)
    return Audited(str(path), label, new, *rest, group)


def images(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(folder / name)


def written(folder, rows, overrides=()):
    """The folder of an audit of these rows."""
    folder.mkdir()
    audit_table.write(folder, rows)
    if overrides:
        data = audit_source.data_config(overrides)
        audit_source.write(folder, audit_source.source(overrides, data, "a model"))
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes, and its audit, in which two images are near twins."""
    folder = tmp_path / "photos"
    images(folder, "cat/1.png", "cat/2.png", f"cat/{UMLAUT}", "dog/1.png", "dog/2.png")
    rows = [
        audited(folder / "cat/1.png", "cat", group=4),
        audited(folder / "cat/2.png", "cat", group=4),
        audited(folder / f"cat/{UMLAUT}", "cat", group=5),
        audited(folder / "dog/1.png", "dog", group=6),
        audited(folder / "dog/2.png", "dog", group=7),
    ]
    audit = written(tmp_path / "audit", rows, ["data=folder", f"data.path={folder}"])
    return folder, audit


def decide(audit, *made):
    for path, label, new in made:
        Decisions(audit).decide([Decision(str(path), label, new)])


def test_a_folder_becomes_a_table(photos, tmp_path):
    folder, audit = photos
    decide(audit, (folder / f"cat/{UMLAUT}", "cat", "dog"), (folder / "dog/2.png", "dog", ""))
    found = relabel(audit, tmp_path / "new.csv")
    assert (tmp_path / "new.csv").read_text(encoding="utf-8") == (
        "image,label,group\n"
        "photos/cat/1.png,cat,4\n"
        "photos/cat/2.png,cat,4\n"
        '"photos/cat/Bär, ""groß"".png",dog,5\n'
        "photos/dog/1.png,dog,6\n"
    )
    assert (found.images, found.changed, found.left_out) == (4, 1, 1)
    assert found.words == [
        "data=csv",
        f"data.path={tmp_path}/new.csv",
        "data.group_column=group",
    ]


def test_new_classes_and_images_without_a_row_are_named(photos, tmp_path):
    folder, audit = photos
    decide(audit, (folder / "cat/1.png", "cat", "dig"), (folder / "cat/2.png", "cat", "dog"))
    audit_table.write(audit, audit_table.read(audit)[:3])
    text = str(relabel(audit, tmp_path / "new.csv"))
    assert "5 images, 2 labels changed, 0 left out" in text
    assert "2 images have no row in the audit and keep their labels" in text
    assert "new class: dig, of 1 image; did you mean dog?" in text
    assert "new class: dog" not in text


def test_images_outside_the_folder_of_the_table_are_absolute_and_trained_on(photos, tmp_path):
    folder, audit = photos
    (tmp_path / "other").mkdir()
    found = relabel(audit, tmp_path / "other" / "new.csv")
    assert found.words[-1] == "data.follow_links=true"
    text = found.file.read_text(encoding="utf-8")
    assert f"\n{folder}/dog/1.png,dog,6\n" in text
    config = compose.compose("recipe=folder", *found.words, "data.image_size=8")
    assert sum(load_splits(config.data, seed=0).image_counts.values()) == 5


def test_the_splits_of_a_folder_are_kept(tmp_path):
    folder = tmp_path / "photos"
    images(folder, "train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")
    rows = [audited(folder / "train/a/1.png", "a", "b")]
    audit = written(tmp_path / "audit", rows, ["data=folder", f"data.path={folder}"])
    assert relabel(audit, tmp_path / "new.csv").file.read_text() == (
        "image,label,split\n"
        "photos/train/a/1.png,b,train\n"
        "photos/train/b/1.png,b,train\n"
        "photos/val/a/2.png,a,validation\n"
        "photos/val/b/2.png,b,validation\n"
    )


OLD = f"""split;photo;species;patient;weight;note
train;cat/1.png;cat;p1;0.50;as it is
train;cat/1.png;cat;p1;0.50;again
val;"cat/{UMLAUT.replace('"', '""')}";cat;p2;1;"x; y"
train;{{folder}}/dog/1.png;dog;p3;1;absolute
train;dog/2.png;;p4;1;no label
val;dog/2.png;dog;p2;2;
"""


def test_all_columns_and_rows_of_a_table_are_kept(photos, tmp_path):
    folder, _ = photos
    old = folder / "labels.csv"
    old.write_text(OLD.format(folder=folder), encoding="utf-8")
    overrides = [
        "data=csv",
        f"data.path={old}",
        "data.label_column=species",
        "data.image_column=photo",
        "data.group_column=patient",
    ]
    rows = [
        audited(folder / "cat/1.png", "cat", "lynx"),
        audited(folder / f"cat/{UMLAUT}", "cat"),
        audited(folder / "dog/1.png", "dog"),
        audited(folder / "dog/2.png", "dog"),
    ]
    audit = written(tmp_path / "audit2", rows, overrides)
    decide(audit, (folder / "dog/1.png", "dog", ""))
    found = relabel(audit, folder / "new.csv")
    assert found.file.read_text(encoding="utf-8") == (
        "split,photo,species,patient,weight,note\n"
        "train,cat/1.png,lynx,p1,0.50,as it is\n"
        "train,cat/1.png,lynx,p1,0.50,again\n"
        'val,"cat/Bär, ""groß"".png",cat,p2,1,x; y\n'
        "train,dog/2.png,,p4,1,no label\n"
        "val,dog/2.png,dog,p2,2,\n"
    )
    assert (found.images, found.changed, found.left_out) == (5, 2, 1)
    assert found.words == [
        "data=csv",
        f"data.path={folder}/new.csv",
        "data.label_column=species",
        "data.image_column=photo",
        "data.group_column=patient",
    ]
    assert old.read_text(encoding="utf-8") == OLD.format(folder=folder)


def test_an_export_of_annotations_becomes_a_table_with_its_columns_named(photos, tmp_path):
    folder, _ = photos
    coco = {
        "images": [{"id": 1, "file_name": "cat/1.png"}, {"id": 2, "file_name": "dog/1.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 1, "category_id": 1},
            {"image_id": 2, "category_id": 2},
        ],
    }
    (folder / "coco.json").write_text(json.dumps(coco))
    rows = [audited(folder / "cat/1.png", "cat", "dog")]
    overrides = ["data=csv", f"data.path={folder}/coco.json"]
    found = relabel(written(tmp_path / "audit2", rows), folder / "new.csv", overrides)
    assert found.file.read_text() == "file_name,category\ncat/1.png,dog\ndog/1.png,dog\n"
    assert found.words[2:] == ["data.image_column=file_name", "data.label_column=category"]


def test_an_audit_of_embeddings_gives_a_table_of_its_images(photos, tmp_path):
    folder, _ = photos
    rows = [audited(folder / "cat/1.png", "cat", "dog", 3), audited(folder / "dog/1.png", "dog")]
    found = relabel(written(tmp_path / "audit2", rows), tmp_path / "new.csv")
    assert found.file.read_text() == (
        "image,label,group\nphotos/cat/1.png,dog,3\nphotos/dog/1.png,dog,0\n"
    )


def test_no_table_is_overwritten(photos, tmp_path):
    _, audit = photos
    (tmp_path / "new.csv").write_text("mine")
    with pytest.raises(SettingError, match=r"new\.csv is there already; choose the name of a new"):
        relabel(audit, tmp_path / "new.csv")
    assert (tmp_path / "new.csv").read_text() == "mine"
    with pytest.raises(SettingError, match=r"end its name in \.csv"):
        relabel(audit, tmp_path / "new.txt")


def test_a_decision_on_an_image_that_is_gone_is_counted(photos, tmp_path):
    folder, audit = photos
    decide(audit, (folder / "dog/2.png", "dog", "cat"), (folder / "cat/1.png", "cat", "cat"))
    (folder / "dog/2.png").unlink()
    (folder / "cat/1.png").unlink()  # whose label was not changed
    found = relabel(audit, tmp_path / "new.csv")
    assert (found.images, found.changed, found.left_out, found.not_found) == (3, 0, 0, 1)
    assert str(found).endswith(
        "; 1 decision is on images that the data do not have with that label"
    )


def test_a_folder_that_was_moved_since_is_refused(photos, tmp_path):
    folder, audit = photos
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(SettingError, match="none of the images that were audited") as refused:
        relabel(audit, tmp_path / "new.csv", ["data=folder", f"data.path={moved}"])
    assert str(folder / "cat/1.png") in str(refused.value)
    assert str(moved) in str(refused.value)
    assert not (tmp_path / "new.csv").exists()


def test_decisions_are_kept_and_taken_back_step_by_step(tmp_path):
    decisions = Decisions(tmp_path)
    first = [Decision("/a/ü, 1.png", "cat", "dog"), Decision("/a/2.png", "cat", "")]
    decisions.decide(first)
    Decisions(tmp_path).decide([Decision("/a/2.png", "cat", "cat")])  # in another window
    again = Decisions(tmp_path)
    assert again.labels == {("/a/ü, 1.png", "cat"): "dog", ("/a/2.png", "cat"): "cat"}
    again.undo()
    assert Decisions(tmp_path).labels[("/a/2.png", "cat")] == ""
    assert again.undo() == first
    assert Decisions(tmp_path).labels == {}
    assert again.undo() == []


def test_damaged_decisions_are_named_and_stay(tmp_path):
    (tmp_path / "decisions.csv").write_text("step,path\n1,a\n")
    with pytest.raises(SettingError, match=r"decisions\.csv is damaged .*; mend it, or move it"):
        Decisions(tmp_path)
    assert (tmp_path / "decisions.csv").read_text() == "step,path\n1,a\n"


def test_the_command_says_how_to_train_on_the_table(photos, tmp_path, monkeypatch, capsys):
    folder, audit = photos
    decide(audit, (folder / "dog/2.png", "dog", ""))
    monkeypatch.setattr(
        sys, "argv", ["vit-keras", "relabel", str(audit), "--output", str(tmp_path / "new.csv")]
    )
    command_line.main()
    assert capsys.readouterr().out.splitlines() == [
        "4 images, 0 labels changed, 1 left out",
        f"table: {tmp_path}/new.csv",
        f"train on it: vit-keras train recipe=folder data=csv data.path={tmp_path}/new.csv "
        "data.group_column=group",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=digits"], "data.name=digits has no image files"),
        (["data=folder", "data.several_labels=true"], "one label each"),
        (["data=csv", "data.label_column=[cat,dog]"], "one label each"),
    ],
)
def test_data_without_files_of_one_label_are_refused(overrides, message):
    with pytest.raises(SettingError, match=message):
        audit_source.data_config(overrides)
