"""Initial weights against the statistics that their papers give them."""

import keras
import numpy as np
import pytest

from vit_keras import build_vit, load_pretrained

pytestmark = pytest.mark.jax

D, H, K, L = 64, 4, 16, 2
SIZES = dict(image_size=8, num_classes=3, patch_size=4, width=D, depth=L, num_heads=H, mlp_dim=32)


def weights_of(initialization, seed=0, **settings):
    keras.utils.set_random_seed(seed)
    model = build_vit(None, initialization=initialization, **{**SIZES, **settings})
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def products(weights, index, heads):
    """W_q W_kᵀ of each head, and W_v W_projection: (H, D, D) and (D, D)."""
    block = f"encoder_block_{index}/attention"
    q, k, v = np.split(weights[f"{block}/qkv/kernel"], 3, axis=1)
    of_heads = zip(np.split(q, heads, axis=1), np.split(k, heads, axis=1), strict=True)
    return np.stack([q @ k.T for q, k in of_heads]), v @ weights[f"{block}/projection/kernel"]


def diagonal_and_spread(matrix):
    """Mean of the diagonal; mean and standard deviation of the rest."""
    rest = matrix[~np.eye(len(matrix), dtype=bool)]
    return np.diag(matrix).mean(), rest.mean(), rest.std()


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_mimetic_products_are_those_of_the_paper(dtype):
    """Trockman & Kolter 2023: 0.7 Z + 0.7 I of queries and keys, and 0.4 Z - 0.4 I of values."""
    weights = weights_of("mimetic", num_heads=1, dtype=dtype)
    for index in range(L):
        (of_keys,), of_values = products(weights, index, heads=1)
        for product, alpha, beta in ((of_keys, 0.7, 0.7), (of_values, 0.4, -0.4)):
            diagonal, mean, spread = diagonal_and_spread(product)
            assert diagonal == pytest.approx(beta, abs=4 * alpha / D)  # 4 standard errors
            assert mean == pytest.approx(0, abs=4 * alpha / D**1.5)
            assert spread == pytest.approx(alpha / D**0.5, rel=0.05)


def test_mimetic_heads_are_approximations_of_their_rank():
    """As close to 0.7 Z + 0.7 I as rank K allows, each head with a Z of its own."""
    weights = weights_of("mimetic")
    heads, of_values = products(weights, 0, H)
    assert {np.linalg.matrix_rank(head, tol=1e-4) for head in heads} == {K}
    assert np.diag(of_values).mean() == pytest.approx(-0.4, abs=0.03)
    rng = np.random.default_rng(0)
    expected = []
    for _ in range(20):
        u, s, vt = np.linalg.svd(0.7 * (rng.normal(0, D**-0.5, (D, D)) + np.eye(D)))
        expected.append(np.trace(u[:, :K] * s[:K] @ vt[:K]) / D)
    found = [np.diag(head).mean() for head in heads]
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.05)
    assert np.abs(heads[0] - heads[1]).max() > 0.1


def test_the_seed_decides_and_other_weights_are_left_alone():
    default, mimetic, again = (weights_of(name) for name in ("default", "mimetic", "mimetic"))
    other = weights_of("mimetic", seed=1)
    changed = {path for path in default if np.any(default[path] != mimetic[path])}
    assert changed == {
        f"encoder_block_{index}/attention/{layer}/kernel"
        for index in range(L)
        for layer in ("qkv", "projection")
    }
    for path in changed:
        np.testing.assert_array_equal(mimetic[path], again[path])
        assert np.abs(mimetic[path] - other[path]).max() > 0.1
    first, second = (mimetic[f"encoder_block_{i}/attention/qkv/kernel"] for i in range(2))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("settings", [{}, dict(mlp="swiglu", parallel=True)], ids=str)
def test_with_zero_outputs_a_block_begins_as_the_identity(settings):
    model = build_vit(None, initialization="zero_output", **SIZES, **settings)
    z = np.random.default_rng(0).normal(size=(2, 5, D)).astype("float32")
    for index in range(L):
        block = model.get_layer(f"encoder_block_{index}")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(block(z)), z)
        assert np.any(block.attention.qkv.kernel)


def test_a_saved_model_keeps_its_weights_and_not_how_they_began(tmp_path):
    model = build_vit(None, initialization="zero_output", **SIZES)
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    assert "zero_output" not in str(model.get_config())
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        load_pretrained(tmp_path / "model.keras"),
        load_pretrained(tmp_path / "model.keras", initialization="zero_output"),
    ):
        for ours, theirs in zip(again.weights, model.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
