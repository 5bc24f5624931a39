"""Random crops, flips and their seeds in the augmentation pipeline."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from helpers import augment_results
from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig
from vit_keras.model.preprocessing import resize

pytestmark = pytest.mark.jax

COUNT = 600
SHAPES = [(6, 9, 3), (9, 6, 1)]  # neither square, so that rows and columns cannot be swapped unseen
DTYPES = ["uint8", "float32", "float16"]


def augmented(**settings):
    """A function of images and a seed that augments with these settings."""
    config = AugmentConfig(**settings)
    return lambda images, seed: augment(images, None, config, seed)[0]


CASES = {
    "crop": augmented(crop_padding=2),
    "flip": augmented(flip=True),
    "both": augmented(crop_padding=2, flip=True),
}


def pictures(shape=SHAPES[0], dtype="uint8", count=COUNT):
    """Noise without black, so that padding is told from picture."""
    return np.random.default_rng(0).integers(1, 256, (count, *shape)).astype(dtype)


def numpy(function, images, seed):
    return ops.convert_to_numpy(function(ops.convert_to_tensor(images), seed))


def jitted(function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function, static_argnums=1)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def offsets(images, cropped, padding):
    """Where in each padded image its crop was cut: (n, 2); fails where it was cut nowhere."""
    sides = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    padded = np.pad(images, sides)
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
    windows = np.moveaxis(windows, 3, -1)  # (n, rows, columns, X, Y, C)
    found = (windows == cropped[:, None, None]).all(axis=(3, 4, 5))
    np.testing.assert_array_equal(found.sum(axis=(1, 2)), 1)
    return np.argwhere(found)[:, 1:]


@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_crop_is_a_window_of_the_padded_image(shape, padding):
    images = pictures(shape)
    cropped = numpy(augmented(crop_padding=padding), images, 1)
    places = offsets(images, cropped, padding)
    seen, often = np.unique(places, axis=0, return_counts=True)
    kinds = (2 * padding + 1) ** 2
    assert len(seen) == kinds
    # Each as likely as the others: COUNT draws, so six standard deviations at most.
    mean = COUNT / kinds
    assert np.abs(often - mean).max() < 6 * np.sqrt(mean * (1 - 1 / kinds))


@pytest.mark.parametrize("shape", SHAPES)
def test_half_of_the_images_are_mirrored_left_to_right(shape):
    images = pictures(shape)
    flipped = numpy(CASES["flip"], images, 1)
    kept, mirrored = (
        (flipped == other).all(axis=(1, 2, 3)) for other in (images, images[:, :, ::-1])
    )
    np.testing.assert_array_equal(kept ^ mirrored, True)
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(COUNT)


@pytest.mark.parametrize("case", CASES)
def test_a_seed_says_what_is_drawn(case):
    images = pictures()
    one, again, other = (numpy(CASES[case], images, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_a_generator_draws_anew_each_time_and_again_from_its_seed(case):
    images = pictures()
    runs = []
    for _ in range(2):
        generator = keras.random.SeedGenerator(1)
        runs.append([numpy(CASES[case], images, generator) for _ in range(2)])
    np.testing.assert_array_equal(*runs)
    assert not np.array_equal(*runs[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_compiled_is_eager_and_the_dtype_is_kept(case, dtype):
    images = pictures(dtype=dtype)
    eager, compiled = (
        numpy(function, images, 1) for function in (CASES[case], jitted(CASES[case]))
    )
    assert eager.dtype == compiled.dtype == dtype
    np.testing.assert_array_equal(eager, compiled)


def test_a_flip_is_drawn_apart_from_the_crop():
    """Of a training step's generator: every offset comes both mirrored and not."""
    images = pictures()
    generator = keras.random.SeedGenerator(1)
    both = numpy(CASES["both"], images, generator)
    generator = keras.random.SeedGenerator(1)
    cropped = numpy(CASES["crop"], images, generator)
    mirrored = ~(both == cropped).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(both[mirrored], cropped[mirrored][:, :, ::-1])
    places = offsets(images, cropped, 2)
    for kind in (mirrored, ~mirrored):
        assert len(np.unique(places[kind], axis=0)) == 25


@pytest.mark.parametrize("policy", ["none", "randaugment"])
def test_the_images_that_an_alternating_flip_says_are_mirrored(policy):
    """RandAugment of magnitude 0 moves nothing, but through the path of an affine map."""
    images, mirrored = pictures(dtype="float32"), np.arange(COUNT) % 3 == 0
    config = AugmentConfig(flip="alternating", policy=policy, policy_magnitude=0)
    made, plain = (
        ops.convert_to_numpy(augment(ops.convert_to_tensor(images), None, one, 1, None, flips)[0])
        for one, flips in (
            (config, ops.convert_to_tensor(mirrored)),
            (replace(config, flip=False), None),
        )
    )
    np.testing.assert_allclose(made[mirrored], plain[mirrored][:, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(made[~mirrored], plain[~mirrored], atol=1e-3)


def test_without_an_epoch_an_alternating_flip_is_a_random_one():
    images = pictures()
    random, alternating = (
        numpy(augmented(flip=flip, crop_padding=1), images, 1) for flip in (True, "alternating")
    )
    np.testing.assert_array_equal(random, alternating)


def test_default_augmentation_is_the_identity():
    images = pictures()
    np.testing.assert_array_equal(
        numpy(lambda x, seed: augment(x, None, AugmentConfig(), seed)[0], images, 1), images
    )


@pytest.mark.parametrize("size", [(224, 224), (16, 8), (40, 20), (32, 24)])
def test_resizing_equals_pillow(size):
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 24, 3)).astype("float32")
    resized = ops.convert_to_numpy(resize(images, size))
    for image, ours in zip(images, resized, strict=True):
        for channel in range(3):
            pillow = Image.fromarray(image[..., channel]).resize(size[::-1], Image.BILINEAR)
            np.testing.assert_allclose(ours[..., channel], np.asarray(pillow), atol=0.01)


@pytest.mark.parametrize("case", augment_results.CASES)
def test_every_backend_makes_the_same(case):
    """Of TensorFlow's results, committed: `make test-jax` compares JAX's."""
    made = augment_results.results(case, *augment_results.pictures())
    assert_same(case, made)


@pytest.mark.parametrize("case", ["deit3", "heavy"])
def test_compiled_makes_the_same(case):
    images, targets = map(ops.convert_to_tensor, augment_results.pictures())
    function = functools.partial(augment_results.results, case)
    made = jitted(lambda images, _, targets: function(images, targets))(images, None, targets)
    assert_same(case, made)


def assert_same(case, made):
    with np.load(augment_results.FILE) as file:
        for at, part in enumerate(made):
            np.testing.assert_allclose(ops.convert_to_numpy(part), file[f"{case}_{at}"], atol=1e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_in_tf_data_a_batch_of_unknown_size_is_made_the_same():
    import tensorflow as tf

    made = tf.data.Dataset.from_tensor_slices(augment_results.pictures()).batch(12)
    assert made.element_spec[0].shape[0] is None
    made = made.map(functools.partial(augment_results.results, "deit3"))
    assert_same("deit3", next(iter(made)))
