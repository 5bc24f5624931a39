"""Pooling of the tokens into one vector: class token, mean, sequence or attention pooling.

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head.
"""

import keras
from keras import ops

from vit_keras.model.attention import attention_weights
from vit_keras.model.mlp import MLP
from vit_keras.model.quantization import Composite

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class Pooling(keras.layers.Layer):
    """Class token or mean of the tokens: (B, N, D) -> (B, D).

    Args:
        pool: `token` takes the first token (Dosovitskiy et al. 2021, eq. 4), `mean` the average.
        registers: number of register tokens before the patches, which the average excludes.
    """

    def __init__(self, pool="token", registers=0, **kwargs):
        super().__init__(**kwargs)
        self.pool = pool
        self.registers = registers

    def call(self, tokens):
        if self.pool == "token":
            return tokens[:, 0]
        return ops.mean(tokens[:, self.registers :] if self.registers else tokens, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "pool": self.pool, "registers": self.registers}


@serializable
class SequencePooling(Composite):
    """Sequence pooling, a weighted mean of the tokens: (B, N, D) -> (B, D).

    softmax(g(z))ᵀ z with one learned score g(z) for each token (Hassani et al. 2021, "Escaping the
    Big Data Paradigm with Compact Transformers", https://arxiv.org/abs/2104.05704, "SeqPool").

    Args:
        registers: number of register tokens before the patches, which are excluded.
    """

    pool = "seq"

    def __init__(self, registers=0, **kwargs):
        super().__init__(**kwargs)
        self.registers = registers
        # Small scores, as in the paper's code: the pooling begins near the mean.
        self.score = keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=self.dtype_policy,
            name="score",
        )

    def build(self, input_shape):
        self.score.build(input_shape)

    def call(self, tokens):
        patches = tokens[:, self.registers :]
        return ops.einsum("bn,bnd->bd", self.weights_of(patches), patches)

    def weights_of(self, patches):
        """(B, N, D) without registers -> the weight of each token, (B, N), of sum 1."""
        scores = ops.cast(self.score(patches)[..., 0], "float32")  # as in `attention_weights`
        return ops.cast(ops.softmax(scores, axis=-1), patches.dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "registers": self.registers}


@serializable
class AttentionPooling(Composite):
    """Multi-head attention pooling with one learned query: (B, N, D) -> (B, D).

    z = Attention(probe, tokens), then MLP(LN(z)) + z (Zhai et al. 2022, "Scaling Vision
    Transformers", https://arxiv.org/abs/2106.04560, after the PMA of Lee et al. 2019), as in
    big_vision's `MAPHead`.

    Args:
        num_heads: H; must divide D.
        mlp_dim: hidden width of the MLP.
        gelu: of the MLP, `exact`, `tanh` or `quick`.
        epsilon: of the layer normalisation.
        registers: number of register tokens before the patches, which are excluded.

    Raises:
        ValueError: D is not a multiple of `num_heads`.
    """

    pool = "map"

    def __init__(self, num_heads, mlp_dim, gelu="exact", epsilon=1e-6, registers=0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.registers = registers
        dtype = self.dtype_policy
        self.norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=dtype, name="norm")
        self.mlp = MLP(mlp_dim, gelu, dtype=dtype, name="mlp")

    def build(self, input_shape):
        batch, _, width = input_shape
        if width % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} does not divide the width {width}")
        self.probe = self.add_weight(
            shape=(1, 1, width), initializer="glorot_uniform", name="probe"
        )
        dtype = self.dtype_policy
        self.query = keras.layers.Dense(width, dtype=dtype, name="query")
        self.key = keras.layers.Dense(width, dtype=dtype, name="key")
        self.value = keras.layers.Dense(width, dtype=dtype, name="value")
        self.projection = keras.layers.Dense(width, dtype=dtype, name="projection")
        for part in (self.query, self.key, self.value, self.projection, self.norm, self.mlp):
            part.build((batch, 1, width))

    def call(self, tokens):
        patches = tokens[:, self.registers :]
        probe = ops.cast(self.probe, patches.dtype)
        q = self._split_heads(self.query(probe))  # (1, 1, H, K)
        k = self._split_heads(self.key(patches))  # (B, N, H, K)
        v = self._split_heads(self.value(patches))  # (B, N, H, K)
        q = ops.broadcast_to(q, (ops.shape(k)[0], *q.shape[1:]))
        z = ops.einsum("bhnm,bmhk->bnhk", attention_weights(q, k), v)  # (B, 1, H, K)
        z = self.projection(ops.reshape(z, (-1, 1, tokens.shape[-1])))
        return (z + self.mlp(self.norm(z)))[:, 0]

    def _split_heads(self, x):
        return ops.reshape(x, (-1, x.shape[1], self.num_heads, x.shape[2] // self.num_heads))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp.hidden_dim,
            "gelu": self.mlp.gelu,
            "epsilon": self.norm.epsilon,
            "registers": self.registers,
        }
