"""Encoder block of a Vision Transformer (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head, M hidden width of the MLP.
Equation numbers are the paper's.
"""

import keras
from keras import ops

from vit_keras.model.attention import Attention
from vit_keras.model.compiled_layers import LayerNorm
from vit_keras.model.mlp import MLP, SwiGLU
from vit_keras.model.quantization import Composite

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class EncoderBlock(Composite):
    """Pre-norm transformer block: (B, N, D) -> (B, N, D).

    z' = Attention(LN(z)) + z, then MLP(LN(z')) + z' (eq. 2 and 3), with optional layer scale and
    stochastic depth (drop path; Huang et al. 2016) on each residual branch.

    Args:
        num_heads: H; must divide D.
        mlp_dim: M.
        dropout: rate on the output of each branch.
        attention_dropout: rate on the attention weights.
        stochastic_depth: drop-path rate of each branch.
        gelu: `exact`, `tanh` or `quick`.
        epsilon: of the layer normalisations.
        mlp: `gelu` or `relu2` for an MLP with that activation, `swiglu` for a gated one.
        parallel: z + Attention(LN(z)) + MLP(LN(z)) with one LN (ViT-22B, Dehghani et al. 2023).
        qk_norm, rotary, grid: see `Attention`.
        layer_scale: initial value of the layer scale of each branch; 0 for no layer scale.
        bias: whether the dense layers of attention and MLP have one.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        dropout=0.0,
        attention_dropout=0.0,
        stochastic_depth=0.0,
        gelu="exact",
        epsilon=1e-6,
        mlp="gelu",
        parallel=False,
        qk_norm=False,
        layer_scale=0.0,
        rotary=None,
        grid=None,
        bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.stochastic_depth = stochastic_depth
        self.gelu = gelu
        self.parallel = parallel
        self.layer_scale = layer_scale
        dtype = self.dtype_policy
        norm_kwargs = dict(epsilon=epsilon, dtype=dtype)
        self.attention_norm = LayerNorm(name="attention_norm", **norm_kwargs)
        self.attention = Attention(
            num_heads,
            attention_dropout,
            qk_norm=qk_norm,
            rotary=rotary,
            grid=grid,
            epsilon=epsilon,
            bias=bias,
            dtype=dtype,
            name="attention",
        )
        if not parallel:
            self.mlp_norm = LayerNorm(name="mlp_norm", **norm_kwargs)
        if mlp == "swiglu":
            self.mlp = SwiGLU(mlp_dim, bias=bias, dtype=dtype, name="mlp")
        else:
            self.mlp = MLP(mlp_dim, gelu, activation=mlp, bias=bias, dtype=dtype, name="mlp")
        # Stochastic depth is Dropout(noise_shape=(None, 1, 1)): one random number per image, so a
        # branch is dropped for all tokens and channels, and scaled up by 1 / (1 - rate) otherwise.
        path_kwargs = dict(rate=stochastic_depth, noise_shape=(None, 1, 1), dtype=dtype)
        self.attention_drop = keras.layers.Dropout(dropout, dtype=dtype, name="attention_drop")
        self.attention_path = keras.layers.Dropout(name="attention_path", **path_kwargs)
        self.mlp_drop = keras.layers.Dropout(dropout, dtype=dtype, name="mlp_drop")
        self.mlp_path = keras.layers.Dropout(name="mlp_path", **path_kwargs)
        if layer_scale:
            self.attention_scale = LayerScale(layer_scale, dtype=dtype, name="attention_scale")
            self.mlp_scale = LayerScale(layer_scale, dtype=dtype, name="mlp_scale")

    def build(self, input_shape):
        parts: list[keras.layers.Layer] = [self.attention_norm, self.attention]
        parts += [self.mlp] if self.parallel else [self.mlp_norm, self.mlp]
        parts += [self.attention_scale, self.mlp_scale] if self.layer_scale else []
        for part in parts:
            part.build(input_shape)

    def call(self, z, kept=None, training=None):
        """(B, N, D) -> (B, N, D).

        `kept` (B, N): with patch dropout, the indices of the tokens of `z` in the full sequence.
        """
        normed = self.attention_norm(z)
        attended = z + self._attention_branch(normed, kept, training)  # eq. 2
        if not self.parallel:
            normed = self.mlp_norm(attended)
        return attended + self._mlp_branch(normed, training)  # eq. 3

    def _attention_branch(self, x, kept, training):
        x = self.attention_drop(self.attention(x, kept, training=training), training=training)
        x = self.attention_scale(x) if self.layer_scale else x
        return self.attention_path(x, training=training)

    def _mlp_branch(self, x, training):
        x = self.mlp_drop(self.mlp(x), training=training)
        x = self.mlp_scale(x) if self.layer_scale else x
        return self.mlp_path(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        attention = self.attention.get_config()
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "stochastic_depth": self.stochastic_depth,
            "num_heads": attention["num_heads"],
            "mlp_dim": self.mlp.hidden_dim,
            "attention_dropout": attention["dropout"],
            "gelu": self.gelu,
            "epsilon": self.attention_norm.epsilon,
            "mlp": "swiglu" if isinstance(self.mlp, SwiGLU) else self.mlp.activation,
            "parallel": self.parallel,
            "layer_scale": self.layer_scale,
            "qk_norm": attention["qk_norm"],
            "rotary": attention["rotary"],
            "grid": attention["grid"],
            "bias": attention["bias"],
        }


@serializable
class LayerScale(keras.layers.Layer):
    """Layer scale, one learned factor per channel: (B, N, D) -> (B, N, D).

    The diag(λ) of CaiT (Touvron et al. 2021, https://arxiv.org/abs/2103.17239, eq. 4). A small
    initial value stabilises the training of deep models.

    Args:
        value: initial value of the factors.
    """

    def __init__(self, value, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def build(self, input_shape):
        initial = keras.initializers.Constant(self.value)
        self.gamma = self.add_weight(shape=input_shape[-1:], initializer=initial, name="gamma")

    def call(self, x):
        return x * ops.cast(self.gamma, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "value": self.value}
