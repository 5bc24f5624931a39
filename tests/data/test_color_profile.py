"""Images with an ICC profile are converted to sRGB, in every way in, as LittleCMS does it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers.icc_profiles import ADOBE
from helpers.image_files import photo
from vit_keras.data import color_profile, decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.predict import inputs

SIZE = (96, 128)
PHOTO = photo(*SIZE)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(kind, profile, image=PHOTO, **settings):
    file = io.BytesIO()
    image.save(file, kind, icc_profile=profile, **settings)
    return file.getvalue()


def as_srgb(image):
    """By LittleCMS, of the whole image."""
    return np.asarray(
        ImageCms.profileToProfile(
            image, io.BytesIO(ADOBE), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    ).astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_wide_gamut_photo_has_the_colours_that_a_viewer_shows(kind):
    settings = {"JPEG": dict(quality=100, subsampling=0), "WEBP": dict(lossless=True)}.get(kind, {})
    content = saved(kind, ADOBE, **settings)
    assert decode.probe(content).has_profile
    opened = Image.open(io.BytesIO(content))
    expected = as_srgb(opened.convert("RGB"))
    assert np.abs(expected - np.asarray(PHOTO)).mean() > 3
    for one in (content, opened):
        (item,) = inputs.iter_items(one)
        pixels = inputs.to_pixels(item, (*SIZE, 3), "crop").astype(int)
        assert np.abs(pixels - expected).max() <= 4


def test_adobe_green_is_beyond_srgb_and_grey_stays():
    """(0, 128, 0) of Adobe RGB is about (-, 128, -) of sRGB with red and blue at their limit."""
    image = Image.fromarray(np.array([[[128] * 3, [200, 100, 50]]], "uint8"))
    grey, colour = np.asarray(color_profile.to_srgb(image, ADOBE))[0].astype(int)
    assert np.abs(grey - 128).max() <= 2
    # By Lindbloom's calculator: Adobe RGB (200, 100, 50) is sRGB (228, 99, 38).
    assert np.abs(colour - [228, 99, 38]).max() <= 4


def test_srgb_and_damaged_profiles_change_nothing():
    for profile in (SRGB, ADOBE[:150], b"no profile"):
        content = saved("PNG", profile)
        assert not decode.probe(content).has_profile
        np.testing.assert_array_equal(decode.decode_bytes(content, SIZE, "crop"), np.asarray(PHOTO))


def test_an_alpha_channel_stays_beside_the_colours():
    image = PHOTO.copy()
    image.putalpha(255)
    pixels = decode.decode_bytes(saved("PNG", ADOBE, image), SIZE, "crop")
    np.testing.assert_array_equal(pixels, decode.decode_bytes(saved("PNG", ADOBE), SIZE, "crop"))


def test_version_1_ignores_profiles():
    options = PixelOptions("white", decoder_version=1)
    for kind in ("PNG", "JPEG"):
        with_profile, without = saved(kind, ADOBE), saved(kind, None)
        np.testing.assert_array_equal(
            decode.decode_bytes(with_profile, SIZE, "crop", options),
            decode.decode_bytes(without, SIZE, "crop", options),
        )
