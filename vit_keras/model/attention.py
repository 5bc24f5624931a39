"""Attention of an image's tokens to each other (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929,
appendix A).

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head. Equation numbers are the
paper's.
"""

import keras
from keras import ops

from vit_keras.model.position_embedding import Rotary

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class Attention(keras.layers.Layer):
    """Multi-head self-attention: (B, N, D) -> (B, N, D).

    softmax(q kᵀ / √K) v in each of H heads (eq. 5 to 8), with q, k and v from one fused projection.

    Args:
        num_heads: H; must divide D.
        dropout: rate on the attention weights, during training only.
        qk_norm: normalise each query and key over its K channels, with a factor for each channel
            that the heads share (ViT-22B, Dehghani et al. 2023, section 2).
        rotary: `rope2d` or `rope_mixed` turns queries and keys by their place in `grid`.
        grid: (rows, columns) of patches, for `rotary`.
        epsilon: of `qk_norm`.

    Raises:
        ValueError: D is not a multiple of `num_heads`.
    """

    def __init__(
        self,
        num_heads,
        dropout=0.0,
        qk_norm=False,
        rotary=None,
        grid=None,
        epsilon=1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.epsilon = epsilon
        dtype = self.dtype_policy
        self.dropout = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")
        self.qk_norm = qk_norm
        if qk_norm:
            self.query_norm, self.key_norm = (
                keras.layers.LayerNormalization(
                    epsilon=epsilon, center=False, dtype=dtype, name=name
                )
                for name in ("query_norm", "key_norm")
            )
        self.rotary = Rotary(grid, rotary, dtype=dtype, name="rotary") if rotary else None

    def build(self, input_shape):
        batch, tokens, width = input_shape
        if width % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} does not divide the width {width}")
        # Scale 2 over the fused kernel's (D, 3D) fan is Glorot over each (D, D) part of it.
        fused_glorot = keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")
        self.qkv = keras.layers.Dense(
            3 * width, kernel_initializer=fused_glorot, dtype=self.dtype_policy, name="qkv"
        )
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")
        self.qkv.build(input_shape)
        self.projection.build(input_shape)
        compared = [self.query_norm, self.key_norm] if self.qk_norm else []
        for part in (*compared, *([self.rotary] if self.rotary else [])):
            part.build((batch, tokens, self.num_heads, width // self.num_heads))

    def call(self, x, kept=None, training=None):
        q, k, v = self.queries_keys_values(x, kept)  # each (B, N, H, K)
        x = self._attend(q, k, v, training)  # (B, N, H, K)
        return self.projection(ops.reshape(x, (-1, *x.shape[1:-2], x.shape[-2] * x.shape[-1])))

    def queries_keys_values(self, x, kept=None):
        """(B, N, D) -> q, k and v, each (B, N, H, K), as they are compared and mixed. Eq. 5.

        `kept` (B, N) says which tokens of the whole image `x` has, if not all.
        """
        tokens, width = x.shape[1:]
        qkv = ops.reshape(self.qkv(x), (-1, tokens, 3, self.num_heads, width // self.num_heads))
        q, k, v = ops.unstack(qkv, 3, axis=2)
        if self.qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        if self.rotary:
            q, k = self.rotary(q, k, kept)
        return q, k, v

    def weights_of(self, q, k):
        """softmax(q kᵀ / √K): two of (B, N, H, K) -> (B, H, N, N), rows summing to 1. Eq. 6."""
        return attention_weights(q, k)

    def _attend(self, q, k, v, training):
        # JAX has fused kernels, which never hold the (N, N) weights and so cannot drop any.
        if keras.backend.backend() == "jax" and not (training and self.dropout.rate):
            return ops.dot_product_attention(q, k, v)
        weights = self.dropout(self.weights_of(q, k), training=training)
        return ops.einsum("bhnm,bmhk->bnhk", weights, v)  # eq. 7

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout.rate,
            **self.switches,
            "epsilon": self.epsilon,
        }

    @property
    def switches(self):
        """What the paper's attention does not have, as arguments."""
        return {
            "qk_norm": self.qk_norm,
            "rotary": self.rotary and self.rotary.kind,
            "grid": self.rotary and self.rotary.grid,
        }


def attention_weights(q, k):
    """softmax(q kᵀ / √K): (B, N, H, K) and (B, M, H, K) -> (B, H, N, M), rows summing to 1."""
    q = q * q.shape[-1] ** -0.5
    scores = ops.einsum("bnhk,bmhk->bhnm", q, k)
    # Half precision cannot hold a softmax over many tokens; float32 costs nothing here.
    return ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), q.dtype)
