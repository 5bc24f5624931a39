"""Damage that a decoder hides is found; whole images with odd metadata are read, with a remark."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from helpers.image_files import config, photo, write
from vit_keras import SettingError
from vit_keras.data import decode, resize
from vit_keras.data.splits import load_splits

SIZE = (96, 128)
PHOTO = photo(*SIZE)


def saved(kind, image=PHOTO, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


JPEGS = {
    "baseline": saved("JPEG", quality=90),
    "progressive": saved("JPEG", quality=90, progressive=True),
    "grey": saved("JPEG", PHOTO.convert("L"), quality=90),
    "cmyk": saved("JPEG", PHOTO.convert("CMYK"), quality=90),
    "restart markers": saved("JPEG", quality=90, restart_marker_rows=2),
}


def scan_start(content):
    """Where the pixels begin, after the first header of a scan."""
    header = content.index(b"\xff\xda")
    return header + 2 + int.from_bytes(content[header + 2 : header + 4], "big")


def zeroed(content):
    """The second half of the pixels overwritten; the end marker is where it was."""
    middle = (scan_start(content) + len(content)) // 2
    return content[:middle] + bytes(len(content) - 2 - middle) + content[-2:]


def cut(content):
    """Half of the pixels lost; the end marker follows."""
    return content[: (scan_start(content) + len(content)) // 2] + content[-2:]


def another_header(content):
    """A wrong table of codes, as after a splice."""
    place = content.index(b"\xff\xc4") + 25
    return content[:place] + bytes(8) + content[place + 8 :]


# The decoder is content before all pixels are used, as with data that belong to no image.
LEFT_OVER = {
    ("progressive", zeroed),
    *((kind, another_header) for kind in ("baseline", "grey", "cmyk")),
}


@pytest.mark.parametrize("damage", [zeroed, cut, another_header])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_pixels_are_damaged_is_refused_or_reported(kind, damage):
    """Pillow reads each of them, half of it grey, because it ends as a whole one."""
    content = damage(JPEGS[kind])
    if (kind, damage) in LEFT_OVER:
        assert "bytes that belong to no part of it" in decode.probe(content).remark
        return
    with pytest.raises(decode.UnreadableError, match="damaged"):
        decode.probe(content)


def without_end(content):
    return content[:-2]


def padded(content):
    return content[:-2] + bytes(200) + content[-2:]


def followed(content):
    return content + b"a tail of other data" * 20


def padded_header(content):
    place = content.index(b"\xff\xdb")
    return content[:place] + b"\x01" * 7 + content[place:]


@pytest.mark.parametrize("change", [without_end, padded, followed, padded_header])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_pixels_are_whole_is_read(kind, change):
    content = change(JPEGS[kind])
    expected = decode.decode_bytes(JPEGS[kind], SIZE, "stretch")
    np.testing.assert_array_equal(decode.decode_bytes(content, SIZE, "stretch"), expected)
    assert bool(decode.probe(content).remark) == (change is not followed)


def test_damage_behind_a_harmless_oddity_is_found():
    """libjpeg reports the first fault alone."""
    damaged = zeroed(JPEGS["baseline"])
    for change in (without_end, padded_header):
        with pytest.raises(decode.UnreadableError, match="damaged"):
            decode.probe(change(damaged))


PNG = saved("PNG")


def with_chunk(kind, data, flaw=0):
    """A chunk before the pixels; its checksum is wrong by `flaw`."""
    checksum = zlib.crc32(kind + data) ^ flaw
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return PNG[:33] + chunk + PNG[33:]


def long_text():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    return saved("PNG", pnginfo=info)


METADATA = {
    "2 MB of text": long_text(),
    "a profile of 2 MB": saved("PNG", icc_profile=bytes(2_000_000)),
    "a wrong checksum of a text": with_chunk(b"tEXt", b"a\0b", flaw=1),
    "a wrong checksum of a profile": with_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"b"), flaw=1),
    "a short chunk": with_chunk(b"gAMA", b"\0"),
}


@pytest.mark.parametrize("kind", METADATA)
def test_a_png_with_odd_metadata_is_read_with_a_remark(kind):
    """`no PNG by its content` before."""
    content = METADATA[kind]
    np.testing.assert_array_equal(decode.decode_bytes(content, SIZE, "crop"), np.asarray(PHOTO))
    remark = decode.probe(content).remark
    assert remark.startswith("metadata that are damaged or too long")
    assert remark.endswith(("long", "tEXt", "zTXt", "iTXt", "iCCP", "gAMA"))


def test_the_orientation_of_a_png_with_odd_metadata_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 3
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    content = saved("PNG", pnginfo=info, exif=exif)
    upside_down = decode.decode_bytes(content, SIZE, "crop")
    np.testing.assert_array_equal(upside_down, np.asarray(PHOTO)[::-1, ::-1])


def test_the_pixels_of_a_png_have_to_have_their_checksum():
    """A changed pixel is not decoded to another one: Pillow does not check."""
    stored = saved("PNG", compress_level=0)
    content = bytearray(stored)
    content[len(content) // 2] ^= 64
    with pytest.raises(decode.UnreadableError, match=r"damaged.*checksum"):
        decode.probe(bytes(content))
    wrong_checksum = bytearray(PNG)
    wrong_checksum[-13] ^= 1  # of the last chunk of pixels, which are whole
    np.testing.assert_array_equal(
        decode.decode_bytes(bytes(wrong_checksum), SIZE, "crop"), np.asarray(PHOTO)
    )


def test_the_pixels_of_a_deflated_tiff_have_to_have_their_checksum():
    content = bytearray(saved("TIFF", compression="tiff_adobe_deflate"))
    decode.probe(bytes(content))
    refused = 0
    for place in range(200, len(content) - 400, 97):
        changed = bytes(content[:place]) + b"\x55" + bytes(content[place + 1 :])
        with contextlib.suppress(decode.UnreadableError):
            pixels = decode.decode_bytes(changed, SIZE, "crop")
            np.testing.assert_array_equal(pixels, np.asarray(PHOTO))
            continue
        refused += 1
    assert refused > 20


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    (tmp_path / "photos" / "ant" / "ruined.jpg").write_bytes(zeroed(JPEGS["baseline"]))
    (tmp_path / "photos" / "bee" / "no end.jpg").write_bytes(without_end(JPEGS["grey"]))
    (tmp_path / "photos" / "bee" / "text.png").write_bytes(
        saved("PNG", photo(20, 30), icc_profile=bytes(2_000_000))
    )
    return tmp_path / "photos"


def test_the_report_lists_damaged_and_odd_files(root):
    splits = load_splits(config(root), 0)
    rows = {finding.file: finding.problem for finding in splits.findings}
    assert rows.pop("ant/ruined.jpg") == "skipped"
    assert rows == {"bee/no end.jpg": "odd_file", "bee/text.png": "odd_file"}
    read = sum(len(part.labels) for part in splits.as_dict().values())
    assert read == 14
    with pytest.raises(SettingError, match=r"ruined\.jpg: damaged"):
        load_splits(config(root, on_bad_file="fail"), 0)


def test_version_1_reads_what_it_read(root):
    """A run of before goes on with the images that it was trained on."""
    splits = load_splits(config(root, decoder_version=1, background="white", cache_mb=0), 0)
    rows = {finding.file: finding.problem for finding in splits.findings}
    assert rows["bee/text.png"] == "skipped"
    assert "ant/ruined.jpg" not in rows
    images = splits.all.images
    (index,) = [i for i, file in enumerate(images.files) if file.path == "ant/ruined.jpg"]
    with Image.open(root / "ant" / "ruined.jpg") as opened:
        expected = resize.resize_to_size(np.asarray(opened), images.size, "crop")
    np.testing.assert_array_equal(images[index], expected)
