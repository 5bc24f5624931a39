"""Each layer fulfils Keras' layer contract and computes what its docstring says."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from vit_keras.model import (
    attention,
    distilled_head,
    encoder_block,
    mlp,
    patch_embedding,
    pooling,
    position_embedding,
    tokens,
)

pytestmark = pytest.mark.jax

TOKENS = (2, 6, 8)  # B, N, D

# Layer, arguments, input shape, output shape, weights, random generators: counted by hand. A dense
# layer and a layer norm have 2 weights each; a dropout has a generator where its rate is above 0.
CASES = {
    "patch_embedding": (patch_embedding.PatchEmbedding, (4, 8), (2, 8, 12, 3), TOKENS, 2, 0),
    "patch_embedding_grey": (
        patch_embedding.PatchEmbedding,
        (7, 5),
        (2, 14, 14, 1),
        (2, 4, 5),
        2,
        0,
    ),
    "tokenizer": (patch_embedding.ConvTokenizer, (4, 8), (2, 8, 12, 3), TOKENS, 2, 0),
    "class_token": (tokens.ClassToken, (), TOKENS, (2, 7, 8), 1, 0),
    "position_embedding": (position_embedding.PositionEmbedding, (), TOKENS, TOKENS, 1, 0),
    "sincos2d": (position_embedding.SinCos2D, ((2, 3),), TOKENS, TOKENS, 0, 0),
    "sincos2d_class_token": (position_embedding.SinCos2D, ((1, 5),), TOKENS, TOKENS, 0, 0),
    "attention": (attention.Attention, (2,), TOKENS, TOKENS, 4, 0),
    "attention_dropout": (attention.Attention, (2, 0.2), TOKENS, TOKENS, 4, 1),
    "mlp": (mlp.MLP, (16,), TOKENS, TOKENS, 4, 0),
    "mlp_tanh": (mlp.MLP, (16, "tanh"), TOKENS, TOKENS, 4, 0),
    # two norms, attention (4) and MLP (4)
    "block": (encoder_block.EncoderBlock, (2, 16), TOKENS, TOKENS, 12, 0),
    "block_dropout": (encoder_block.EncoderBlock, (2, 16, 0.2), TOKENS, TOKENS, 12, 2),
    "block_attention_dropout": (encoder_block.EncoderBlock, (2, 16, 0, 0.2), TOKENS, TOKENS, 12, 1),
    "block_stochastic_depth": (
        encoder_block.EncoderBlock,
        (2, 16, 0, 0, 0.2),
        TOKENS,
        TOKENS,
        12,
        2,
    ),
    "block_all": (
        encoder_block.EncoderBlock,
        (2, 16, 0.1, 0.2, 0.3, "tanh"),
        TOKENS,
        TOKENS,
        12,
        5,
    ),
    "block_switched": (
        encoder_block.EncoderBlock,
        (
            *(2, 16, 0.1, 0.0, 0.0, "exact", 1e-5, "swiglu", True, True, 0.1),
            *("rope_mixed", (2, 3), False),
        ),
        TOKENS,
        TOKENS,
        # one norm, attention (2) with two norms of one weight and frequencies, MLP, two scales
        2 + 5 + 2 + 2,
        2,
    ),
    "swiglu": (mlp.SwiGLU, (16,), TOKENS, TOKENS, 4, 0),
    "layer_scale": (encoder_block.LayerScale, (0.1,), TOKENS, TOKENS, 1, 0),
    "registers": (tokens.Registers, (2, 1), TOKENS, (2, 8, 8), 1, 0),
    "distillation_token": (distilled_head.DistillationToken, (), TOKENS, (2, 7, 8), 1, 0),
    "pooling_distilled": (distilled_head.DistilledPooling, (), TOKENS, (2, 16), 0, 0),
    "distilled_head": (distilled_head.DistilledHead, (5,), (2, 16), (2, 5), 4, 0),
    "pooling_map": (pooling.AttentionPooling, (2, 16, "tanh", 1e-5, 1), TOKENS, (2, 8), 15, 0),
    "pooling_seq": (pooling.SequencePooling, (1,), TOKENS, (2, 8), 2, 0),
    "pooling_registers": (pooling.Pooling, ("mean", 2), TOKENS, (2, 8), 0, 0),
    "pooling_token": (pooling.Pooling, ("token",), TOKENS, (2, 8), 0, 0),
    "pooling_mean": (pooling.Pooling, ("mean",), TOKENS, (2, 8), 0, 0),
}

ARGUMENTS = {
    patch_embedding.PatchEmbedding: ("patch_size", "width"),
    patch_embedding.ConvTokenizer: ("patch_size", "width"),
    position_embedding.SinCos2D: ("grid",),
    attention.Attention: ("num_heads", "dropout"),
    mlp.MLP: ("hidden_dim", "gelu", "activation", "bias"),
    encoder_block.EncoderBlock: (
        "num_heads",
        "mlp_dim",
        "dropout",
        "attention_dropout",
        "stochastic_depth",
        "gelu",
        "epsilon",
        "mlp",
        "parallel",
        "qk_norm",
        "layer_scale",
        "rotary",
        "grid",
        "bias",
    ),
    encoder_block.LayerScale: ("value",),
    pooling.Pooling: ("pool", "registers"),
    distilled_head.DistilledHead: ("units",),
    pooling.SequencePooling: ("registers",),
    mlp.SwiGLU: ("hidden_dim", "bias"),
    pooling.AttentionPooling: ("num_heads", "mlp_dim", "gelu", "epsilon", "registers"),
    tokens.Registers: ("count", "after"),
}


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


def named(layer_class, values):
    return dict(zip(ARGUMENTS.get(layer_class, ()), values, strict=False))


def random_array(shape, scale=1.0, dtype="float32"):
    return np.random.default_rng(0).normal(0, scale, shape).astype(dtype)


def to_numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


# Keras' harness feeds `fit` a generator, and trains layers without weights too.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_keras_contract(case):
    """Serialises, builds, trains, and runs in mixed precision, as Keras' own layers have to."""
    layer_class, values, input_shape, output_shape, weights, generators = CASES[case]
    arguments = named(layer_class, values)
    testing.TestCase().run_layer_test(
        layer_class,
        init_kwargs=arguments,
        input_shape=input_shape,
        expected_output_shape=output_shape,
        expected_output_dtype="float32",
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_non_trainable_variables=generators,  # the state of each generator
        expected_num_seed_generators=generators,
        expected_num_losses=0,
    )
    # Keras compares the config of a layer with its copy's; an argument may be missing from both.
    assert layer_class(**arguments).get_config().items() >= arguments.items()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_symbolic_is_eager(case, dtype):
    """A model made of the layer promises the shape and precision that it then gives."""
    layer_class, values, input_shape, *_ = CASES[case]
    layer = layer_class(**named(layer_class, values), dtype=dtype)
    inputs = keras.Input(input_shape[1:])
    model = keras.Model(inputs, layer(inputs))
    x = random_array(input_shape)
    eager = layer(x)

    assert keras.backend.standardize_dtype(eager.dtype) == model.output.dtype == layer.compute_dtype
    assert {weight.dtype for weight in layer.trainable_weights} <= {layer.variable_dtype}
    assert tuple(eager.shape[1:]) == tuple(model.output.shape[1:])
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(eager), rtol=1e-6, atol=1e-6)


def test_patch_embedding_is_a_strided_convolution():
    """So that kernels of other implementations carry over with a reshape."""
    layer = patch_embedding.PatchEmbedding(4, 8)
    images = random_array((2, 8, 12, 3))
    layer(images)
    kernel, bias = random_array((4, 4, 3, 8)), random_array((8,))
    layer.projection.set_weights([kernel.reshape(4 * 4 * 3, 8), bias])
    convolution = keras.layers.Conv2D(8, 4, strides=4)
    convolution.build(images.shape)
    convolution.set_weights([kernel, bias])

    expected = to_numpy(convolution(images)).reshape(2, 6, 8)
    np.testing.assert_allclose(to_numpy(layer(images)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 9, 8, 3), (1, 8, 9, 3)])
def test_patch_embedding_refuses_what_it_cannot_cut(shape):
    with pytest.raises(ValueError, match=rf"patch_size=4 .* {shape[1]}x{shape[2]}"):
        patch_embedding.PatchEmbedding(4, 8)(np.zeros(shape, "float32"))


@pytest.mark.parametrize("shape", [(2, 28, 28, 3), (28, 28, 1, 1), (2, 14, 56, 1)])
def test_images_of_another_shape_are_refused_in_words(shape):
    layer = patch_embedding.PatchEmbedding(7, 5)
    layer(np.zeros((1, 28, 28, 1), "float32"))
    with pytest.raises(ValueError, match=r"\(B, 28, 28, 1\) are needed, not .*images\[None\]"):
        layer(np.zeros(shape, "float32"))


def test_sincos2d_is_big_visions():
    """Its `posemb_sincos_2d`, value by value: frequencies 1 and 1/10000, columns before rows."""
    waves = position_embedding.SinCos2D((2, 3))(np.zeros((1, 7, 8), "float32"))[0]
    assert not np.any(waves[0])  # the class token
    for row in range(2):
        for column in range(3):
            x, y = np.array([column, column / 10_000]), np.array([row, row / 10_000])
            expected = [*np.sin(x), *np.cos(x), *np.sin(y), *np.cos(y)]
            token = to_numpy(waves[1 + 3 * row + column])
            np.testing.assert_allclose(token, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "shape"), [((2, 3), (1, 5, 8)), ((2, 2), (1, 7, 8)), ((1, 6), (1, 6, 6))]
)
def test_sincos2d_refuses_a_grid_that_does_not_fit(grid, shape):
    with pytest.raises(ValueError, match=f"{shape[1]} tokens of width {shape[2]} do not fit"):
        position_embedding.SinCos2D(grid)(np.zeros(shape, "float32"))


def test_attention_refuses_a_width_that_does_not_split():
    with pytest.raises(ValueError, match="num_heads=3 does not divide the width 8"):
        attention.Attention(3)(np.zeros(TOKENS, "float32"))


def test_attention_weights_are_those_used():
    """What is shown to a user as attention sums to 1 and is what the layer's output is made of."""
    layer = attention.Attention(2)
    x = random_array(TOKENS, 3.0)
    layer(x)
    q, k, v = layer.queries_keys_values(x)
    weights = layer.weights_of(q, k)
    mixed = ops.reshape(ops.einsum("bhnm,bmhk->bnhk", weights, v), TOKENS)

    np.testing.assert_allclose(to_numpy(ops.sum(weights, axis=-1)), 1, rtol=1e-6)
    np.testing.assert_allclose(
        to_numpy(layer.projection(mixed)), to_numpy(layer(x)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_half_precision_softmax_is_accurate(dtype, bits):
    """Off by rounding the scores and the weights once each, however many tokens are summed."""
    layer = attention.Attention(1)
    shape = (1, 1024, 1, 4)
    q, k = (ops.cast(np.random.default_rng(seed).normal(size=shape), dtype) for seed in range(2))
    half = layer.weights_of(q, k)
    full = to_numpy(layer.weights_of(ops.cast(q, "float32"), ops.cast(k, "float32")))

    assert keras.backend.standardize_dtype(half.dtype) == dtype
    # Scores reach about 8 = 2³, so rounding one moves it by 2³⁻ᵇⁱᵗˢ; float16 ends at 2⁻²⁴.
    np.testing.assert_allclose(to_numpy(half), full, rtol=3 * 2.0 ** (3 - bits), atol=2.0**-24)
    # Errors of single weights average out over a row, unless the sum itself lost precision.
    np.testing.assert_allclose(to_numpy(half).sum(-1), 1, atol=2.0 ** (1 - bits))


def test_stochastic_depth_drops_a_branch_for_whole_images():
    """Each image keeps each branch whole and doubled (rate 0.5), or not at all."""
    block = encoder_block.EncoderBlock(2, 16, stochastic_depth=0.5)
    z = ops.convert_to_tensor(random_array((32, 6, 8)))
    out = to_numpy(block(z, training=True))

    def by_hand(keeps_attention, keeps_mlp):
        middle = z + 2 * keeps_attention * block.attention(block.attention_norm(z))
        return to_numpy(middle + 2 * keeps_mlp * block.mlp(block.mlp_norm(middle)))

    fates = [by_hand(*kept) for kept in itertools.product((0, 1), repeat=2)]
    matches = np.stack([np.isclose(out, fate, atol=1e-5).all(axis=(1, 2)) for fate in fates])
    np.testing.assert_array_equal(matches.sum(axis=0), 1)  # one fate for each image
    assert matches.any(axis=1).all()  # and each fate for some image


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout", "stochastic_depth"])
def test_random_only_in_training(rate):
    plain, random = (
        encoder_block.EncoderBlock(2, 16),
        encoder_block.EncoderBlock(2, 16, **{rate: 0.5}),
    )
    z = random_array(TOKENS)
    for block in (plain, random):
        block.build(TOKENS)
    for source, target in zip(plain.trainable_weights, random.trainable_weights, strict=True):
        target.assign(source)

    expected = to_numpy(plain(z))
    for kwargs in ({}, {"training": False}):
        np.testing.assert_allclose(to_numpy(random(z, **kwargs)), expected, rtol=1e-6, atol=1e-6)
    assert not np.allclose(to_numpy(random(z, training=True)), expected, atol=1e-3)


def test_fresh_attention_is_scaled_as_three_separate_projections():
    """Fusing q, k and v must not change how training starts: Glorot over each (D, D) part."""
    layer = attention.Attention(2)
    layer.build((None, 6, 128))
    limit = np.sqrt(6 / (128 + 128))
    kernel = to_numpy(layer.qkv.kernel)
    assert kernel.shape == (128, 3 * 128)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
