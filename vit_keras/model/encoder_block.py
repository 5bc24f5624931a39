"""The encoder of a Vision Transformer (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head, M hidden width of the MLP.
Equation numbers are the paper's.
"""

import keras
from keras import ops

from vit_keras.model.attention import Attention
from vit_keras.model.mlp import MLP, SwiGLU

serializable = keras.saving.register_keras_serializable("vit_keras")

# A layer's configuration names a switch only where it is on: the file of a plain model is what it
# was before there were any, and opens where there are none.
OFF = {
    "mlp": "gelu",
    "parallel": False,
    "qk_norm": False,
    "layer_scale": 0.0,
    "registers": 0,
    "rotary": None,
    "grid": None,
}


@serializable
class EncoderBlock(keras.layers.Layer):
    """One pre-norm block: (B, N, D) -> (B, N, D).

    z' = Attention(LN(z)) + z, then MLP(LN(z')) + z' (eq. 2 and 3). Stochastic depth (Huang et al.
    2016) leaves out a branch for a whole image at a time and scales the rest up to make up for it.

    Args:
        num_heads: H; must divide D.
        mlp_dim: M.
        dropout: rate on the output of each branch.
        attention_dropout: rate on the attention weights.
        stochastic_depth: rate at which each branch is left out.
        gelu: `exact` or `tanh`.
        epsilon: of the layer normalisations.
        mlp: `gelu`, or `swiglu` for a gated one.
        parallel: z + Attention(LN(z)) + MLP(LN(z)) with one LN (ViT-22B, Dehghani et al. 2023).
        qk_norm, rotary, grid: of the attention.
        layer_scale: what the factors of each branch's channels begin at; 0 for no such factors.
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rates = {"dropout": dropout, "stochastic_depth": stochastic_depth}
        self.gelu, self.parallel, self.layer_scale = gelu, parallel, layer_scale
        dtype = self.dtype_policy
        norm = dict(epsilon=epsilon, dtype=dtype)
        self.attention_norm = keras.layers.LayerNormalization(**norm, name="attention_norm")
        attention = dict(qk_norm=qk_norm, rotary=rotary, grid=grid, epsilon=epsilon)
        self.attention = Attention(
            num_heads, attention_dropout, **attention, dtype=dtype, name="attention"
        )
        if not parallel:
            self.mlp_norm = keras.layers.LayerNormalization(**norm, name="mlp_norm")
        kinds = {"gelu": (MLP, (mlp_dim, gelu)), "swiglu": (SwiGLU, (mlp_dim,))}
        kind, arguments = kinds[mlp]
        self.mlp = kind(*arguments, dtype=dtype, name="mlp")
        self.attention_drop, self.attention_path = self._branch_dropouts("attention")
        self.mlp_drop, self.mlp_path = self._branch_dropouts("mlp")
        if layer_scale:
            self.attention_scale, self.mlp_scale = (
                LayerScale(layer_scale, dtype=dtype, name=f"{branch}_scale")
                for branch in ("attention", "mlp")
            )

    def _branch_dropouts(self, branch):
        dropout, stochastic_depth = self.rates.values()
        path_shape = (None, 1, 1)  # one draw for all of an image
        return (
            keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=f"{branch}_drop"),
            keras.layers.Dropout(
                stochastic_depth, path_shape, dtype=self.dtype_policy, name=f"{branch}_path"
            ),
        )

    def build(self, input_shape):
        parts = [self.attention_norm, self.attention]
        parts += [self.mlp] if self.parallel else [self.mlp_norm, self.mlp]
        parts += [self.attention_scale, self.mlp_scale] if self.layer_scale else []
        for part in parts:
            part.build(input_shape)

    def call(self, z, kept=None, training=None):
        """`kept` (B, N) says which tokens of the whole image `z` has, if not all."""
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
        return {
            **super().get_config(),
            **self.rates,
            "num_heads": self.attention.num_heads,
            "mlp_dim": self.mlp.hidden_dim,
            "attention_dropout": self.attention.dropout.rate,
            "gelu": self.gelu,
            "epsilon": self.attention_norm.epsilon,
            **_switched_on(
                mlp="swiglu" if isinstance(self.mlp, SwiGLU) else "gelu",
                parallel=self.parallel,
                layer_scale=self.layer_scale,
                **self.attention.switches,
            ),
        }


@serializable
class LayerScale(keras.layers.Layer):
    """A learnt factor for each channel: (B, N, D) -> (B, N, D).

    The diag(λ) of CaiT (Touvron et al. 2021, https://arxiv.org/abs/2103.17239, eq. 4): deep models
    begin with small branches.

    Args:
        value: of each factor at first.
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


def _switched_on(**switches):
    return {name: value for name, value in switches.items() if value != OFF[name]}
