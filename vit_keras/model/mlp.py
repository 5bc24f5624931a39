"""Feed-forward layers of an encoder block: MLP with GELU or squared ReLU, and SwiGLU.

Letters: B batch, N tokens, D width, M hidden width.
"""

import keras
from keras import ops

from vit_keras.model.compiled_layers import gelu
from vit_keras.model.quantization import Composite

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class MLP(Composite):
    """Two dense layers with an activation in between, applied per token: (B, N, D) -> (B, N, D).

    Args:
        hidden_dim: M.
        gelu: `exact`, x Φ(x), or one of its approximations, `tanh` and `quick`, x sigmoid(1.702 x)
            (Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2).
        activation: `gelu`, or `relu2`, max(x, 0)² (So et al. 2021, https://arxiv.org/abs/2109.08668,
            section 4).
        bias: whether the two dense layers have one.
    """

    def __init__(self, hidden_dim, gelu="exact", activation="gelu", bias=True, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.gelu = gelu
        self.activation = activation
        self.bias = bias

    def build(self, input_shape):
        dense_kwargs = dict(use_bias=self.bias, dtype=self.dtype_policy)
        self.hidden = keras.layers.Dense(self.hidden_dim, name="hidden", **dense_kwargs)
        self.output_projection = keras.layers.Dense(input_shape[-1], name="output", **dense_kwargs)
        self.hidden.build(input_shape)
        self.output_projection.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x):
        x = self.hidden(x)
        if self.activation == "relu2":
            return self.output_projection(ops.square(ops.relu(x)))
        if self.gelu == "quick":
            return self.output_projection(x * ops.sigmoid(1.702 * x))
        return self.output_projection(gelu(x, approximate=self.gelu == "tanh"))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "gelu": self.gelu,
            "activation": self.activation,
            "bias": self.bias,
        }


@serializable
class SwiGLU(Composite):
    """Gated MLP, applied per token: (B, N, D) -> (B, N, D).

    (swish(x W) ⊙ x V) W₂, with biases unless `bias` is false (Shazeer 2020,
    https://arxiv.org/abs/2002.05202, eq. 6); W and V are one fused kernel, (D, 2M).

    Args:
        hidden_dim: M. SwiGLU has three kernels where an MLP has two, so 2/3 of the MLP's M gives
            the same number of parameters.
        bias: whether the dense layers have one.
    """

    def __init__(self, hidden_dim, bias=True, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.bias = bias

    def build(self, input_shape):
        width, hidden = input_shape[-1], 2 * self.hidden_dim
        # With this scale over the fused (D, 2M) kernel, each (D, M) half is Glorot-initialised.
        scale = (width + hidden) / (width + self.hidden_dim)
        dense_kwargs = dict(use_bias=self.bias, dtype=self.dtype_policy)
        self.hidden = keras.layers.Dense(
            hidden,
            kernel_initializer=keras.initializers.VarianceScaling(scale, "fan_avg", "uniform"),
            name="hidden",
            **dense_kwargs,
        )
        self.output_projection = keras.layers.Dense(width, name="output", **dense_kwargs)
        self.hidden.build(input_shape)
        self.output_projection.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x):
        gate, value = ops.split(self.hidden(x), 2, axis=-1)  # each (B, N, M)
        return self.output_projection(ops.silu(gate) * value)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "hidden_dim": self.hidden_dim, "bias": self.bias}
