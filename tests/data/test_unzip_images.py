"""Zip files of images are unpacked; an archive with unsafe content is refused completely."""

import io
import stat
import tempfile
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vit_keras import SettingError, load_config
from vit_keras.data import unzip_images
from vit_keras.io import zip_files


def picture(colour=0):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def packed(members, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def folders(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*.png")}


PHOTOS = {"photos/cat/a.png": picture(), "photos/dog/b.png": picture(9)}


def test_images_of_classes_come_out_with_their_names(tmp_path):
    members = PHOTOS | {
        "photos/readme.txt": b"no image",
        "__MACOSX/photos/cat/._a.png": b"a fork",
        "photos/.hidden/c.png": picture(),
    }
    assert unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out") == 2
    assert folders(tmp_path / "out") == {"cat/a.png", "dog/b.png"}
    assert (tmp_path / "out/dog/b.png").read_bytes() == picture(9)


def test_splits_stay_and_can_be_trained_on(tmp_path):
    members = {
        f"{split}/{name}/{i}.png": picture(i)
        for split in ("train", "test")
        for name in ("cat", "dog")
        for i in range(4)
    }
    unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out")
    config = load_config(
        *("recipe=folder", f"data.path={tmp_path / 'out'}", "train.batch_size=2", "data.limit=6")
    )
    assert config.data.path == str(tmp_path / "out")


def test_names_are_cleaned(tmp_path):
    members = {"<img src=x>/../a.png".replace("/../", "/"): picture(), "Käse ☂/b.png": picture()}
    unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out")
    assert folders(tmp_path / "out") == {"_img src_x_/a.png", "Käse _/b.png"}


def test_files_of_one_name_are_told_apart(tmp_path):
    names = ["cat/a?.png", "cat/a*.png", "cat/A_.PNG", "cat/a_-2.png", "dog/a?.png"]
    members = {name: picture(place) for place, name in enumerate(names)}
    unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out")
    assert folders(tmp_path / "out") == {
        *("cat/a_.png", "cat/a_-2.png", "cat/A_-3.png", "cat/a_-2-2.png", "dog/a_.png")
    }
    for place, name in enumerate(("cat/a_.png", "cat/a_-2.png", "cat/A_-3.png")):
        assert (tmp_path / "out" / name).read_bytes() == picture(place)


REFUSED = {
    "../evil/a.png": "leads out of it",
    "cat/../../a.png": "leads out of it",
    "/etc/cat/a.png": "leads out of it",
    "..\\evil\\a.png": "leads out of it",
    "C:\\cat\\a.png": "leads out of it",
    "a.png": "is in no folder",
    "cat/a.txt": "has no images",
}


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_a_path_that_leads_elsewhere_is_refused_whole(name, message, tmp_path):
    members = {name: picture()} if "no images" in message else PHOTOS | {name: picture()}
    file = packed(members, tmp_path / "a.zip")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SettingError, match=message):
        unzip_images.unzip_images(file, tmp_path / "out")
    assert set(tmp_path.rglob("*")) == before


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("cat/a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SettingError, match="link"):
        unzip_images.unzip_images(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    file = packed({"cat/a.png": bytes(50_000_000)}, tmp_path / "a.zip")
    with pytest.raises(SettingError, match=r"50,000,000 bytes from .*, as no image or model does"):
        unzip_images.unzip_images(file, tmp_path / "out")
    monkeypatch.setattr(zip_files, "MAX_BYTES", 100)
    with pytest.raises(SettingError, match="unpacks to"):
        unzip_images.unzip_images(packed(PHOTOS, tmp_path / "b.zip"), tmp_path / "out")
    monkeypatch.setattr(zip_files, "MAX_FILES", 1)
    with pytest.raises(SettingError, match="2 files"):
        unzip_images.unzip_images(packed(PHOTOS, tmp_path / "c.zip"), tmp_path / "out")


def test_a_zip_that_lies_of_its_sizes_is_refused(tmp_path):
    content = packed({"cat/a.png": bytes(100_000), **PHOTOS}, tmp_path / "a.zip").read_bytes()
    lying = content.replace((100_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(lying)
    with pytest.raises(SettingError, match="cannot be read"):
        unzip_images.unzip_images(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(SettingError, match="cannot be read"):
        unzip_images.unzip_images(tmp_path / "a.zip", tmp_path / "out")


def test_two_folders_that_would_become_one_are_refused(tmp_path):
    file = packed({"a?/a.png": picture(), "a*/b.png": picture()}, tmp_path / "a.zip")
    with pytest.raises(SettingError, match="differ only in characters"):
        unzip_images.unzip_images(file, tmp_path / "out")


def test_two_threads_at_one_folder_do_not_take_each_others_files(tmp_path):
    members = {f"photos/{name}/{i}.png": picture(i) for name in "ab" for i in range(200)}
    file = packed(members, tmp_path / "a.zip")
    refused = []

    def unpack():
        try:
            unzip_images.unzip_images(file, tmp_path / "out")
        except OSError as error:  # the other one was there first
            refused.append(error)

    threads = [threading.Thread(target=unpack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) < 4
    assert len(folders(tmp_path / "out")) == 400
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out"}


def test_a_damaged_name_and_a_full_disk_are_told_apart(tmp_path, monkeypatch):
    content = packed({"k\u00e4se/a.png": picture()}, tmp_path / "a.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(content.replace("\u00e4".encode(), b"\xff\xff"))
    with pytest.raises(SettingError, match="the zip cannot be read"):
        unzip_images.unzip_images(tmp_path / "b.zip", tmp_path / "out")

    def full(*given, **named):
        raise OSError(28, "No space left on device", "out")

    monkeypatch.setattr(zip_files, "extract_member", full)
    with pytest.raises(SettingError, match=r"\(No space left on device\); make room"):
        unzip_images.unzip_images(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_each_file_of_the_zip_is_unpacked_or_named(tmp_path):
    """By the rules of a folder: content decides, but for endings that no image has."""
    members = PHOTOS | {
        "photos/cat/scan.TIF": picture(),
        "photos/cat/no ending": picture(),
        "photos/cat/evil.<b>": picture(),
        "photos/notes.txt": b"text",
        "photos/stray.png": picture(),
        "photos/dog/@eaDir/b.png/thumb.jpg": picture(),
        "__MACOSX/photos/cat/a.png": b"a fork",
    }
    assert unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out") == 5
    unpacked = {path.name for path in (tmp_path / "out/cat").iterdir()}
    assert unpacked == {"a.png", "scan.tif", "no ending", "evil._b_"}
    assert dict(unzip_images.read_left_out(tmp_path / "out")) == {
        "photos/notes.txt": "no image, by its ending .txt",
        "photos/stray.png": "in no folder of a class",
        "photos/dog/@eaDir/b.png/thumb.jpg": "in a folder of a Synology NAS",
        "__MACOSX/photos/cat/a.png": "in a folder of macOS",
    }


def test_a_class_in_two_unicode_forms_is_one_folder(tmp_path):
    members = {"caf\u00e9/a.png": picture(), "cafe\u0301/b.png": picture(), "dog/c.png": picture()}
    assert unzip_images.unzip_images(packed(members, tmp_path / "a.zip"), tmp_path / "out") == 3
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"caf\u00e9", "dog"}


def test_a_folder_that_an_earlier_version_unpacked_has_no_list(tmp_path):
    (tmp_path / unzip_images.MARK).touch()
    assert unzip_images.read_left_out(tmp_path) == []


NAMES = ["cat", "dog", "Dog", "train", "Test", "val", "@eaDir", "__MACOSX", ".hidden", "a.png"]
NAMES += ["b.JPG", "c.txt", "d", "café", "cafe\u0301", "with space ", "co:lon", "a\nb", ".."]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(st.one_of(PATHS, PATHS.map("{}/".format)), unique=True)
CLASSES = ["cat/0.png", "dog/0.png"]
SPLIT = [f"photos/{split}/{path}" for split in ("train", "Test") for path in CLASSES]


@settings(max_examples=50, deadline=None)
@given(base=st.sampled_from([[], CLASSES, SPLIT]), paths=ENTRIES)
def test_every_file_of_a_random_zip_is_unpacked_or_named_or_the_zip_is_refused(base, paths):
    names = list(dict.fromkeys([*base, *paths]))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        contents = {name: b"" if name.endswith("/") else name.encode() for name in names}
        packed(contents, root / "a.zip")
        try:
            count = unzip_images.unzip_images(root / "a.zip", root / "out")
        except SettingError:
            assert [path.name for path in root.iterdir()] == ["a.zip"]
            return
        assert {path.name for path in root.iterdir()} == {"a.zip", "out"}
        files = [path for path in (root / "out").rglob("*") if path.is_file()]
        unpacked = [path.read_text() for path in files if path.name != unzip_images.MARK]
        left_out = [file.name for file in unzip_images.read_left_out(root / "out")]
        hidden = {name for name in names if any(part[:1] == "." for part in name.split("/"))}
        folders = {name for name in names if name.endswith("/")}
        assert len(unpacked) == count
        assert sorted(unpacked + left_out) == sorted({*names} - hidden - folders)
        assert not any(path.is_symlink() for path in (root / "out").rglob("*"))
