"""The range of pixel values is decided once: for every dtype, depth and way in the same."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vit_keras import SettingError
from vit_keras.data import decode, pixel_range
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.pixel_range import RangeError
from vit_keras.data.readers.arrays import convert
from vit_keras.predict import inputs

SHAPE = (8, 12)
LABELS = np.arange(4) % 2


def ramp(largest, dtype):
    """Every level from 0 to the largest value, as evenly as the pixels allow."""
    return np.linspace(0, largest, SHAPE[0] * SHAPE[1]).round().reshape(SHAPE).astype(dtype)


def as_file(array, kind):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def predicted(image, options):
    (item,) = inputs.iter_items(image, options)
    return inputs.to_pixels(item, (*SHAPE, 1), "crop", options)[..., 0]


def outcome(read):
    """The pixels, or that they are refused."""
    try:
        return read()
    except (SettingError, decode.UnreadableError):
        return "refused"


def ways_in(array, options):
    """The same 16-bit image as an array, a Pillow image and files."""
    return {
        "array": outcome(lambda: predicted(array, options)),
        "batch": outcome(lambda: predicted(array[None, ..., None], options)),
        "pillow": outcome(lambda: predicted(Image.fromarray(array), options)),
        "png": outcome(lambda: predicted(as_file(array, "PNG"), options)),
        "tiff": outcome(lambda: predicted(as_file(array, "TIFF"), options)),
    }


@settings(max_examples=60, deadline=None)
@given(
    largest=st.integers(1, 65535),
    bit_depth=st.sampled_from([None, 8, 9, 10, 12, 14, 16]),
    colours=st.booleans(),
)
def test_16_bits_are_the_same_whatever_way_they_come_in(largest, bit_depth, colours):
    array, options = ramp(largest, "uint16"), PixelOptions(bit_depth=bit_depth)
    found = ways_in(array, options)
    first, *others = found.values()
    for other in others:
        assert isinstance(other, str) == isinstance(first, str), found
        np.testing.assert_array_equal(other, first)
    if isinstance(first, str):
        assert bit_depth is not None or 255 < largest < 2**14
        assert bit_depth is None or largest >= 2**bit_depth
        return
    bits = bit_depth or (8 if largest < 256 else 16)
    np.testing.assert_allclose(first, array / ((2**bits - 1) / 255), atol=0.51)


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32", "int64", "float32"]),
    largest=st.integers(2, 65535),
    bit_depth=st.sampled_from([None, 10, 12, 16]),
)
def test_a_training_set_is_scaled_by_its_largest_value_or_refused(dtype, largest, bit_depth):
    largest = min(largest, np.iinfo(dtype).max) if dtype != "float32" else largest
    images = np.stack([ramp(largest, dtype)] * 4)
    try:
        data, _ = convert({"train": (images, LABELS)}, None, "x", bit_depth)
    except SettingError:
        assert largest > 255
        assert dtype not in ("uint16", "int16") or (bit_depth and largest >= 2**bit_depth)
        return
    again = predicted(images[0], PixelOptions(bit_depth=data.bit_depth))
    np.testing.assert_array_equal(again, data.train.images[0, ..., 0])
    if dtype != "uint8" and (bit_depth is None and largest > 255):
        assert again.max() > 63  # no more than two bits are lost


def test_every_way_of_saying_12_bits_uses_all_levels():
    """As 12 bits in a 16-bit PNG had 17 grey levels before."""
    array = ramp(4095, "uint16")
    expected = np.rint(array / (4095 / 255))
    options = PixelOptions(bit_depth=12)
    for name, pixels in ways_in(array, options).items():
        np.testing.assert_array_equal(pixels, expected, err_msg=name)


def test_an_ambiguous_range_says_what_it_may_be():
    with pytest.raises(
        RangeError,
        match=r"values of 0 to 4095, so 16 bits or 12; .* train with data.bit_depth=12",
    ):
        pixel_range.to_uint8(ramp(4095, "uint16"))
    with pytest.raises(RangeError, match=r"0 to 4095, and data.bit_depth=10 ends at 1023"):
        pixel_range.to_uint8(ramp(4095, "uint16"), bit_depth=10)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_pillow_image_of_wide_numbers_from_0_to_255_is_as_it_is(mode):
    """It was black before."""
    array = ramp(255, "uint8")
    np.testing.assert_array_equal(
        predicted(Image.fromarray(array).convert(mode), PixelOptions()), array
    )


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_significant_bits_of_a_png_decide(bits):
    """Samples as they are, or scaled to 16 bits, which the PNG specification asks for."""
    import struct
    import zlib

    array = ramp(2**bits - 1, "uint16")
    body = b"sBIT" + bytes([bits])
    chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    for stored in (array, array << (16 - bits)):
        content = as_file(stored, "PNG")
        content = content[:33] + chunk + content[33:]
        for image in (content, Image.open(io.BytesIO(content))):
            pixels = predicted(image, PixelOptions()).astype(int)
            assert np.abs(pixels - array / ((2**bits - 1) / 255)).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_keep_their_range(channels):
    """Pillow keeps the upper eight bits, of which four are used by samples of 12 bits."""
    import cv2

    colours = np.random.default_rng(0).integers(0, 4096, (*SHAPE, channels)).astype("uint16")
    colours[..., 3:] = 65535
    order = colours[..., [2, 1, 0, 3][:channels]]
    content = cv2.imencode(".png", order)[1].tobytes()
    options = PixelOptions(bit_depth=12)
    expected = np.rint(colours[..., :3] / (4095 / 255))
    for image in (content, Image.open(io.BytesIO(content))):
        (item,) = inputs.iter_items(image, options)
        np.testing.assert_array_equal(
            inputs.to_pixels(item, (*SHAPE, 3), "crop", options), expected
        )


def test_grey_with_alpha_is_one_image():
    """(H, W, 2), as NumPy makes of a Pillow image; `too small: 2x8` before."""
    image = Image.merge(
        "LA", [Image.fromarray(ramp(200, "uint8")), Image.new("L", SHAPE[::-1], 255)]
    )
    array = np.asarray(image)
    assert array.shape == (*SHAPE, 2)
    np.testing.assert_array_equal(
        predicted(array, PixelOptions()), predicted(image, PixelOptions())
    )


def test_channels_first_is_refused_whatever_their_number():
    for channels in (3, 4):
        with pytest.raises(SettingError, match=r"channels first.*moveaxis"):
            predicted(np.zeros((channels, *SHAPE), "uint8"), PixelOptions())
