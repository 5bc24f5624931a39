"""Optional architecture features, compared with NumPy implementations of their papers."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.numpy_vit import GELU, one_head
from vit_keras.model.attention import Attention
from vit_keras.model.encoder_block import EncoderBlock, LayerScale
from vit_keras.model.mlp import MLP, SwiGLU
from vit_keras.model.patch_embedding import ConvStem
from vit_keras.model.pooling import AttentionPooling
from vit_keras.model.position_embedding import Rotary
from vit_keras.model.tokens import PatchDropout, Registers

pytestmark = pytest.mark.jax

GRID = (3, 4)
KINDS = ["rope2d", "rope_mixed"]


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


def random_array(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype("float32")


def to_numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def close(tensor, expected, tolerance=1e-5):
    np.testing.assert_allclose(to_numpy(tensor), expected, rtol=tolerance, atol=tolerance)


def randomised(layer, *shape):
    """Built, with weights at random; gives the layer and {last parts of the path: array}."""
    layer.build(shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        spread = rng.uniform(0.5, 1.5, weight.shape)  # a variance has to be positive
        weight.assign(spread if "variance" in weight.path else rng.normal(0, 0.5, weight.shape))
    start = layer.name + "/"
    return layer, {w.path.partition(start)[2] or w.name: to_numpy(w) for w in layer.weights}


def dense(x, weights, name):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def norm(x, gamma, beta=0.0):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * gamma + beta


def swish(x):
    return x / (1 + np.exp(-x))


def complex_turn(layer, x, heads):
    """Heo et al. 2024: each pair of channels times e^(i angle), one patch and head at a time."""
    quarter = x.shape[-1] // 4
    powers = 100.0 ** (-np.arange(quarter) / quarter)
    points = x[..., : 2 * quarter] + 1j * x[..., 2 * quarter :]
    extra = x.shape[1] - GRID[0] * GRID[1]
    for patch in range(GRID[0] * GRID[1]):
        row, column = divmod(patch, GRID[1])
        for head in range(heads):
            angle = np.concatenate([powers * column, powers * row])
            if layer.kind == "rope_mixed":
                of_x, of_y = to_numpy(layer.frequencies)[:, head]
                angle = of_x * column + of_y * row
            points[:, extra + patch, head] *= np.exp(1j * angle)
    return np.concatenate([points.real, points.imag], axis=-1)


@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_rotation_multiplies_complex_numbers(kind, extra):
    q, k = (random_array(2, extra + 12, 2, 8, seed=seed) for seed in range(2))
    layer = Rotary(GRID, kind)
    turned = layer(q, k)
    for result, x in zip(turned, (q, k), strict=True):
        close(result, complex_turn(layer, x, heads=2))
    np.testing.assert_array_equal(to_numpy(turned[0])[:, :extra], q[:, :extra])


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_tokens_is_turned_as_in_the_whole(kind):
    q, k = (random_array(2, 13, 2, 8, seed=seed) for seed in range(2))
    layer = Rotary(GRID, kind)
    kept = np.array([[0, 12, 5], [0, 3, 4]])
    rows = np.arange(2)[:, None]
    turned = layer(q, k)
    for part, whole in zip(layer(q[rows, kept], k[rows, kept], kept), turned, strict=True):
        close(part, to_numpy(whole)[rows, kept], 1e-6)


def test_mixed_frequencies_begin_as_axial_ones_turned_for_each_head():
    """Their lengths are 10^(-4t / K), and each head has a direction of its own."""
    layer = Rotary(GRID, "rope_mixed")
    layer.build((None, 12, 3, 16))
    of_x, of_y = to_numpy(layer.frequencies)
    lengths = 10.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(np.hypot(of_x, of_y), np.tile(lengths, (3, 2)), rtol=1e-5)
    directions = np.arctan2(of_y, of_x)
    assert np.ptp(directions[:, :4], axis=1).max() < 1e-5
    np.testing.assert_allclose(np.sin(directions[:, 4:] - directions[:, :4]), 1, atol=1e-5)
    assert np.abs(np.diff(directions[:, 0])).min() > 1e-3


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_attention_depends_on_the_offset_alone(kind, qk_norm):
    """Of patches that look alike: q_i k_j is the same for all pairs with the same offset."""
    layer = Attention(2, rotary=kind, grid=GRID, qk_norm=qk_norm)
    x = np.broadcast_to(random_array(1, 1, 16), (1, 12, 16))
    layer(x)
    q, k, _ = layer.queries_keys_values(x)
    scores = to_numpy(ops.einsum("bnhk,bmhk->bhnm", q, k))[0]
    by_offset = {}
    for i in range(12):
        for j in range(12):
            offset = (j // 4 - i // 4, j % 4 - i % 4)
            by_offset.setdefault(offset, []).append(scores[:, i, j])
    assert max(np.ptp(values, axis=0).max() for values in by_offset.values()) < 1e-5
    assert len({round(float(values[0][0]), 4) for values in by_offset.values()}) > 30  # of 35


@pytest.mark.parametrize(
    "settings",
    [dict(qk_norm=True), *(dict(qk_norm=True, rotary=kind, grid=GRID) for kind in KINDS)],
    ids=["qk_norm", *KINDS],
)
def test_attention_weights_can_be_computed_again(settings):
    """From queries and keys as they are compared: after normalisation and rotation."""
    layer, weights = randomised(Attention(2, **settings), None, 13, 16)
    x = random_array(2, 13, 16)
    q, k, v = layer.queries_keys_values(x)
    mixed = ops.reshape(ops.einsum("bhnm,bmhk->bnhk", layer.weights_of(q, k), v), x.shape)
    close(layer.projection(mixed), to_numpy(layer(x)))

    plain = dense(x, weights, "qkv").reshape(2, 13, 3, 2, 8)
    expected = norm(plain[:, :, 0], weights["query_norm/gamma"])
    if "rotary" in settings:
        expected = complex_turn(layer.rotary, expected, heads=2)
    close(q, expected, 1e-4)
    close(v, plain[:, :, 2])


@pytest.mark.parametrize(("shape", "grid"), [((1, 12, 2, 6), GRID), ((1, 11, 2, 8), GRID)])
def test_rotary_refuses_what_does_not_fit(shape, grid):
    with pytest.raises(ValueError, match=f"{shape[1]} tokens with heads of width {shape[3]} do"):
        Rotary(grid).build(shape)


def test_swiglu_is_shazeers():
    layer, weights = randomised(SwiGLU(5), None, 6, 8)
    x = random_array(2, 6, 8)
    gate, value = np.split(dense(x, weights, "hidden"), 2, axis=-1)
    close(layer(x), dense(swish(gate) * value, weights, "output"))


def test_squared_relu_is_primers():
    layer, weights = randomised(MLP(5, activation="relu2"), None, 6, 8)
    x = random_array(2, 6, 8)
    hidden = np.maximum(dense(x, weights, "hidden"), 0) ** 2
    close(layer(x), dense(hidden, weights, "output"))


@pytest.mark.parametrize("mlp", ["gelu", "relu2", "swiglu"])
def test_a_block_without_biases_has_those_of_its_normalisations_alone(mlp):
    block, weights = randomised(EncoderBlock(2, 5, mlp=mlp, bias=False), None, 6, 8)
    assert not [name for name in weights if name.endswith("bias")]
    # Without biases and with zero shifts, a block maps zero to zero.
    for norm_layer in (block.attention_norm, block.mlp_norm):
        norm_layer.beta.assign(np.zeros(8))
    close(block(np.zeros((2, 6, 8), "float32")), np.zeros((2, 6, 8)))


def test_fresh_swiglu_is_scaled_as_two_separate_kernels():
    layer = SwiGLU(64)
    layer.build((None, 6, 128))
    limit = np.sqrt(6 / (128 + 64))
    assert 0.99 * limit < np.abs(to_numpy(layer.hidden.kernel)).max() <= limit


@pytest.mark.parametrize("parallel", [False, True])
def test_a_block_scales_its_branches_and_puts_them_side_by_side(parallel):
    settings = dict(layer_scale=0.1, mlp="swiglu", parallel=parallel)
    block, weights = randomised(EncoderBlock(2, 5, **settings), None, 6, 8)
    z = random_array(2, 6, 8)

    def normed(x, name):
        return norm(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    first = normed(z, "attention_norm")
    middle = z + weights["attention_scale/gamma"] * to_numpy(block.attention(first))
    second = first if parallel else normed(middle, "mlp_norm")
    expected = middle + weights["mlp_scale/gamma"] * to_numpy(block.mlp(second))
    close(block(z), expected)


def test_layer_scale_begins_at_its_value():
    z = random_array(2, 6, 8)
    close(LayerScale(1e-2)(z), z * 1e-2, 1e-7)


@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("gelu", GELU)
def test_map_pooling_is_big_visions(gelu, registers):
    """Its `MAPHead`: the probe's attention, then an MLP behind a normalisation, added."""
    layer, weights = randomised(AttentionPooling(2, 12, gelu=gelu, registers=registers), None, 6, 8)
    x = random_array(3, 6, 8)
    patches = x[:, registers:]
    q = np.broadcast_to(dense(weights["probe"], weights, "query"), (3, 1, 8))
    k, v = dense(patches, weights, "key"), dense(patches, weights, "value")
    heads = zip(*(np.split(part, 2, axis=-1) for part in (q, k, v)), strict=True)
    z = dense(np.concatenate([one_head(*head) for head in heads], -1), weights, "projection")
    hidden = dense(norm(z, weights["norm/gamma"], weights["norm/beta"]), weights, "mlp/hidden")
    close(layer(x), (z + dense(GELU[gelu](hidden), weights, "mlp/output"))[:, 0], 1e-4)


def test_registers_stand_behind_the_class_token():
    layer, weights = randomised(Registers(2, after=1), None, 4, 8)
    x = random_array(3, 4, 8)
    registers = np.broadcast_to(weights["registers"], (3, 2, 8))
    close(layer(x), np.concatenate([x[:, :1], registers, x[:, 1:]], axis=1), 1e-7)


def test_fresh_registers_differ():
    """Alike, they would get the same gradient for ever."""
    layer = Registers(2)
    layer.build((None, 4, 8))
    first, second = to_numpy(layer.registers)[0]
    assert np.abs(first - second).max() > 1e-3


def test_patch_dropout_keeps_its_share_of_the_patches_and_all_other_tokens():
    layer = PatchDropout(0.4, extra=2)
    x = random_array(8, 12, 4)
    out, kept = (ops.convert_to_numpy(part) for part in layer(x, training=True))
    assert out.shape == (8, 2 + 6, 4)
    np.testing.assert_array_equal(kept[:, :2], [[0, 1]] * 8)
    np.testing.assert_array_equal(out, np.take_along_axis(x, kept[..., None], axis=1))
    assert all(len(set(row)) == 8 for row in kept)
    assert len({tuple(sorted(row)) for row in kept}) > 1  # each image its own
    again = ops.convert_to_numpy(layer(x, training=True)[1])
    assert (again != kept).any()
    for training in (False, None):
        np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=training)[0]), x)


def test_patch_dropout_keeps_at_least_one_patch():
    assert PatchDropout(0.9)(random_array(2, 4, 3), training=True)[0].shape == (2, 1, 3)


def convolution(x, kernel):
    """3x3, stride 2, a pixel of zeros on each side; one output pixel at a time."""
    batch, rows, columns, _ = x.shape
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((batch, rows // 2, columns // 2, kernel.shape[-1]))
    for row in range(rows // 2):
        for column in range(columns // 2):
            window = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            out[:, row, column] = np.einsum("bxyc,xycd->bd", window, kernel)
    return out


def test_the_convolutional_stem_is_the_papers():
    layer, weights = randomised(ConvStem(4, 16), None, 8, 12, 3)
    images = random_array(2, 8, 12, 3)
    x = images
    for i in range(2):
        mean, variance = (weights[f"norm_{i}/moving_{name}"] for name in ("mean", "variance"))
        x = (convolution(x, weights[f"conv_{i}/kernel"]) - mean) / np.sqrt(variance + 1e-5)
        x = np.maximum(x * weights[f"norm_{i}/gamma"] + weights[f"norm_{i}/beta"], 0)
    assert x.shape == (2, 2, 3, 16)
    close(layer(images), dense(x.reshape(2, 6, 16), weights, "projection"), 1e-4)
