"""Transparent images are composited so that they can be seen, and alike in every way in."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import config, write
from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.splits import load_splits
from vit_keras.predict import inputs

SIZE = (48, 48)


def glyph(level, alpha=255):
    """A disc of one level on transparency."""
    rows, columns = np.indices(SIZE)
    disc = (rows - 24) ** 2 + (columns - 24) ** 2 < 300
    array = np.zeros((*SIZE, 4), "uint8")
    array[disc] = [level] * 3 + [alpha]
    return Image.fromarray(array)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def bmp_without_alpha():
    """32 bits a pixel, the last eight of them 0, as many programs write it."""
    rows = np.random.default_rng(0).integers(0, 256, (*SIZE, 4)).astype("uint8")
    rows[..., 3] = 0
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, SIZE[1], -SIZE[0], 1, 32, 3, rows.size, 0, 0, 0, 0)
    header += masks + b"sRGB" + bytes(48)
    start = 14 + len(header)
    content = b"BM" + struct.pack("<IHHI", start + rows.size, 0, 0, start) + header + rows.tobytes()
    return content, rows[..., 2::-1]


def ways_in(image, options):
    """A file, a Pillow image and an array."""
    for one in (png(image), image, np.asarray(image)):
        (item,) = inputs.iter_items(one, options)
        yield inputs.to_pixels(item, (*SIZE, 3), "crop", options)


CORNER = {"white": [255] * 3, "black": [0] * 3, "checker": [153] * 3}


@pytest.mark.parametrize("background", CORNER)
def test_the_background_is_the_one_asked_for(background):
    for pixels in ways_in(glyph(90), PixelOptions(background)):
        np.testing.assert_array_equal(pixels[0, 0], CORNER[background])
        np.testing.assert_array_equal(pixels[24, 24], [90] * 3)


def test_a_checkerboard_has_both_its_levels():
    (pixels, *_) = ways_in(glyph(255), PixelOptions("checker"))
    assert set(np.unique(pixels)) == {102, 153, 255}


@pytest.mark.parametrize(
    ("level", "expected"), [(0, "white"), (200, "white"), (240, "black"), (255, "black")]
)
def test_a_bright_image_is_put_over_black(level, expected):
    """White on transparency was a white square before."""
    for pixels in ways_in(glyph(level), PixelOptions()):
        np.testing.assert_array_equal(pixels[0, 0], CORNER[expected])
        assert np.ptp(pixels) > 30


def test_half_transparent_edges_are_mixed():
    for pixels in ways_in(glyph(0, alpha=51), PixelOptions("white")):
        np.testing.assert_array_equal(pixels[24, 24], [204] * 3)


def test_an_alpha_of_0_everywhere_is_opaque():
    content, colours = bmp_without_alpha()
    assert Image.open(io.BytesIO(content)).mode == "RGBA"
    for background in ("auto", "white", "black", "checker"):
        options = PixelOptions(background)
        pixels = decode.decode_bytes(content, SIZE, "crop", options)
        np.testing.assert_array_equal(pixels, colours)


def test_version_1_is_over_white_as_it_was():
    options = PixelOptions("white", decoder_version=1)
    content, _ = bmp_without_alpha()
    assert (decode.decode_bytes(content, SIZE, "crop", options) == 255).all()
    assert (decode.decode_bytes(png(glyph(255)), SIZE, "crop", options) == 255).all()


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    (tmp_path / "photos" / "ant" / "white.png").write_bytes(png(glyph(255)))
    (tmp_path / "photos" / "ant" / "black.png").write_bytes(png(glyph(0)))
    Image.new("RGB", SIZE[::-1], (9, 99, 99)).save(tmp_path / "photos" / "ant" / "flat.jpg")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("background", "flat"),
    [
        ("white", ["white.png"]),
        ("black", ["black.png"]),
        ("auto", []),
        ("checker", []),
    ],
)
def test_the_report_names_what_is_flat(background, flat, root):
    splits = load_splits(config(root, background=background, resize_mode="stretch"), 0)
    rows = sorted(f.file for f in splits.findings if f.problem == "flat")
    assert rows == sorted(f"ant/{name}" for name in [*flat, "flat.jpg"])


def test_the_background_is_part_of_the_fingerprint_where_it_changes_pixels(root):
    def fingerprint(**settings):
        return load_splits(config(root, cache_mb=0, **settings), 0).fingerprint

    with_alpha = {fingerprint(background=name) for name in ("white", "black", "auto")}
    assert len(with_alpha) == 3
    for name in ("white", "black"):
        (root / "ant" / f"{name}.png").unlink()
    old = fingerprint(background="white", decoder_version=1)
    assert {fingerprint(background=name) for name in ("white", "black", "auto")} == {old}
