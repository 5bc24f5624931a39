"""The distillation token and its head: places, logits, maps, and models around them."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras import build_vit, features
from vit_keras.explain import attention_maps
from vit_keras.model.tokens import PatchDropout

pytestmark = pytest.mark.jax

D, K, N = 8, 3, 6  # width, classes, patches
SIZES = dict(patch_size=4, width=D, depth=2, num_heads=2, mlp_dim=12, distillation_token=True)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 8, 12, 1)).astype("uint8")


def vit_of(**options):
    """No weight of it is at its initial value."""
    vit = build_vit(None, image_size=(8, 12), num_classes=K, channels=1, **SIZES, **options)
    rng = np.random.default_rng(1)
    for weight in vit.weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return vit


def to_numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def weight_of(vit, path):
    return next(to_numpy(weight) for weight in vit.weights if weight.path == path)


def test_both_tokens_stand_before_registers_and_patches():
    vit = vit_of(registers=2)
    inner = features(vit, ["patch_embedding", "position_embedding", "registers"])(IMAGES)
    patches, embedded, tokens = (to_numpy(value) for value in inner.values())
    positions = weight_of(vit, "position_embedding/position_embedding")[0]
    assert positions.shape == (2 + N, D)
    for place, name in enumerate(("class_token", "distillation_token")):
        token = weight_of(vit, f"{name}/{name}")[0, 0]
        np.testing.assert_allclose(embedded[0, place], token + positions[place], atol=1e-6)
    np.testing.assert_allclose(embedded[:, 2:], patches + positions[2:], atol=1e-5)
    np.testing.assert_array_equal(tokens[:, :2], embedded[:, :2])
    np.testing.assert_array_equal(tokens[:, 4:], embedded[:, 2:])
    np.testing.assert_array_equal(tokens[0, 2:4], weight_of(vit, "registers/registers")[0])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_logits_are_the_mean_of_two_heads(dtype):
    """By NumPy, of the first and the second token after the last normalisation."""
    vit = vit_of(dtype=dtype)
    z = to_numpy(features(vit, "encoder_norm")(IMAGES)["encoder_norm"])
    of_class_token, of_distillation_token = (
        z[:, place] @ weight_of(vit, f"head/{part}kernel") + weight_of(vit, f"head/{part}bias")
        for place, part in enumerate(("", "distillation_"))
    )
    logits = vit(IMAGES, training=False)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    expected = (of_class_token + of_distillation_token) / 2
    np.testing.assert_allclose(to_numpy(logits), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(of_class_token - of_distillation_token).max() > 0.1
    both = to_numpy(features(vit)(IMAGES))
    np.testing.assert_array_equal(both, np.concatenate([z[:, 0], z[:, 1]], axis=-1))


def test_a_new_model_begins_by_guessing_with_tokens_that_differ():
    keras.utils.set_random_seed(0)
    vit = build_vit(None, image_size=8, num_classes=K, channels=1, **SIZES)
    np.testing.assert_array_equal(to_numpy(vit(IMAGES[:, :, :8])), np.zeros((2, K)))
    assert weight_of(vit, "distillation_token/distillation_token").std() > 1e-3


def test_patch_dropout_keeps_both_tokens():
    vit = vit_of(patch_dropout=0.5, registers=1)
    dropout = next(layer for layer in vit.layers if isinstance(layer, PatchDropout))
    tokens = RNG.normal(size=(4, 3 + N, D)).astype("float32")
    kept, indices = dropout(tokens, training=True)
    np.testing.assert_array_equal(to_numpy(indices)[:, :3], [[0, 1, 2]] * 4)
    np.testing.assert_array_equal(to_numpy(kept)[:, :3], tokens[:, :3])
    assert kept.shape[1] == 3 + N // 2


@pytest.mark.parametrize("position", ["rope2d", "sincos2d"])
def test_tokens_before_the_patches_have_no_place_in_the_image(position):
    vit = vit_of(position=position)
    if position == "sincos2d":
        layer = vit.get_layer("position_embedding")
        added = to_numpy(layer(np.zeros((1, 2 + N, D), "float32")))[0]
        np.testing.assert_array_equal(added[:2], np.zeros((2, D)))
        assert np.ptp(added[2:], axis=0).max() > 0.1
        return
    rotary = vit.get_layer("encoder_block_0").attention.rotary
    q = RNG.normal(size=(1, 2 + N, 2, D // 2)).astype("float32")
    rotated, _ = rotary(q, q)
    np.testing.assert_allclose(to_numpy(rotated)[:, :2], q[:, :2], atol=1e-6)
    assert np.abs(to_numpy(rotated)[:, 3:] - q[:, 3:]).max() > 0.1


def test_maps_are_of_patches_and_follow_both_tokens():
    vit = vit_of(registers=1)
    joint = attention_maps.joint_attention(attention_maps.attention(vit, IMAGES))
    assert joint.shape == (2, 3 + N, 3 + N)
    expected = (joint[:, 0, 3:] + joint[:, 1, 3:]).reshape(2, 2, 3) / 2
    np.testing.assert_allclose(attention_maps.rollout(vit, IMAGES), expected, rtol=1e-6)
    assert attention_maps.attention_distance(vit, IMAGES).shape == (2, 2)


def test_a_saved_model_is_loaded_with_both_heads(tmp_path):
    vit = vit_of()
    vit.save(tmp_path / "vit.keras")
    again = keras.models.load_model(tmp_path / "vit.keras", safe_mode=True)
    assert [weight.path for weight in again.weights] == [weight.path for weight in vit.weights]
    np.testing.assert_array_equal(to_numpy(again(IMAGES)), to_numpy(vit(IMAGES)))
