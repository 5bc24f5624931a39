"""Every file that is there is read, or named with the reason; of random trees of folders too."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.image_files import config, pixels, write
from vit_keras import SettingError
from vit_keras.data import quality_report
from vit_keras.data.readers import folder_layout
from vit_keras.data.splits import load_splits


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    return tmp_path / "photos"


def found(root, **settings):
    """File or folder -> (problem, reason)."""
    findings = load_splits(config(root, **settings), 0).findings
    return {finding.file: (finding.problem, finding.detail) for finding in findings}


def images(root, **settings):
    return sum(len(s.labels) for s in load_splits(config(root, **settings), 0).as_dict().values())


def test_files_that_people_keep_beside_images_are_ignored_and_named(root):
    names = ["notes.txt", "ant/labels.csv", "ant/box.XML", "bee/film.mp4", "bee/README"]
    for name in names:
        (root / name).write_text("a text, and no image")
    assert images(root, on_bad_file="fail") == 12
    rows = found(root)
    assert rows.keys() == {*names}
    assert {problem for problem, _ in rows.values()} == {"ignored"}
    assert rows["ant/box.XML"][1] == "no image, by its ending .xml"
    assert rows["bee/README"][1].endswith("by its content")
    findings = load_splits(config(root), 0).findings
    (line,) = quality_report.summary(findings)
    assert line.startswith("5 files are no images of a class and were ignored: ")


def test_images_beside_the_classes_are_named(root):
    Image.fromarray(pixels(3)).save(root / "stray.png")
    assert images(root) == 12
    assert found(root) == {"stray.png": ("ignored", "in no folder of a class")}


@pytest.mark.parametrize("name", ["photo", "photo.png.bak", "photo.jpe", "IMG_1.JPG.download"])
def test_an_image_is_read_whatever_its_ending(name, root):
    Image.fromarray(pixels(3)).save(root / "ant" / name, "PNG")
    assert images(root) == 13
    assert found(root) == {}
    assert found(root, suffixes=["png"]) == {f"ant/{name}": ("ignored", "not among data.suffixes")}


def test_a_picture_that_cannot_be_read_fails_a_run_that_asks_for_that(root):
    (root / "ant" / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert found(root)["ant/drawing.svg"][0] == "skipped"
    with pytest.raises(SettingError, match=r"ant/drawing\.svg: "):
        load_splits(config(root, on_bad_file="fail"), 0)


def test_linked_folders_are_read_once(root, tmp_path):
    write(root / "ant" / "more", 2)
    (root / "ant" / "again").symlink_to("more")
    (root / "ant" / "loop").symlink_to("../ant")
    (root / "ant" / "self").symlink_to("self")
    write(tmp_path / "elsewhere", 3)
    (root / "bee" / "shared").symlink_to(tmp_path / "elsewhere")
    assert images(root) == 14
    rows = found(root)
    assert rows["ant/again"] == ("ignored", "a link to a folder that is read already")
    assert rows["ant/loop"] == ("ignored", "a link to a folder that contains it")
    assert rows["ant/self"][0] == "skipped"
    assert rows["bee/shared"] == (
        "skipped",
        "a link out of the folder, which data.follow_links=true would follow",
    )
    assert images(root, follow_links=True) == 17
    assert "bee/shared" not in found(root, follow_links=True)


def test_a_class_that_is_a_link_is_followed_if_links_are(root, tmp_path):
    """A run without one of its classes is not what was asked for."""
    write(tmp_path / "elsewhere", 6)
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingError, match=r"cat is a link out of .*; set data\.follow_links=true"):
        load_splits(config(root), 0)
    assert images(root, follow_links=True) == 18
    (root / "cat").unlink()
    (root / "all").symlink_to("../photos")  # no class, as it holds all of them
    reason = "a link to a folder that contains it"
    assert found(root, follow_links=True) == {"all": ("ignored", reason)}
    (root / "all").unlink()
    (root / "twin").symlink_to("bee")  # within the folder: a class of the same files
    assert "twin" in load_splits(config(root), 0).class_names


def test_a_folder_named_like_an_image_is_read_as_a_folder(root):
    write(root / "ant" / "set.jpg", 2)
    assert images(root) == 14


def test_a_system_folder_that_is_a_link_is_not_walked(root):
    (root / "@eaDir").symlink_to("/")
    assert found(root) == {"@eaDir": ("ignored", "a folder of a Synology NAS, with 0 files")}


def test_our_own_manifest_is_no_finding(root):
    (root / folder_layout.MANIFEST).write_text("split,class\n")
    assert found(root) == {}


NAMES = ["cat", "dog", "Dog", "train", "Test", "val", "@eaDir", ".hidden", "a.png", "b.JPG"]
NAMES += ["c.txt", "d", "e.svg", "café", "cafe\u0301", "with space "]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
TARGETS = st.sampled_from(["..", ".", "/", "nowhere", "../cat", "../..", "dog", "../train/cat"])
ENTRIES = st.lists(st.tuples(PATHS, st.one_of(st.just("file"), st.just("folder"), TARGETS)))
CLASSES = [("cat/0.png", "file"), ("dog/0.png", "file")]
SPLIT = [(f"{split}/{path}", kind) for split in ("train", "Test") for path, kind in CLASSES]


def build(root, entries):
    """Make the entries in order, but those that an earlier one does not allow."""
    for path, kind in entries:
        place = root / path
        if not place.parent.resolve().is_relative_to(root.resolve()):
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                place.touch()
            elif kind == "folder":
                place.mkdir(exist_ok=True)
            else:
                place.symlink_to(kind)
        except (OSError, RuntimeError):  # RuntimeError: Python before 3.13, for a circle of links
            continue


def visible(root):
    """The files of a tree, and its links unless they lead to a folder without files."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        full = [name for name in links if any(files for *_, files in os.walk(f"{folder}/{name}/"))]
        for name in [*files, *full]:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root)


def is_named(path, rows):
    return any(path == row or path.startswith(f"{row}/") for row in rows)


@settings(max_examples=100, deadline=None)
@given(
    base=st.sampled_from([[], CLASSES, SPLIT]),
    entries=ENTRIES,
    layout=st.sampled_from(["auto", "classes", "literal"]),
    missing_classes=st.sampled_from(["allow", "refuse"]),
    follow_links=st.booleans(),
)
def test_every_file_of_a_random_tree_is_listed_once_or_the_folder_is_refused(
    base, entries, **settings
):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve() / "photos"
        root.mkdir()
        build(root, base + entries)
        chosen = config(root, **settings)
        try:
            listing = folder_layout.list_folder(chosen)
        except SettingError:
            return
        assert listing == folder_layout.list_folder(chosen)
        files = [file.path for file in listing.files]
        rows = [finding.file for finding in listing.others]
        assert len({*files}) == len(files)
        assert not {*files} & {*rows}
        followed = {str(path) for file in [*files, *rows] for path in Path(file).parents}
        for path in visible(root):
            assert path in files or path in followed or is_named(path, [*files, *rows])
        for file in listing.files:
            (own,) = [
                folder
                for folder in listing.layout.folders[file.split][listing.class_names[file.label]]
                if file.path.startswith(f"{folder}/")
            ]
            folder = os.path.realpath(root / own)
            assert os.path.isdir(folder)
            parent = os.path.realpath((root / file.path).parent)
            assert settings["follow_links"] or parent.startswith(str(root))
        folders = {(file.split, file.label, os.path.dirname(file.path)) for file in listing.files}
        real = {(s, label, os.path.realpath(root / path)) for s, label, path in folders}
        assert len(real) == len(folders)
