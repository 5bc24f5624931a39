"""A ViT on smaller images, with the same weights."""

import keras
import numpy as np
import pytest

from vit_keras import build_vit
from vit_keras.model.architecture import grid
from vit_keras.model.position_embedding import Rotary, resize_positions
from vit_keras.model.resolution import at_image_size
from vit_keras.model.vit import describe

pytestmark = pytest.mark.jax

FULL, SMALL = (16, 24), (8, 20)  # neither square
OPTIONS = {
    "learned": dict(registers=2),
    "distilled": dict(distillation_token=True, registers=1),
    "learned_without_token": dict(pool="seq", registers=1, stem="cct"),
    "sincos2d": dict(position="sincos2d", stem="conv"),
    "rope2d": dict(position="rope2d", registers=2, distillation_token=True),
    "rope_mixed": dict(position="rope_mixed", pool="map"),
    "rope_dinov3": dict(position="rope_dinov3", layer_scale=0.1, pre_norm=True),
}


def vit_of(image_size=FULL, **options):
    """No weight of it is at its initial value."""
    sizes = dict(patch_size=4, width=16, depth=2, num_heads=2, mlp_dim=16)
    vit = build_vit(None, image_size=image_size, num_classes=3, **sizes, **options)
    rng = np.random.default_rng(0)
    for weight in vit.weights:
        if "variance" not in weight.path:
            weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return vit


def pixels(size, count=3):
    return np.random.default_rng(1).integers(0, 256, (count, *size, 3)).astype("uint8")


def logits(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize("name", OPTIONS)
def test_it_computes_what_a_model_of_that_size_with_resized_positions_does(name):
    vit = vit_of(**OPTIONS[name])
    other = build_vit(None, **{**describe(vit), "image_size": SMALL})
    for ours, theirs in zip(vit.weights, other.weights, strict=True):
        value = keras.ops.convert_to_numpy(ours)
        if "position_embedding" in ours.path:
            value = resize_positions(value, grid(FULL, 4), grid(SMALL, 4))
        theirs.assign(value)
    small = at_image_size(vit, SMALL)
    expected = logits(other, pixels(SMALL))
    np.testing.assert_allclose(logits(small, pixels(SMALL)), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(expected, expected[:1])


@pytest.mark.parametrize("name", OPTIONS)
def test_it_shares_every_variable_and_leaves_the_model_as_it_was(name, tmp_path):
    vit = vit_of(**OPTIONS[name])
    config, before = vit.get_config(), logits(vit, pixels(FULL))
    small = at_image_size(vit, SMALL)
    assert {id(v) for v in small.variables} == {id(v) for v in vit.variables}
    assert vit.get_config() == config
    np.testing.assert_array_equal(logits(vit, pixels(FULL)), before)
    vit.save(tmp_path / "vit.keras")
    loaded = keras.models.load_model(tmp_path / "vit.keras")
    np.testing.assert_array_equal(logits(loaded, pixels(FULL)), before)
    assert at_image_size(vit, FULL) is vit


def test_patches_that_patch_dropout_keeps_have_the_position_of_the_small_grid():
    old, new, extra = (4, 6), (2, 5), 3
    rotary, small = Rotary(old), Rotary(new)
    rotary.build((None, extra + 24, 2, 8))
    small.build((None, extra + 10, 2, 8))
    own = rotary.positions
    with rotary.at(new):
        np.testing.assert_array_equal(rotary.positions, small.positions)
    assert rotary.positions is own
    vit = vit_of(position="rope2d", patch_dropout=0.5, registers=2)
    assert at_image_size(vit, SMALL)(pixels(SMALL), training=True).shape == (3, 3)
