"""What of the incoming images becomes a version, and what is left out with which reason."""

import csv
import shutil

import numpy as np
import pytest

from helpers import image_files
from vit_keras import SettingError
from vit_keras.config.schema import Config
from vit_keras.data.splits import load_splits
from vit_keras.pipeline import flow, versions
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.pipeline.state import State, read_state


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with ten images of two classes in the inbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PipelineSettings, "training", lambda *_: Config())  # Hydra takes its time
    for name in ("cat", "dog"):
        image_files.write(tmp_path / "inbox" / name, 10)
    return tmp_path


def ingest(**changes):
    settings = PipelineSettings(**{"name": "pets", "incoming": "inbox", "data": "data", **changes})
    state = read_state(versions.Path("data"))
    flow.ingest_new(settings, state)
    return versions.read_versions(versions.Path("data"))


def left_out(version):
    return {one.file: one.reason for one in version.left_out}


def labels(version, split=None):
    return sorted(one.label for one in version.images if split in (None, one.split))


def test_the_first_version_has_test_images_of_each_class_and_can_be_trained_on(here):
    [first] = ingest()
    assert labels(first) == ["cat"] * 10 + ["dog"] * 10
    assert labels(first, "test") == ["cat"] * 2 + ["dog"] * 2
    table = versions.write_table(here / "data", [first])
    data = image_files.config(table)
    data.name = "csv"
    splits = load_splits(data, 0)
    assert splits.class_names == ["cat", "dog"]
    assert len(splits.test.labels) == 4
    assert len(splits.train.labels) + len(splits.validation.labels) == 16


def test_what_is_in_data_already_is_not_ingested_again(here):
    [first] = ingest()
    assert ingest() == [first]
    image_files.write(here / "inbox" / "cat" / "more", 3)
    shutil.copy(here / "inbox/cat/0.png", here / "inbox/cat/again.png")
    shutil.copy(here / "inbox/cat/0.png", here / "inbox/dog/again.png")
    _, second = ingest()
    assert labels(second) == ["cat"] * 3
    assert labels(second, "test") == []
    assert left_out(second) == {"dog/again.png": "there already: v0001/cat/0.png, as cat"}


def test_an_image_that_is_nearly_a_test_image_is_not_trained_on(here):
    photo = image_files.photo(60, 80)
    photo.save(here / "inbox" / "cat" / "photo.png")
    [first] = ingest()
    photo.resize((70, 50)).save(here / "inbox" / "cat" / "photo.jpg", quality=80)
    photo.transpose(0).save(here / "inbox" / "cat" / "other.png")  # mirrored
    _, second = ingest()
    assert [one.file for one in second.images] == ["cat/other.png"]
    assert left_out(second)["cat/photo.jpg"] == "nearly the same image as v0001/cat/photo.png"
    assert len(first.images) == 21


def test_copies_within_the_inbox_count_once_and_those_of_two_classes_not_at_all(here):
    inbox = here / "inbox"
    shutil.copy(inbox / "cat/0.png", inbox / "cat/copy.png")
    shutil.copy(inbox / "cat/1.png", inbox / "dog/cat.png")
    [first] = ingest()
    assert left_out(first) == {
        "cat/copy.png": "the same image as cat/0.png",
        "cat/1.png": "the same image is in cat and dog",
        "dog/cat.png": "the same image is in cat and dog",
    }


def test_what_cannot_be_read_is_left_out_by_name(here, capsys):
    inbox = here / "inbox"
    (inbox / "cat/bad.png").write_bytes((inbox / "cat/0.png").read_bytes()[:40])
    (inbox / "stray.png").write_bytes((inbox / "cat/0.png").read_bytes())
    (inbox / "dog/notes.txt").write_text("about dogs")
    (inbox / "empty").mkdir()
    [first] = ingest()
    assert set(left_out(first)) == {"cat/bad.png", "stray.png", "dog/notes.txt"}
    assert left_out(first)["stray.png"] == "in no folder of a class"
    assert labels(first) == ["cat"] * 10 + ["dog"] * 10


def test_a_class_is_known_or_said_to_be_new(here):
    ingest()
    image_files.write(here / "inbox" / "doge", 5)
    with pytest.raises(SettingError, match=r"5 images of the class doge, which is new; name"):
        ingest()
    assert [path.name for path in (here / "data").glob("v*")] == ["v0001"]
    _, second = ingest(new_classes=["doge"])
    assert labels(second) == ["doge"] * 5
    assert labels(second, "test") == ["doge"]  # those of before have none


def test_a_class_with_one_image_is_refused_and_nothing_is_written(here):
    image_files.write(here / "inbox" / "owl", 1)
    with pytest.raises(SettingError, match=r"the new class owl has 1 different image, and 3 are"):
        ingest()
    assert not list((here / "data").glob("v*"))


def test_later_a_known_class_may_have_one_new_image(here):
    ingest()
    image_files.write(here / "inbox" / "cat" / "more", 1)
    assert labels(ingest()[1]) == ["cat"]


def test_an_inbox_of_one_class_is_no_beginning(here):
    shutil.rmtree(here / "inbox" / "dog")
    with pytest.raises(SettingError, match="images of one class, cat; two are needed"):
        ingest()


def test_a_part_of_later_images_can_be_tested_on_too(here):
    ingest()
    image_files.write(here / "inbox" / "cat" / "more", 10)
    _, second = ingest(new_test_fraction=0.3)
    assert labels(second, "test") == ["cat"] * 3


def test_images_that_were_set_aside_come_again_with_another_label_alone(here):
    ingest()
    image_files.write(here / "inbox" / "cat" / "more", 4)
    _, second = ingest()
    state = State(here / "data" / "pipeline.json", versions={second.name: "quarantined"})
    state.write()
    assert len(ingest()) == 2  # they are in the inbox still
    shutil.move(here / "inbox" / "cat" / "more", here / "inbox" / "dog" / "more")
    *_, third = ingest()
    assert (third.name, labels(third)) == ("v0003", ["dog"] * 4)


def test_a_table_has_the_images_of_the_versions_in_use(here):
    ingest()
    image_files.write(here / "inbox" / "cat" / "more", 2)
    both = ingest()
    tables = [versions.write_table(here / "data", used) for used in (both[:1], both)]
    rows = [list(csv.DictReader(table.read_text().splitlines())) for table in tables]
    tested = [{row["image"] for row in one if row["split"] == "test"} for one in rows]
    assert tested[0] == tested[1]
    assert [len(one) for one in rows] == [20, 22]
    assert versions.fingerprint(both) == versions.fingerprint(both[::-1])
    assert versions.fingerprint(both) != versions.fingerprint(both[:1])


def test_a_file_whose_name_no_table_can_hold_is_left_out(here):
    image = here / "inbox" / "cat" / "0.png"
    (here / "inbox" / "cat" / "\udcff.png").write_bytes(image.read_bytes() + b"x")
    [first] = ingest()
    assert list(left_out(first).values()) == ["its name is not in UTF-8; rename it"]


def test_a_damaged_version_is_named(here):
    ingest()
    (here / "data/v0001/version.json").write_text("{}")
    with pytest.raises(SettingError, match=r"v0001/version\.json is damaged"):
        ingest()
    assert np.array_equal(len(list((here / "data/v0001/cat").iterdir())), 10)
