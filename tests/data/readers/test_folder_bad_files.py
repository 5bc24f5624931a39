"""Unreadable files are skipped and reported with a reason; none stops a run."""

import csv
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import config, pixels, write
from vit_keras import SettingError
from vit_keras.data import decode, quality_report
from vit_keras.data.readers import folder_scan
from vit_keras.data.splits import load_splits


def jpeg(height=40, width=40):
    file = io.BytesIO()
    Image.fromarray(pixels(7, (height, width, 3))).save(file, "JPEG")
    return file.getvalue()


def bomb():
    """A PNG that says it has 30,000 x 30,000 pixels, and holds none."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + ends


def tiny(path):
    Image.fromarray(pixels(0, (1, 3, 3))).save(path)


def broken_png(path):
    Image.fromarray(pixels(0, (40, 40, 3))).save(path)
    os.truncate(path, path.stat().st_size // 2)


def leads_out(path):
    Image.fromarray(pixels(1)).save(path.parent.parent.parent / "elsewhere.png")
    path.symlink_to(path.parent.parent.parent / "elsewhere.png")


# Name -> how it comes to be, and the reason that is given.
BAD = {
    "truncated.jpg": (
        lambda path: path.write_bytes(jpeg()[:-400]),
        "damaged: Corrupt JPEG data: prem",
    ),
    "truncated.png": (broken_png, "damaged: "),
    "empty.jpg": (lambda path: path.write_bytes(b""), "an empty file"),
    "text.png": (lambda path: path.write_text("a web page"), "no image by its content"),
    "tiny.png": (tiny, "too small: 3x1 pixels"),
    "bomb.png": (lambda path: path.write_bytes(bomb()), "far too large: "),
    "broken link.png": (lambda path: path.symlink_to("nowhere.png"), "a broken link"),
    "leads out.png": (leads_out, "a link out of the folder"),
    "pipe.jpg": (os.mkfifo, "no regular file"),
    "device.jpg": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "folder.jpg": (lambda path: path.mkdir(), "a folder named like an image"),
    "two\nlines 'and' \"quotes\" 猫.gif": (lambda path: path.write_bytes(b"GIF"), "no image"),
}


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    return tmp_path / "photos"


@pytest.fixture
def mixed(root):
    for name, (make, _) in BAD.items():
        make(root / "ant" / name)
    return root


def total(splits):
    return sum(len(part.labels) for part in (splits.train, splits.validation, splits.test))


def test_bad_files_are_skipped_and_named_with_the_reason(mixed):
    splits = load_splits(config(mixed), 0)
    assert total(splits) == 12
    assert {(f.problem, f.class_name) for f in splits.findings} == {("skipped", "ant")}
    reasons = {finding.file: finding.detail for finding in splits.findings}
    assert reasons.keys() == {f"ant/{name}" for name in BAD}
    for name, (_, reason) in BAD.items():
        assert reasons[f"ant/{name}"].startswith(reason), name
    rows = list(
        csv.DictReader(io.StringIO(quality_report.findings_csv(splits.findings), newline=""))
    )
    assert {row["file"] for row in rows} == {*reasons}
    (line,) = quality_report.summary(splits.findings)
    assert line.startswith(f"{len(BAD)} files cannot be used and were skipped: ant/")
    assert "\n" not in line


def test_an_unreadable_file_is_skipped_until_it_can_be_read(root, monkeypatch):
    """Rights change without a trace in the file's size or time."""
    real = decode.read_regular_file

    def refuse(path):
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(decode, "read_regular_file", refuse)
    findings = load_splits(config(root), 0).findings
    assert [(f.file, f.detail) for f in findings] == [
        (f"{name}/3.png", "cannot be read: Permission denied") for name in ("ant", "bee")
    ]
    monkeypatch.undo()
    assert load_splits(config(root), 0).findings == ()


def test_a_link_within_the_folder_is_an_image_as_any_other(root):
    (root / "ant" / "linked.png").symlink_to("0.png")
    assert total(load_splits(config(root), 0)) == 13


def test_a_link_out_of_the_folder_is_followed_when_asked_to(root):
    leads_out(root / "ant" / "link.png")
    assert total(load_splits(config(root, follow_links=True), 0)) == 13


def test_fail_names_the_first_bad_file_and_how_many_there_are(root):
    (root / "bee" / "2.png").write_text("a web page")
    (root / "bee" / "3.png").write_text("a web page")
    with pytest.raises(SettingError) as caught:
        load_splits(config(root, on_bad_file="fail"), 0)
    for phrase in ("bee/2.png: no image", "2 of 12 files", "data.on_bad_file=skip"):
        assert phrase in str(caught.value)


def test_a_class_of_bad_files_alone_is_refused(root):
    for path in (root / "bee").iterdir():
        path.write_bytes(b"")
    with pytest.raises(SettingError, match=r"none of the 6 files of bee .*an empty file"):
        load_splits(config(root), 0)


def counted(monkeypatch):
    looked = []
    real = decode.probe
    monkeypatch.setattr(decode, "probe", lambda c: (looked.append(1), real(c))[1])
    return looked


def test_a_file_is_looked_at_again_only_when_it_has_changed(root, monkeypatch):
    looked = counted(monkeypatch)
    load_splits(config(root), 0)
    assert len(looked) == 12
    first = load_splits(config(root), 0)
    assert len(looked) == 12
    Image.fromarray(pixels(99, (5, 7, 3))).save(root / "ant" / "0.png")
    second = load_splits(config(root), 0)
    assert len(looked) == 13
    assert first.fingerprint != second.fingerprint


def damage(file):
    file.write_text(file.read_text()[:-20])


def flip(file):
    file.write_text(file.read_text().replace('"ant/0.png"', '"ant/9.png"'))


def foreign(file):
    file.write_text('{"version": 1, "root": "/elsewhere"}\n[]')


def binary(file):
    file.write_bytes(bytes(range(256)))


@pytest.mark.parametrize("change", [damage, flip, foreign, binary])
def test_a_cache_that_cannot_be_trusted_is_made_anew(change, root, scans, monkeypatch):
    before = load_splits(config(root), 0)
    (file,) = scans.iterdir()
    kept = file.read_bytes()
    change(file)
    looked = counted(monkeypatch)
    assert load_splits(config(root), 0).fingerprint == before.fingerprint
    assert len(looked) == 12
    assert file.read_bytes() == kept


def test_a_cache_that_cannot_be_written_is_done_without(root, scans):
    scans.write_text("a file where the folder would be")
    assert total(load_splits(config(root), 0)) == 12


def test_the_cache_is_outside_the_folder(root, scans):
    before = sorted(root.rglob("*"))
    load_splits(config(root), 0)
    assert sorted(root.rglob("*")) == before
    assert [file.suffix for file in scans.iterdir()] == [".json"]


def test_what_is_seen_of_a_file(root):
    """Its SHA-256 as hashlib has it, its size as Pillow has it."""
    import hashlib

    (root / "ant" / "0.jpg").write_bytes(jpeg(30, 50))
    records = {record.path: record for _, record in folder_scan.scan_files(config(root))}
    record = records["ant/0.jpg"]
    assert record.sha256 == hashlib.sha256(jpeg(30, 50)).hexdigest()
    assert (record.height, record.width, record.bytes) == (30, 50, len(jpeg(30, 50)))


def test_the_difference_hash_is_the_published_one():
    """Whether each pixel of 9 x 8 is brighter than its left neighbour, row by row."""
    small = np.random.default_rng(0).integers(0, 256, (8, 9)).astype("uint8")
    bits = "".join(str(int(row[i + 1] > row[i])) for row in small for i in range(8))
    assert folder_scan.dhash(small) == int(bits, 2)
    assert folder_scan.dhash(np.full((50, 60), 200, "uint8")) == 0
