"""Colour operations equal Pillow's within one grey level, on the images they are applied to."""

import colorsys

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from vit_keras.augment.color import OPERATIONS, apply_color_ops
from vit_keras.augment.ops import CODES, Step

pytestmark = pytest.mark.jax

PILLOW = {
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + s),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + s),
    "color": lambda image, s: ImageEnhance.Color(image).enhance(1 + s),
    "sharpness": lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + s),
    "posterize": lambda image, s: ImageOps.posterize(image, int(s)),
    "solarize": lambda image, s: ImageOps.solarize(image, s),
    "autocontrast": lambda image, s: ImageOps.autocontrast(image),
    "equalize": lambda image, s: ImageOps.equalize(image),
}
BLENDS = (-0.99, -0.9, -0.27, 0.0, 0.27, 0.5, 0.9, 0.99)
STRENGTHS = dict.fromkeys(("brightness", "contrast", "color", "sharpness"), BLENDS)
STRENGTHS |= {"posterize": (2, 4, 7, 8), "solarize": (0, 1, 128, 178.5, 255)}


def pictures():
    """Noise, and what is hard to count: few levels, one level, a ramp, two images in one."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (24, 20, 3))
    few = rng.integers(0, 3, (24, 20, 3)) * 40 + 30
    ramp = np.arange(24 * 20).reshape(24, 20, 1) // 2 % 256 + np.zeros((1, 1, 3), int)
    dark = np.where(rng.random((24, 20, 3)) < 0.9, 0, noise)
    narrow = rng.integers(100, 140, (24, 20, 3)) * [1, 0, 1] + [0, 77, 9]
    return np.stack([noise, few, np.full_like(noise, 200), ramp, dark, narrow]).astype("uint8")


def jitted(function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def step(names, strengths, possible=None):
    codes = ops.convert_to_tensor(np.array([CODES[name] for name in names], "int32"))
    strengths = ops.convert_to_tensor(np.array(strengths, "float32"))
    return Step(codes, strengths, frozenset(possible or names))


def ours(images, *steps):
    images = ops.convert_to_tensor(np.asarray(images, "float32"))
    return ops.convert_to_numpy(apply_color_ops(images, steps))


def pillows(image, name, strength):
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    made = np.asarray(PILLOW[name](picture, strength)).astype("float32")
    return made[..., None] if made.ndim == 2 else made


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", PILLOW)
def test_an_operation_is_pillows(name, channels):
    images = pictures()[..., :channels]
    strengths = STRENGTHS.get(name, (0,))
    cases = [(image, strength) for image in images for strength in strengths]
    made = ours([image for image, _ in cases], step([name] * len(cases), [s for _, s in cases]))
    for (image, strength), result in zip(cases, made, strict=True):
        np.testing.assert_allclose(result, pillows(image, name, strength), atol=1)
    assert np.array_equal(made, np.round(made))


def test_each_image_of_a_batch_gets_its_own_operations_in_order():
    """More of one kind than are computed at a time; others none, which stay exactly as they are."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (50, 12, 12, 3)).astype("uint8")
    names = ["equalize"] * 19 + ["sharpness", "identity", "rotate", "color"] * 7 + ["solarize"] * 3
    second = list(rng.permutation(names))
    strength = {"sharpness": 0.9, "color": -0.9, "solarize": 100}
    steps = [step(all_of, [strength.get(name, 0) for name in all_of]) for all_of in (names, second)]
    made = ours(images, *steps)
    for image, result, *both in zip(images, made, names, second, strict=True):
        expected = image
        for name in both:
            if name in PILLOW:
                expected = pillows(expected, name, strength.get(name, 0)).astype("uint8")
        # A level off after the first can be two after the second.
        np.testing.assert_allclose(result, expected, atol=0 if expected is image else 2)
        assert np.abs(result - expected).mean() < 0.2


def test_compiled_a_batch_is_what_each_image_is_alone():
    """To the last bit: nothing leaks between images, nor between a pixel and its neighbours."""
    images = np.random.default_rng(2).integers(0, 256, (60, 14, 12, 3)).astype("float32")
    names = np.array([*OPERATIONS, "identity", "sharpness"] * 5)
    strengths = np.array(
        [{"posterize": 5, "solarize": 90, "blur": 1.1}.get(n, -0.3) for n in names]
    )
    made = ops.convert_to_numpy(
        jitted(lambda images: apply_color_ops(images, [step(names, strengths)]))(
            ops.convert_to_tensor(images)
        )
    )
    for name in set(names):
        chosen = names == name
        expected = images[chosen]
        if name in OPERATIONS:
            arguments = expected, strengths[chosen].astype("float32")
            expected = ops.convert_to_numpy(
                OPERATIONS[name](*map(ops.convert_to_tensor, arguments))
            )
        np.testing.assert_array_equal(made[chosen], expected, err_msg=name)


def test_grey_is_pillows():
    image = pictures()[0]
    made = ours(image[None], step(["color"], [-1]))[0]
    expected = np.asarray(ImageOps.grayscale(Image.fromarray(image)))
    np.testing.assert_array_equal(made, np.repeat(expected[..., None], 3, axis=-1))


@pytest.mark.parametrize("part", [-0.5, -0.1, 0.0, 0.07, 0.3, 0.5])
def test_a_turned_hue_is_that_of_the_standard_library(part):
    image = pictures()[0]
    made = ours(image[None], step(["hue"], [part]))[0]
    expected = np.zeros(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place] / 255)
        expected[place] = colorsys.hsv_to_rgb((hue + part) % 1, saturation, value)
    np.testing.assert_allclose(made, expected * 255, atol=0.51)


def test_a_turned_hue_leaves_one_channel_alone():
    images = pictures()[..., :1]
    np.testing.assert_array_equal(ours(images, step(["hue"] * 6, [0.3] * 6)), images)


@pytest.mark.parametrize("deviation", [0.1, 0.6, 1.3, 2.0])
def test_a_blur_is_scipys(deviation):
    image = pictures()[0]
    made = ours(image[None], step(["blur"], [deviation]))[0]
    sigma = (deviation, deviation, 0)
    scipys = ndimage.gaussian_filter(image.astype("float64"), sigma, mode="nearest")
    np.testing.assert_allclose(made, scipys, atol=0.6)
