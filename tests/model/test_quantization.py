"""A model that Keras quantised is saved and loaded again, in safe mode, with equal logits."""

import keras
import numpy as np
import pytest

from vit_keras import build_vit
from vit_keras.model.vit import describe

# Keras warns of each layer without weights to quantise.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .*quantize")

SIZES = dict(image_size=16, num_classes=5, patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=24)
OPTIONS = {  # every layer of ours with layers inside
    "plain": {},
    "conv stem, SwiGLU": dict(stem="conv", mlp="swiglu", bias=False),
    "distillation token": dict(distillation_token=True),
    "tokenizer, sequence pooling": dict(stem="cct", pool="seq"),
    "bfloat16, attention pooling": dict(
        dtype="mixed_bfloat16",
        pool="map",
        parallel=True,
        qk_norm=True,
        layer_scale=0.1,
        registers=2,
        position="rope_mixed",
    ),
}


def built(**options):
    keras.utils.set_random_seed(0)
    model = build_vit(None, **SIZES, **options)
    kernel = model.get_layer("head").kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.3, kernel.shape))
    return model


def logits_of(model):
    images = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3)).astype("uint8")
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))


def quantised_layers(model):
    return {layer.path: layer.quantization_mode for layer in model._flatten_layers()}


SLOW = ("conv stem, SwiGLU", "tokenizer, sequence pooling")
ON_JAX = ("plain", "distillation token")  # what is saved is the same on each backend


@pytest.mark.parametrize("mode", ["int8", pytest.param("int4", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            options,
            id=name,
            marks=[pytest.mark.slow] * (name in SLOW) + [pytest.mark.jax] * (name in ON_JAX),
        )
        for name, options in OPTIONS.items()
    ],
)
def test_a_quantised_model_is_loaded_again(options, mode, tmp_path):
    model = built(**options)
    before = logits_of(model)
    model.quantize(mode)
    expected = logits_of(model)
    modes = quantised_layers(model)
    assert mode in modes.values()
    assert np.any(expected != before)
    for name in ("once.keras", "twice.keras"):  # what was loaded can be saved too
        model.save(tmp_path / name)
        model = keras.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(logits_of(model), expected)
        assert quantised_layers(model) == modes
    assert describe(model) == describe(built(**options))


@pytest.mark.jax
def test_a_part_of_a_model_can_be_quantised(tmp_path):
    model = built()
    model.quantize("int8", filters=lambda layer: layer.name == "qkv")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    modes = {path for path, mode in quantised_layers(again).items() if mode}
    assert modes == {"encoder_block_0/attention/qkv"}
    np.testing.assert_array_equal(logits_of(again), logits_of(model))


@pytest.mark.jax
def test_quantisers_that_cannot_be_saved_are_refused_and_not_replaced(tmp_path):
    model = built()
    weights_only = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model.quantize(config=weights_only)
    with pytest.raises(ValueError, match=r"cannot be saved; use model.quantize\(\"int8\"\)"):
        model.save(tmp_path / "model.keras")


@pytest.mark.jax
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_model_that_is_not_quantised_has_the_config_that_it_had(options):
    for layer in built(**options).layers:
        config = layer.get_config()
        assert "DTypePolicyMap" not in str(config["dtype"])
