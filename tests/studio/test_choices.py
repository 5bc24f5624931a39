"""What is chosen and uploaded in the studio, without a browser."""

import io
import json
import os
import time

import pytest

pytest.importorskip("streamlit", reason="needs the extra `studio`")

import streamlit as st

from vit_keras import SettingError
from vit_keras.studio import __main__ as studio
from vit_keras.studio.components import browse, kept_file, kept_values, upload_files


def photos(*names):
    return [(name, io.BytesIO(f"content of {name}".encode())) for name in names]


def files(root):
    uploads = upload_files.folder_of(root)
    return {str(path.relative_to(uploads)) for path in uploads.rglob("*") if path.is_file()}


def test_photos_of_each_class_are_added_to_one_upload(tmp_path):
    first = upload_files.add(tmp_path, "My flowers!", photos("a?.JPG", "a*.jpg"), "rose / red")
    again = upload_files.add(tmp_path, "My flowers!", photos("a?.JPG", "b.jpg"), "rose / red")
    upload_files.add(tmp_path, "My flowers!", photos("a?.JPG"), "tulip")
    assert (first.added, again.added) == (2, 1)  # a?.JPG is there already
    assert files(tmp_path) == {
        f"My flowers_/{name}"
        for name in ("rose _ red/a_.jpg", "rose _ red/a_-2.jpg", "rose _ red/b.jpg", "tulip/a_.jpg")
    }
    (upload,) = upload_files.list_uploads(tmp_path)
    assert (upload.name, upload.files) == ("My flowers_", 4)
    assert upload.size == sum(
        len(f"content of {n}") for n in ("a?.JPG", "a*.jpg", "b.jpg", "a?.JPG")
    )


def test_a_folder_keeps_its_classes_and_what_is_left_out_is_named(tmp_path):
    given = photos("zoo/cat/1.jpg", "zoo/train/dog/2.jpg", "zoo/a.txt", "zoo/3.jpg", "zoo/.git/x")
    added = upload_files.add(tmp_path, "zoo", given)
    assert files(tmp_path) == {"zoo/cat/1.jpg", "zoo/train/dog/2.jpg"}
    assert dict(added.left_out) == {
        "zoo/a.txt": "no image, by its ending .txt",
        "zoo/3.jpg": "in no folder of a class",
        "zoo/.git/x": "a hidden file",
    }
    with pytest.raises(SettingError, match=r"no file was added: zoo/a\.txt is no image"):
        upload_files.add(tmp_path, "zoo", photos("zoo/a.txt"))


@pytest.mark.parametrize("name", ["", " ", "..", "."])
def test_an_upload_without_a_name_is_refused(name, tmp_path):
    with pytest.raises(SettingError, match="the name of the data set is empty"):
        upload_files.add(tmp_path, name, photos("1.jpg"), "cat")
    with pytest.raises(SettingError, match="the class is empty"):
        upload_files.add(tmp_path, "zoo", photos("1.jpg"), name)


@pytest.mark.parametrize("name", ["../out", "/etc", "..", ".", ".hidden", "zoo/cat"])
def test_nothing_but_an_upload_is_deleted(name, tmp_path):
    upload_files.add(tmp_path, "zoo", photos("1.jpg"), "cat")
    outside = tmp_path / "out" / "a.txt"
    outside.parent.mkdir()
    outside.touch()
    with pytest.raises(SettingError, match="is no upload"):
        upload_files.delete(tmp_path, name)
    assert files(tmp_path) == {"zoo/cat/1.jpg"}
    upload_files.delete(tmp_path, "zoo")
    assert upload_files.list_uploads(tmp_path) == []
    assert outside.exists()


@pytest.fixture
def session(monkeypatch):
    """Plain sessions in the place of Streamlit's; call it for a new one."""

    def begin():
        monkeypatch.setattr(st, "session_state", {})

    begin()
    return begin


def chosen(root, session, **values):
    session()
    kept_file.restore(root)
    kept_values.values().update(values)
    kept_file.store(root)


def test_what_was_chosen_is_there_after_a_reload(tmp_path, session):
    chosen(tmp_path, session)
    kept_values.values().update(folder="photos", odd=object())
    kept_file.store(tmp_path)
    session()
    kept_file.restore(tmp_path)
    assert kept_values.values() == {"folder": "photos"}


def test_a_damaged_an_old_or_a_shared_studios_file_is_not_read(tmp_path, session, monkeypatch):
    file = tmp_path / ".studio" / kept_file.FILE
    file.parent.mkdir()
    for text in ("{", "[1]", '{"folder": ["a"]}'):
        file.write_text(text)
        session()
        kept_file.restore(tmp_path)
        assert kept_values.values() == {}
    file.write_text(json.dumps({"folder": "photos"}))
    os.utime(file, (time.time() - 2 * kept_file.MAX_AGE,) * 2)
    session()
    kept_file.restore(tmp_path)
    assert kept_values.values() == {}
    os.utime(file)
    monkeypatch.setenv(kept_file.PASSWORD, "open sesame, please")
    kept_file.restore(tmp_path)
    assert kept_values.values() == {}
    kept_values.values().update(folder="mine")
    kept_file.store(tmp_path)
    kept_values.values().update(folder="mine too")
    kept_file.store(tmp_path)
    assert json.loads(file.read_text()) == {"folder": "photos"}


def test_the_dialog_stays_in_its_folders(tmp_path, session):
    inside = tmp_path / "inside" / "photos"
    inside.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "inside" / ".hidden").mkdir()
    (tmp_path / "inside" / "a.CSV").touch()
    st.session_state[browse.ROOTS] = [str(tmp_path / "inside")]
    assert browse.is_allowed(inside)
    for place in (tmp_path, tmp_path / "outside", tmp_path / "inside" / "..", tmp_path / "inside2"):
        assert not browse.is_allowed(place)
    assert browse._entries(tmp_path / "inside", ()) == (["photos"], ["a.CSV"])
    assert browse._entries(tmp_path / "inside", (".csv",)) == (["photos"], ["a.CSV"])
    assert browse._entries(tmp_path / "inside", (".npz",)) == (["photos"], [])
    assert browse._start(str(inside)) == inside
    assert browse._start(str(tmp_path / "outside")) == tmp_path / "inside"


def test_limits_and_folders_are_those_of_the_command_line(tmp_path):
    asked = studio.parse_arguments(["--upload-mb", "7", "--browse", str(tmp_path), "--port", "0"])
    studio.check(asked)
    started = studio.command(asked)
    assert "--server.maxUploadSize=7" in started
    assert started[-1] == str(tmp_path)
    with pytest.raises(SettingError, match="--browse=/nowhere is no folder"):
        studio.check(studio.parse_arguments(["--browse", "/nowhere", "--port", "0"]))
