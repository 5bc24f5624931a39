"""`preprocess.py`, which goes out beside a model, makes the pixels that the Predictor makes."""

import ast
import io
import itertools
import runpy
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.icc_profiles import ADOBE
from helpers.image_files import photo
from vit_keras.config.schema import DataConfig
from vit_keras.data import preprocess
from vit_keras.data.image_input import PREPROCESS, ImageInput
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.predict import inputs

MODES = ("crop", "stretch", "pad")
LEVELS = 2  # of 255, which preprocess.py states
# Files (rows, columns): smaller, equal, hardly and much larger than an input of 32x48.
SHAPES = [(5, 4), (20, 90), (32, 48), (33, 49), (47, 70), (63, 97), (64, 96), (65, 400), (301, 199)]


def content(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_orientation(image, orientation, kind="PNG", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return content(image, kind, exif=exif, **options)


def both(file, shape=(32, 48, 3), resize_mode="crop", **options):
    """The pixels of preprocess.py and of the Predictor."""
    settings = vars(ImageInput(*shape, resize_mode=resize_mode, **options))
    (item,) = inputs.iter_items(file)
    ours = inputs.to_pixels(item, shape, resize_mode, PixelOptions(**options))
    found = preprocess.load_image(io.BytesIO(file), settings)
    assert found.dtype == np.uint8
    assert found.shape == (1, *ours.shape)
    return found[0].astype(int), ours.astype(int)


@pytest.mark.parametrize("resize_mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_are_the_predictors_at_every_size(shape, resize_mode):
    image = photo(*shape)
    for turned in (image, image.transpose(Image.Transpose.ROTATE_90)):
        for channels in (3, 1):
            found, ours = both(content(turned), (32, 48, channels), resize_mode)
            assert np.abs(found - ours).max() <= LEVELS
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), "uint8")
    found, ours = both(content(Image.fromarray(noise)), resize_mode=resize_mode)
    assert np.abs(found - ours).max() <= LEVELS


@pytest.mark.parametrize("resize_mode", MODES)
@pytest.mark.parametrize("orientation", range(10))
def test_every_exif_orientation_is_turned_upright(orientation, resize_mode):
    for shape in ((37, 90), (61, 64)):
        file = with_orientation(photo(*shape), orientation)
        found, ours = both(file, resize_mode=resize_mode)
        assert np.abs(found - ours).max() <= LEVELS
        file = with_orientation(photo(*shape), orientation, "JPEG", quality=95, subsampling=0)
        found, ours = both(file, resize_mode=resize_mode)
        assert np.abs(found - ours).mean() <= 1


@pytest.mark.parametrize("resize_mode", MODES)
def test_a_jpeg_is_decoded_at_the_scale_of_training(resize_mode):
    """At 1/1, 1/2, 1/4 or 1/8; the decoder of training is faster and less exact for large ones."""
    for rows, columns in itertools.product((30, 64, 127, 128, 255, 256, 700), (50, 190, 193, 900)):
        found, ours = both(
            content(photo(rows, columns), "JPEG", quality=90), (32, 48, 3), resize_mode
        )
        difference = np.abs(found - ours)
        assert difference.mean() <= 1
        assert difference.max() <= 12


def modes_of(image):
    alpha = Image.fromarray(
        np.tile(np.linspace(0, 255, image.width, dtype="uint8"), (image.height, 1))
    )
    with_alpha = image.copy()
    with_alpha.putalpha(alpha)
    grey_with_alpha = image.convert("L")
    grey_with_alpha.putalpha(alpha)
    clear = image.copy()
    clear.putalpha(0)
    bright = Image.new("RGBA", image.size, (250, 250, 250, 0))
    bright.paste((255, 255, 255, 255), (20, 20, 50, 50))
    deep = np.asarray(image.convert("L")).astype("uint16") * 250 + 99
    yield "RGB", content(image)
    yield "L", content(image.convert("L"))
    yield "L in JPEG", content(image.convert("L"), "JPEG")
    yield "RGBA", content(with_alpha)
    yield "LA", content(grey_with_alpha)
    yield "alpha of 0", content(clear)
    yield "bright on transparency", content(bright)
    yield "P", content(image.convert("P", palette=Image.Palette.ADAPTIVE))
    yield "P with transparency", content(image.quantize(16), transparency=3)
    yield "1", content(image.convert("1"))
    yield "16 bits", content(Image.fromarray(deep))
    yield "CMYK", content(image.convert("CMYK"), "JPEG", quality=95)
    yield "GIF", content(image.quantize(64), "GIF")
    yield "WebP", content(with_alpha, "WEBP", lossless=True)
    yield "BMP", content(image, "BMP")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("background", ["auto", "white", "black", "checker"])
def test_every_kind_of_picture_is_read_as_the_predictor_reads_it(background, version):
    if version == 1 and background != "white":
        return  # which no run has
    for name, file in modes_of(photo(70, 90)):
        found, ours = both(file, background=background, decoder_version=version)
        assert np.abs(found - ours).max() <= LEVELS, name


def test_16_bits_are_scaled_as_the_run_has_it():
    file = content(Image.fromarray(np.arange(4032, dtype="uint16").reshape(63, 64)))
    for bits in (12, 16):
        found, ours = both(file, bit_depth=bits)
        assert np.abs(found - ours).max() <= LEVELS
    with pytest.raises(ValueError, match="of how many bits"):
        preprocess.load_image(io.BytesIO(file))


def with_chunk(png, kind, data, flaw=0):
    """A chunk before the pixels; its checksum is wrong by `flaw`."""
    checksum = (zlib.crc32(kind + data) ^ flaw).to_bytes(4, "big")
    return png[:33] + len(data).to_bytes(4, "big") + kind + data + checksum + png[33:]


def test_the_bits_that_a_png_says_it_uses_are_read():
    """In samples as they are, and in samples scaled to 16 bits."""
    samples = np.arange(4032, dtype="uint16").reshape(63, 64)
    for stored in (samples, samples << 4):
        file = with_chunk(content(Image.fromarray(stored)), b"sBIT", b"\x0c")
        for depth in (None, 14):
            found, ours = both(file, bit_depth=depth)
            assert ours.max() > 200  # of 12 bits, not of 14 or 16
            assert np.abs(found - ours).max() <= LEVELS


def test_a_png_with_damaged_metadata_is_read_without_them():
    """Pillow refuses the whole image."""
    turned = with_orientation(photo(40, 60), 6)
    for file in (
        with_chunk(turned, b"tEXt", b"a\0b", flaw=1),
        with_chunk(turned, b"iCCP", b"a\0\0" + zlib.compress(ADOBE), flaw=1),
        with_chunk(with_chunk(turned, b"iCCP", b"a\0\0" + zlib.compress(ADOBE)), b"gAMA", b"\0"),
        content(photo(40, 60), icc_profile=bytes(2_000_000)),
    ):
        with pytest.raises((OSError, SyntaxError, ValueError)):
            Image.open(io.BytesIO(file)).load()
        found, ours = both(file)
        assert np.abs(found - ours).max() <= LEVELS


def test_a_profile_is_converted_as_the_predictor_does():
    image = photo(40, 60)
    for kind, settings in (("PNG", {}), ("JPEG", dict(quality=95))):
        for profile in (ADOBE, ADOBE[:150]):
            file = content(image, kind, icc_profile=profile, **settings)
            for version in (1, 2):
                found, ours = both(file, decoder_version=version)
                assert np.abs(found - ours).mean() <= 1


def test_the_program_beside_a_model_needs_pillow_and_numpy_alone(tmp_path):
    pixels = ImageInput.of_run(DataConfig(resize_mode="pad"), (8, 12, 1))
    pixels.write_preprocess(tmp_path)
    tree = ast.parse((tmp_path / PREPROCESS).read_text())
    # Of the module: only images of a `data.value_range` need tifffile or pydicom.
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert names == {"io", "zlib", "numpy", "PIL"}
    program = runpy.run_path(str(tmp_path / PREPROCESS))
    assert program["INPUT"] == {
        "height": 8,
        "width": 12,
        "channels": 1,
        "resize_mode": "pad",
        "background": "auto",
        "bit_depth": None,
        "decoder_version": 2,
        "value_range": None,
    }
    photo(40, 20).save(tmp_path / "photo.png")
    found = program["load_image"](tmp_path / "photo.png")
    (item,) = inputs.iter_items(tmp_path / "photo.png")
    ours = inputs.to_pixels(item, (8, 12, 1), "pad")
    assert np.abs(found[0].astype(int) - ours).max() <= LEVELS
    assert "keras" not in vars(sys.modules[preprocess.__name__])


def test_arrays_of_other_channels_have_no_program(tmp_path):
    pixels = ImageInput.of_run(DataConfig(), (8, 8, 4))
    pixels.write_preprocess(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert pixels.describe()["color"] == "as in the arrays that the run was trained on"
