"""The format of a file follows from its content; what is no image is told from a damaged one."""

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import config, photo, write
from vit_keras.data import decode, image_formats
from vit_keras.data.splits import load_splits

SIZE = (48, 64)
PHOTO = photo(*SIZE)
# Format -> how it is saved, and the mean difference that its compression may make.
FORMATS = {
    "JPEG": (dict(quality=95), 4),
    "PNG": ({}, 0),
    "BMP": ({}, 0),
    "GIF": ({}, 12),
    "WEBP": (dict(lossless=True), 0),
    "TIFF": ({}, 0),
    "AVIF": (dict(quality=90), 4),
    "JPEG2000": ({}, 1),
    "PPM": ({}, 0),
    "ICO": (dict(sizes=[SIZE[::-1]]), 0),
    "HEIF": (dict(quality=90), 4),
}


def saved(name, image=PHOTO, **settings):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    image.save(file, name, **{**FORMATS[name][0], **settings})
    return file.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_by_its_content(name, tmp_path):
    """Whatever the suffix; `no JPEG, PNG, BMP, WebP or GIF` before."""
    path = tmp_path / "photo.gif"
    path.write_bytes(saved(name))
    pixels = decode.read(path, SIZE, "crop")
    assert np.abs(pixels.astype(int) - np.asarray(PHOTO)).mean() <= FORMATS[name][1]
    assert decode.probe(path.read_bytes()).format == name


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_each_format_is_read_upright(name):
    image = PHOTO.copy()
    image.getexif()[0x0112] = 6
    content = saved(name, image, exif=image.getexif().tobytes())
    upright = np.asarray(PHOTO.transpose(Image.Transpose.ROTATE_270)).astype(int)
    pixels = decode.decode_bytes(content, SIZE[::-1], "crop")
    assert np.abs(pixels - upright).mean() <= max(FORMATS[name][1], 4)


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    return file.getvalue()


OTHER_FILES = {
    "text": (b"a list of files", "no image"),
    "a page": (b"<!DOCTYPE html><html><body><svgs></body></html>", "no image"),
    "JSON": (b'{"a": 1}', "no image"),
    "a zip": (zipped(), "no image"),
    "a PDF": (b"%PDF-1.7\n", "no image"),
    "a database": (b"SQLite format 3\0", "no image"),
    "a film": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "no image"),
    "nothing": (b"", "an empty file"),
    "a drawing": (b'<?xml version="1.0"?>\n<svg xmlns="a"/>', "an SVG drawing, which is not read"),
    "a raw file": (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
    "a damaged JPEG": (b"\xff\xd8\xff\xe0" + bytes(90), "damaged"),
    "half a PNG": (saved("PNG")[:200], "damaged"),
    "a damaged TIFF": (saved("TIFF")[:90], "damaged"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_what_is_no_image_is_told_from_what_is_damaged(kind):
    content, reason = OTHER_FILES[kind]
    with pytest.raises(decode.UnreadableError, match=f"^{reason}"):
        decode.probe(content)


def test_little_is_read_of_a_file_that_is_no_image(tmp_path):
    """A large archive beside the images costs nothing."""
    path = tmp_path / "a.bin"
    with open(path, "wb") as file:
        file.truncate(8 * 2**30)
    with pytest.raises(decode.UnreadableError, match="no image"):
        decode.read_regular_file(path)


def test_a_heic_photo_without_pillow_heif_says_what_to_install(monkeypatch):
    content = saved("HEIF")
    monkeypatch.setattr(image_formats, "_has_heif", lambda: False)
    with pytest.raises(decode.UnreadableError, match=r"pip install 'vit-keras-lab\[heif\]'"):
        decode.probe(content)


BOMB = """
import sys, time
from vit_keras.data import decode
content = open(sys.argv[1], "rb").read()
started = time.perf_counter()
try:
    decode.probe(content)
except decode.UnreadableError as error:
    print(error)
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
memory = int(line.split()[1]) // 1024
print(time.perf_counter() - started < 2, memory < 1000, memory)
"""


def of_side(content, side):
    """An AVIF or HEIC file that says to have an image of this side, and holds a small one."""
    place = content.index(b"ispe") + 8
    return content[:place] + side.to_bytes(4, "big") * 2 + content[place + 8 :]


BOMBS = {
    "TIFF": lambda: saved("TIFF", Image.new("1", (14_000, 14_000)), compression="tiff_lzw"),
    "JPEG2000": lambda: saved("JPEG2000", Image.new("L", (5900, 5900))),
    "AVIF": lambda: of_side(saved("AVIF"), 10_000),
    "HEIF": lambda: of_side(saved("HEIF"), 10_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_of_an_enormous_image_is_refused_at_once(name, tmp_path):
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BOMB, str(tmp_path / "bomb")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    # libheif compares the size with that of the coded image.
    assert ("damaged" if name == "HEIF" else "far too large") in done.stdout, done.stderr
    assert "True True" in done.stdout


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    return tmp_path / "photos"


def test_a_folder_of_every_format_is_read(root):
    for name in FORMATS:
        (root / "ant" / f"{name}.png").write_bytes(saved(name))
    splits = load_splits(config(root), 0)
    assert sum(len(part.labels) for part in splits.as_dict().values()) == 12 + len(FORMATS)
    assert not any(finding.problem == "skipped" for finding in splits.findings)


def test_an_edit_that_keeps_size_and_time_is_seen(root):
    """The cache trusted these two: a stale orientation and fingerprint before."""
    path = root / "ant" / "0.png"
    before, splits = path.stat(), load_splits(config(root), 0)
    content = bytearray(path.read_bytes())
    content[-20:-16] = b"\0\0\0\0"
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert load_splits(config(root), 0).fingerprint != splits.fingerprint


@pytest.mark.parametrize("name", ["BMP", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO", "HEIF", "TIFF"])
def test_a_file_of_another_length_than_it_says_is_reported(name):
    """Two files of which one was written over the other, where no checksum tells."""
    content = saved(name)
    assert decode.probe(content).remark == ""
    longer = content + content[len(content) // 2 :]
    try:
        remark = decode.probe(longer).remark
    except decode.UnreadableError:
        return
    assert remark.startswith(f"{len(longer):,} bytes long, and ")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I;16"])
def test_the_length_of_every_tiff_is_known(mode, compression):
    for side in (9, 700):
        image = Image.new(mode, (side, side + 1))
        assert decode.probe(saved("TIFF", image, compression=compression)).remark == ""


@pytest.mark.parametrize(
    "settings", [dict(no_jp2=True), dict(tile_size=(16, 16)), dict(irreversible=True)]
)
def test_the_length_of_every_jpeg_2000_is_known(settings):
    assert decode.probe(saved("JPEG2000", **settings)).remark == ""


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_the_length_of_every_ppm_is_known(mode):
    image = Image.new(mode, (13, 9))
    assert decode.probe(saved("PPM", image)).remark == ""
