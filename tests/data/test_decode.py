"""Image files of every format are decoded upright, at the target size, close to Pillow's result."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import SIZE, photo, pixels
from vit_keras.data import decode, resize

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
GREY16 = (np.arange(24).reshape(SIZE) * 2570).astype("uint16")  # 0, 10, 20, ... of 255


def saved(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def read(content, size=SIZE, fit="crop"):
    seen = decode.probe(content)
    return decode.decode_resized(content, size, fit, seen.orientation, seen.is_jpeg)


def half_transparent():
    """Red at an opacity of 0, of about a half, and of 1."""
    array = np.zeros((*SIZE, 4), "uint8")
    array[..., 0] = 255
    array[..., 3] = np.repeat([0, 128, 255], 2)
    return Image.fromarray(array)


def of_palette():
    """Colour 0 is red, 1 blue; 0 is transparent."""
    image = Image.new("P", SIZE[::-1], 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (3, 0, 6, 4))
    return image


OVER_WHITE = np.array([WHITE] * 2 + [(255, 127, 127)] * 2 + [RED] * 2)
# What is saved, as what, and what is read of it at SIZE.
KINDS = {
    "grey": (Image.fromarray(pixels(0, SIZE)), "PNG", {}, pixels(0, SIZE)[..., None]),
    "grey_jpeg": (Image.new("L", (9, 9), 77), "JPEG", {}, 77),
    "alpha": (half_transparent(), "PNG", {}, OVER_WHITE),
    "alpha_webp": (half_transparent(), "WEBP", {"lossless": True}, OVER_WHITE),
    "grey_alpha": (Image.new("LA", (9, 9), (77, 0)), "PNG", {}, 77),
    "black_and_white": (Image.new("1", SIZE[::-1], 1), "BMP", {}, 255),
    "palette": (of_palette(), "PNG", {}, np.array([RED] * 3 + [BLUE] * 3)),
    "palette_alpha": (of_palette(), "PNG", dict(transparency=0), [WHITE] * 3 + [BLUE] * 3),
    "16_bits": (Image.fromarray(GREY16), "PNG", {}, (GREY16 / 257)[..., None]),
    "cmyk": (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG", {}, RED),
    "animated": (
        Image.new("RGB", (9, 9), RED),
        "GIF",
        dict(save_all=True, append_images=[Image.new("RGB", (9, 9), BLUE)]),
        RED,
    ),
    "several_in_one": (
        Image.new("RGB", (9, 9), RED),
        "MPO",
        dict(save_all=True, append_images=[Image.new("RGB", (9, 9), BLUE)]),
        RED,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_three_channels(kind):
    image, form, settings, expected = KINDS[kind]
    result = read(saved(image, form, **settings))
    assert (result.shape, result.dtype) == ((*SIZE, 3), "uint8")
    np.testing.assert_allclose(result.astype(int), np.broadcast_to(expected, (*SIZE, 3)), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_turned_photo_is_read_upright(kind, orientation):
    """As Pillow's own `exif_transpose` has it, whose rows and columns are not SIZE's."""
    from PIL import ImageOps

    image = photo(48, 64)
    image.getexif()[0x0112] = orientation
    content = saved(image, kind, exif=image.getexif())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    expected = np.asarray(upright).astype(int)
    result = read(content, expected.shape[:2]).astype(int)
    assert np.abs(result - expected).mean() < 1


@pytest.mark.parametrize("size", [(224, 224), (100, 120), (64, 64), (30, 20), (400, 400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_resized_photo_is_near_what_pillow_makes_of_it(kind, size):
    """The mean difference is below two levels, and larger for a picture moved by a pixel."""
    image = photo(375, 500)
    content = saved(image, kind, **({"quality": 95} if kind == "JPEG" else {}))
    image = Image.open(io.BytesIO(content)).convert("RGB")
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    result = read(content, size, "stretch")

    def difference(rows, columns):
        moved = np.roll(result.astype(int), (rows, columns), (0, 1))
        return np.abs(moved - expected)[2:-2, 2:-2].mean()

    assert difference(0, 0) < 2
    for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert difference(*move) > 1.5 * difference(0, 0)


def test_fine_patterns_do_not_turn_into_coarse_ones():
    """A chequered board of single pixels is grey from afar; sampled, it would be black or white."""
    board = np.indices((300, 300)).sum(0) % 2 * 255
    array = np.repeat(board[..., None], 3, axis=2).astype("uint8")
    for size in ((200, 200), (120, 120), (70, 90)):
        inner = resize.resized(array, size)[4:-4, 4:-4].astype(float)
        blocks = inner[: len(inner) // 4 * 4, : inner.shape[1] // 4 * 4]
        means = blocks.reshape(blocks.shape[0] // 4, 4, blocks.shape[1] // 4, 4, 3).mean((1, 3))
        np.testing.assert_allclose(means, 127.5, atol=30)


# An image of 40 rows and 80 columns: red on the left, then green, then blue on the right.
STRIPES = np.zeros((40, 80, 3), "uint8")
STRIPES[:, :20, 0], STRIPES[:, 20:60, 1], STRIPES[:, 60:, 2] = 255, 255, 255


def test_crop_shows_the_centre():
    result = resize.resize_to_size(STRIPES, (20, 20), "crop")
    np.testing.assert_array_equal(result, np.tile((0, 255, 0), (20, 20, 1)))


def test_stretch_shows_all():
    result = resize.resize_to_size(STRIPES, (20, 20), "stretch")
    for column, colour in ((0, RED), (10, (0, 255, 0)), (19, BLUE)):
        np.testing.assert_array_equal(result[:, column], np.tile(colour, (20, 1)))


def test_pad_shows_all_in_proportion_between_black():
    result = resize.resize_to_size(STRIPES, (20, 20), "pad")
    assert not result[:5].any()
    assert not result[15:].any()
    assert result[5:15].any(-1).all()
    np.testing.assert_array_equal(result[10, [0, 10, 19]], [RED, (0, 255, 0), BLUE])


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("shape", [(4, 900), (900, 4), (5, 7), (64, 64)])
def test_the_result_has_the_size_asked_for_whatever_the_shape(shape, fit):
    content = saved(Image.fromarray(pixels(0, (*shape, 3))), "JPEG")
    assert read(content, (32, 24), fit).shape == (32, 24, 3)


def test_a_png_that_is_damaged_inside_is_no_image():
    """Asking Pillow for its orientation reads its pixels, and hides that they are damaged."""
    content = bytearray(saved(Image.fromarray(pixels(1, (90, 90, 3))), "PNG"))
    content[len(content) // 2] ^= 255
    with pytest.raises(decode.UnreadableError, match="damaged"):
        decode.probe(bytes(content))
