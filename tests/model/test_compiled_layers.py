"""GELU and layer normalisation that XLA compiles alone: as Keras' own, with their gradients."""

import keras
import numpy as np
import pytest

from vit_keras import build_vit
from vit_keras.model.compiled_layers import LayerNorm, compiled_layers, gelu

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")


def _norm():
    rng = np.random.default_rng(1)
    layer = LayerNorm(epsilon=1e-6)
    layer.build((None, None, 16))
    layer.gamma.assign(rng.normal(1, 0.3, 16))
    layer.beta.assign(rng.normal(0, 0.3, 16))
    return layer, [layer.gamma.value, layer.beta.value]


LAYERS = {
    "gelu": lambda: (lambda x: gelu(x, approximate=False), []),
    "tanh gelu": lambda: (lambda x: gelu(x, approximate=True), []),
    "layer norm": _norm,
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_keras(name):
    function, variables = LAYERS[name]()
    rng = np.random.default_rng(0)
    x, upstream = (tf.constant(rng.normal(0, 2, (4, 5, 16)).astype("float32")) for _ in range(2))
    found = []
    for is_on in (False, True):
        with compiled_layers(is_on), tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        found.append([y, *tape.gradient(y, [x, *variables], upstream)])
    for plain, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-5)


def test_xla_compiles_the_layers_of_a_model_and_nothing_else():
    vit = build_vit(None, image_size=8, num_classes=2, patch_size=4, width=8, depth=1,
                    num_heads=2, mlp_dim=16)  # fmt: skip
    images = tf.zeros((2, 8, 8, 3))
    for is_on in (False, True):
        with compiled_layers(is_on):
            step = tf.function(lambda x: vit(x, training=True)).get_concrete_function(images)
        compiled = [
            function
            for function in step.graph.as_graph_def().library.function
            if function.attr["_XlaMustCompile"].b
        ]
        assert len(compiled) == (2 if is_on else 0)  # GELU, and the normalisation of both branches
        assert not step.function_def.attr["_XlaMustCompile"].b
