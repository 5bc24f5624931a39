"""Inputs of every accepted kind are converted to the model's size and channels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vit_keras import SettingError
from vit_keras.data import decode
from vit_keras.predict import inputs

SHAPE = (8, 12, 3)  # rows, columns, channels


def noise(*shape):
    return np.random.default_rng(len(shape)).integers(2, 256, shape).astype("uint8")


def only(images, shape=SHAPE, fit="crop"):
    (item,) = inputs.iter_items(images)
    return inputs.to_pixels(item, shape, fit)


def all_of(images, shape=SHAPE):
    return [inputs.to_pixels(item, shape, "crop") for item in inputs.iter_items(images)]


def file_of(tmp_path, array, name="a.png"):
    Image.fromarray(array).save(tmp_path / name)
    return tmp_path / name


def test_every_kind_of_input_gives_the_same_pixels(tmp_path):
    array = noise(*SHAPE)
    path = file_of(tmp_path, array)
    content = path.read_bytes()
    inputs_of_every_kind = [
        path,
        str(path),
        content,
        io.BytesIO(content),
        Image.open(path),
        array,
        array[None],
    ]
    for one in [*inputs_of_every_kind, [array], array.astype("float64"), array.astype("int32")]:
        np.testing.assert_array_equal(only(one), array)


def test_images_of_another_size_are_resized_as_files_are(tmp_path):
    array = noise(30, 50, 3)
    path = file_of(tmp_path, array)
    for fit in ("crop", "stretch", "pad"):
        np.testing.assert_array_equal(only(array, fit=fit), decode.read(path, (8, 12), fit))
    padded = only(array[:, :20], fit="pad")
    assert not padded[:, :3].any()
    assert padded[:, 4:8].any()


def test_grey_and_transparent_images_become_rgb():
    grey, colour = noise(8, 12), noise(*SHAPE)
    for one in (grey, grey[..., None], Image.fromarray(grey)):
        np.testing.assert_array_equal(only(one), np.stack([grey] * 3, axis=-1))
    clear = np.dstack([colour, np.zeros((8, 12), "uint8")])
    opaque = np.dstack([colour, np.full((8, 12), 255, "uint8")])
    np.testing.assert_array_equal(only(clear), colour)  # an alpha of 0 everywhere says nothing
    np.testing.assert_array_equal(only(opaque), colour)


def test_colours_become_pillows_grey():
    colour = noise(*SHAPE)
    expected = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    result = only(colour, (8, 12, 1))
    assert result.shape == (8, 12, 1)
    assert np.abs(result[..., 0] - expected).max() <= 1
    grey = noise(8, 12)
    np.testing.assert_array_equal(only(grey, (8, 12, 1))[..., 0], grey)


def test_four_channels_need_a_model_of_four_channels():
    array = noise(8, 12, 4)
    np.testing.assert_array_equal(only(array, (8, 12, 4)), array)
    with pytest.raises(SettingError, match="this run's model takes 4 channels"):
        only(noise(*SHAPE), (8, 12, 4))


def test_the_exif_orientation_is_applied(tmp_path):
    array = np.zeros((8, 12, 3), "uint8")
    array[:, :6] = 255
    image = Image.fromarray(array)
    image.getexif()[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=image.getexif())
    for one in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        np.testing.assert_array_equal(only(one), array[::-1, ::-1])


def test_a_batch_is_its_images_and_a_grey_batch_too():
    batch = noise(5, *SHAPE)
    np.testing.assert_array_equal(all_of(batch), batch)
    np.testing.assert_array_equal(all_of(list(batch)), batch)
    np.testing.assert_array_equal(all_of(iter(batch)), batch)
    np.testing.assert_array_equal(all_of(iter([batch[:2], batch[2:]])), batch)
    places = [item.source for item in inputs.iter_items([batch[:2], batch[2]])]
    assert places == ["images[0][0]", "images[0][1]", "images[1]"]
    grey = noise(5, 8, 12)
    np.testing.assert_array_equal(all_of(grey)[3][..., 0], grey[3])
    assert list(inputs.iter_items(np.zeros((0, 8, 12, 3), "uint8"))) == []
    assert list(inputs.iter_items([])) == []


def test_black_and_white_is_0_and_255():
    array = noise(8, 12) > 100
    np.testing.assert_array_equal(only(array)[..., 0], np.where(array, 255, 0))


def test_one_dark_image_in_a_batch_of_floats_is_accepted():
    batch = noise(2, *SHAPE).astype("float32")
    batch[1] = 0.5
    assert all_of(batch)[1].max() <= 1
    assert not only(np.zeros(SHAPE)).any()


def levels(low, high):
    return np.linspace(low, high, 96).reshape(8, 12)


REFUSED = {
    "as float32, and the model takes 0 to 255; multiply by 255": noise(8, 9) / np.float32(255),
    "image has pixels of -1 to 1; pass 0 to 255, before any normalisation": levels(-1, 1),
    "values that are not finite": np.full(SHAPE, np.nan),
    "pixels of 2 to 300": levels(2, 300),
    "pixels of complex128": np.ones(SHAPE, complex),
    r"image has shape \(5,\); pass \(height, width\)": np.ones(5, "uint8"),
    r"images\[0\] has shape \(8, 12, 7\)": noise(1, 8, 12, 7),
    r"\(3, 8, 12\): either one image with its channels first, or three grey": noise(3, 8, 12),
    r"images\[1\] has shape \(5, 8, 12\)": [noise(8, 12), noise(5, 8, 12)],
    r"images\[0\] has shape \(0, 4, 3\)": [np.zeros((0, 4, 3), "uint8")],
    r"images\[0\] is list; pass a path": [[1, 2]],
    "images is int; pass a path": 3,
}


@pytest.mark.parametrize("message", REFUSED)
def test_inputs_that_are_not_images_are_refused_with_the_way_out(message):
    with pytest.raises(SettingError, match=message):
        all_of(REFUSED[message])


def test_a_file_that_is_not_an_image_has_a_reason(tmp_path):
    (tmp_path / "note.jpg").write_text("no image")
    cases = {
        tmp_path / "note.jpg": "no image by its content",
        tmp_path: "no regular file",
        b"": "an empty file",
        io.BytesIO(b"BM"): "no image",
    }
    for image, reason in cases.items():
        with pytest.raises(decode.UnreadableError, match=reason):
            only(image)
    with pytest.raises(FileNotFoundError):
        only(Path("nowhere.png"))
