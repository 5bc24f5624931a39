"""Geometric operations equal those of Pillow and SciPy; several are composed into one."""

import math

import numpy as np
import pytest
from keras import ops
from PIL import Image
from scipy import ndimage, stats

from vit_keras.augment import geometric, prng
from vit_keras.augment.ops import CODES, Step
from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig

pytestmark = pytest.mark.jax

SHAPES = [(24, 31, 3), (31, 24, 1)]
GEOMETRIC_OPS = {"shear_x": 0.3, "shear_y": -0.2, "translate_x": 7, "translate_y": -5, "rotate": 23}


def pictures(shape, count=1):
    """Smooth ones, in which a shift of a tenth of a pixel shows and nothing rings."""
    noise = np.random.default_rng(0).uniform(0, 255, (count, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 0), mode="nearest")
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255).astype("float32")


def moved(name, strength, size):
    step = Step(
        ops.convert_to_tensor(np.array([CODES[name]], "int32")),
        ops.convert_to_tensor(np.array([strength], "float32")),
        frozenset({name}),
    )
    return geometric.geometric_map(step, size)


def ours(images, places, size):
    return ops.convert_to_numpy(geometric.warp(ops.convert_to_tensor(images), places, size))


def pillow(image, change):
    """The change of each channel as a float image."""
    parts = [np.asarray(change(Image.fromarray(image[..., at]))) for at in range(image.shape[-1])]
    return np.stack(parts, axis=-1)


def transformed(size, places):
    """By Pillow's own affine transform: `places` as it takes them."""
    return lambda picture: picture.transform(size[::-1], Image.AFFINE, places, Image.BILINEAR)


CHANGES = {
    "shear_x": lambda s, size: transformed(size, (1, s, 0, 0, 1, 0)),
    "shear_y": lambda s, size: transformed(size, (1, 0, 0, s, 1, 0)),
    "translate_x": lambda s, size: transformed(size, (1, 0, -s, 0, 1, 0)),
    "translate_y": lambda s, size: transformed(size, (1, 0, 0, 0, 1, -s)),
    "rotate": lambda s, size: lambda picture: picture.rotate(s, Image.BILINEAR),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GEOMETRIC_OPS)
def test_a_move_is_pillows(name, shape, sign):
    images, size, strength = pictures(shape), shape[:2], sign * GEOMETRIC_OPS[name]
    made = ours(images, moved(name, strength, size), size)[0]
    expected = pillow(images[0], CHANGES[name](strength, size))
    off = np.abs(made - expected)
    assert off.mean() < 0.1
    assert np.quantile(off, 0.99) < 0.1  # at the very border either may call a place outside


@pytest.mark.parametrize("name", GEOMETRIC_OPS)
def test_inside_a_move_is_scipys(name):
    images, size = pictures(SHAPES[0]), SHAPES[0][:2]
    a, b, c, d, e, f = (
        float(part[0]) for part in map(ops.convert_to_numpy, moved(name, GEOMETRIC_OPS[name], size))
    )
    made = ours(images, moved(name, GEOMETRIC_OPS[name], size), size)[0]
    matrix = np.array([[e, d], [b, a]])  # rows first, and from the centre of the first pixel
    offset = np.array([f, c]) + matrix @ [0.5, 0.5] - 0.5
    for at in range(3):
        expected = ndimage.affine_transform(
            images[0, ..., at], matrix, offset, order=1, mode="constant", cval=np.nan
        )
        inside = np.isfinite(expected)
        assert inside.mean() > 0.4
        np.testing.assert_allclose(made[..., at][inside], expected[inside], atol=0.05)


def test_two_maps_in_a_row_are_two_warps_in_a_row():
    """Shifts and turns by right angles, which need no interpolation to be compared."""
    images, size = pictures((24, 24, 3)), (24, 24)
    one, two = moved("rotate", 90, size), moved("translate_x", 7, size)
    once = ours(images, geometric.compose(one, two), size)
    twice = ours(ours(images, one, size), two, size)
    np.testing.assert_allclose(once, twice, atol=0.05)
    assert np.abs(once - ours(images, geometric.compose(two, one), size)).max() > 50


def test_nothing_moved_is_nothing_changed():
    images = pictures(SHAPES[0])
    np.testing.assert_array_equal(
        ours(images, moved("identity", 9, SHAPES[0][:2]), SHAPES[0][:2]), images
    )


def test_crop_and_mirror_as_maps_are_those_of_whole_pixels():
    images = np.round(pictures((9, 7, 3), 40))
    crop, flip = prng.random_numbers(prng.make_key(1), 40, ["crop", "flip"]).values()
    places = geometric.compose(geometric.crop_map(crop, 2), geometric.flip_map(flip[:, 0] < 0.5, 7))
    config = AugmentConfig(crop_padding=2, flip=True)
    whole, _ = augment(ops.convert_to_tensor(images), None, config, 1)
    np.testing.assert_array_equal(ours(images, places, (9, 7)), ops.convert_to_numpy(whole))


def crops(share, size, count=3000):
    uniform = prng.random_numbers(prng.make_key(1), count, ["resized_crop"])["resized_crop"]
    a, b, c, d, e, f = map(
        ops.convert_to_numpy, geometric.resized_crop_map(uniform, share, size, size)
    )
    assert not b.any()
    assert not d.any()
    return f, c, e * size[0], a * size[1]  # top, left, height, width


def test_a_resized_crop_is_a_box_of_the_image():
    top, left, height, width = crops([0.08, 1], (64, 48))
    for edge in (top, left, height, width):
        np.testing.assert_allclose(edge, np.round(edge), atol=1e-4)
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() <= 64.001
    assert (left + width).max() <= 48.001
    ratio = width / height
    assert np.quantile(ratio, [0, 1]) == pytest.approx([3 / 4, 4 / 3], rel=0.1)
    # By torchvision's rule, drawn by NumPy: the boxes that do not fit are drawn again.
    np_share = reference_shares(np.random.default_rng(0), 3000, (64, 48))
    assert stats.ks_2samp(height * width / (64 * 48), np_share).pvalue > 1e-3


def reference_shares(rng, count, size):
    shares = []
    while len(shares) < count:
        for _ in range(10):
            area = rng.uniform(0.08, 1) * size[0] * size[1]
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if width <= size[1] and height <= size[0]:
                break
        else:
            height, width = min(size[0], round(size[1] * 4 / 3)), min(size[1], size[0] * 4 // 3)
        shares.append(width * height / (size[0] * size[1]))
    return shares


def test_where_no_box_fits_it_is_the_middle():
    top, left, height, width = crops([1, 1], (64, 24), count=50)
    assert {*zip(top, left, np.round(height, 3), np.round(width, 3), strict=True)} == {
        (16, 0, 32, 24)
    }


@pytest.mark.parametrize("size", [(40, 50), (24, 31)])
def test_a_resized_crop_is_pillows_enlargement_of_the_box(size):
    images = pictures(SHAPES[0], 6)
    config = AugmentConfig(resized_crop=[0.1, 0.5])
    made, _ = augment(ops.convert_to_tensor(images), None, config, 1, size)
    made = ops.convert_to_numpy(made)
    assert made.shape == (6, *size, 3)
    uniform = prng.random_numbers(prng.make_key(1), 6, ["resized_crop"])["resized_crop"]
    places = geometric.resized_crop_map(uniform, config.resized_crop, SHAPES[0][:2], size)
    a, _, c, _, e, f = map(ops.convert_to_numpy, places)
    for at in range(6):
        edges = (c[at], f[at], c[at] + a[at] * size[1], f[at] + e[at] * size[0])
        expected = pillow(
            images[at],
            lambda picture, edges=edges: picture.resize(
                size[::-1], Image.BILINEAR, box=tuple(map(round, edges))
            ),
        )
        off = np.abs(made[at] - expected)
        # At the border of a box Pillow repeats its pixels, where the image goes on here.
        assert off[2:-2, 2:-2].mean() < 0.1
        assert off.mean() < 1


def test_a_resized_crop_to_fewer_pixels_is_left_to_resize():
    """Which has an antialias."""
    config = AugmentConfig(resized_crop=[0.5, 1])
    made, _ = augment(ops.convert_to_tensor(pictures((24, 31, 3))), None, config, 1, (8, 64))
    assert made.shape == (1, 24, 31, 3)
