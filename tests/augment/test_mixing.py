"""Random erasing, MixUp and CutMix change images and labels as their papers define."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from vit_keras.augment import mixing
from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig

pytestmark = pytest.mark.jax

BATCH, SHAPE, CLASSES = 6, (20, 16, 3), 10


def batch(count=BATCH):
    images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype("float32")
    return images, np.eye(CLASSES, dtype="float32")[np.arange(count) % CLASSES]


def augmented(seed, count=BATCH, **settings):
    images, targets = map(ops.convert_to_tensor, batch(count))
    made = augment(images, targets, AugmentConfig(**settings), seed)
    return tuple(map(ops.convert_to_numpy, made))


def stays(images, mixed):
    """The share that each pixel has of its own image, where the two differ."""
    own, other = images, images[::-1]
    return np.divide(mixed - other, own - other, where=own != other, out=np.full_like(own, np.nan))


def share_of(targets, mixed):
    """What the labels keep; the same in every row."""
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    own = (mixed * targets).sum(axis=1)
    np.testing.assert_allclose(own, own[0], atol=1e-6)
    expected = targets * own[0] + targets[::-1] * (1 - own[0])
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    return own[0]


@pytest.mark.parametrize("seed", range(4))
def test_mixup_is_a_weighted_mean_with_the_reversed_batch(seed):
    images, targets = batch()
    mixed, labels = augmented(seed, mixup=0.8)
    share = share_of(targets, labels)
    np.testing.assert_allclose(mixed, images * share + images[::-1] * (1 - share), atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_pastes_a_box_and_counts_what_it_really_covers(seed):
    images, targets = batch()
    mixed, labels = augmented(seed, cutmix=1.0)
    share = share_of(targets, labels)
    own = np.nanmean(stays(images, mixed), axis=(0, 3))  # the same box in every image
    assert set(np.unique(own.round(3))) <= {0, 1}
    assert share == pytest.approx(own.mean(), abs=1e-6)
    rows, columns = np.nonzero(own < 0.5)
    if len(rows):
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert area == len(rows)


def test_with_both_on_a_batch_gets_either_as_often():
    images, _ = batch()
    cut = 0
    for seed in range(40):
        mixed, _ = augmented(seed, mixup=0.8, cutmix=1.0)
        own = stays(images, mixed)
        cut += bool((np.nanmin(own, initial=1) < 1e-3) or np.array_equal(mixed, images))
    assert 8 < cut < 32


def test_only_so_many_batches_are_mixed():
    images, targets = batch()
    kept = 0
    for seed in range(40):
        mixed, labels = augmented(seed, mixup=1.0, mix_probability=0.5)
        is_kept = np.array_equal(mixed, images)
        assert is_kept == np.array_equal(labels, targets)
        kept += is_kept
    assert 8 < kept < 32


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 2.0])
def test_lambda_has_the_beta_distribution(alpha):
    uniform = ((np.arange(5000) + 0.5) / 5000).astype("float32")
    made = ops.convert_to_numpy(mixing._beta(alpha, ops.convert_to_tensor(uniform)))
    np.testing.assert_allclose(made, stats.beta.ppf(uniform, alpha, alpha), atol=3e-3)


def test_erasing_puts_one_box_of_noise_over_some_images():
    count = 800
    images, targets = batch(count)
    made, labels = augmented(3, count, random_erasing=0.25)
    np.testing.assert_array_equal(labels, targets)
    # One of 256 of the noise has the level that was there: three channels together nearly never.
    hidden = (made != images).any(axis=-1)
    erased = hidden.any(axis=(1, 2))
    assert abs(erased.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / count)
    for mask in hidden[erased]:
        rows, columns = np.nonzero(mask)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() >= 0.99 * height * width
        assert height < SHAPE[0]
        assert width < SHAPE[1]
        # Sides are rounded to whole pixels.
        assert (height - 0.5) * (width - 0.5) <= 0.33 * SHAPE[0] * SHAPE[1]
        assert (height + 0.5) * (width + 0.5) >= 0.02 * SHAPE[0] * SHAPE[1]
        assert (height - 0.5) / (width + 0.5) < 3.3
        assert (height + 0.5) / (width - 0.5) > 0.3
    noise = made[hidden]
    assert noise.min() == 0
    assert noise.max() == 255
    assert abs(noise.mean() - 127.5) < 2


def test_labels_of_smoothed_targets_sum_to_one():
    images, targets = batch()
    smooth = targets * 0.9 + 0.01
    config = AugmentConfig(mixup=0.8, cutmix=1.0)
    for seed in range(4):
        _, labels = augment(*map(ops.convert_to_tensor, (images, smooth)), config, seed)
        np.testing.assert_allclose(ops.convert_to_numpy(labels).sum(axis=1), 1, atol=1e-6)
