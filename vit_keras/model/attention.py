"""Multi-head self-attention (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head. Equation numbers are the
paper's.
"""

import keras
from keras import ops

from vit_keras.model.position_embedding import Rotary
from vit_keras.model.quantization import Composite

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class Attention(Composite):
    """Multi-head self-attention: (B, N, D) -> (B, N, D).

    softmax(q kᵀ / √K) v in each of H heads (eq. 5 to 8), with q, k and v from one fused projection.

    Args:
        num_heads: H; must divide D.
        dropout: rate on the attention weights, during training only.
        qk_norm: layer normalisation of queries and keys over the K channels of a head, with a
            scale that the heads share and no bias (ViT-22B, Dehghani et al. 2023, section 2).
        rotary: rotary position embedding of queries and keys, `rope2d`, `rope_mixed` or
            `rope_dinov3`; None for no rotation.
        grid: (rows, columns) of patches, needed with `rotary`.
        epsilon: of `qk_norm`.
        bias: whether the two projections have one.

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
        bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.epsilon = epsilon
        self.bias = bias
        dtype = self.dtype_policy
        self.dropout = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")
        self.qk_norm = qk_norm
        if qk_norm:
            norm_kwargs = dict(epsilon=epsilon, center=False, dtype=dtype)
            self.query_norm = keras.layers.LayerNormalization(name="query_norm", **norm_kwargs)
            self.key_norm = keras.layers.LayerNormalization(name="key_norm", **norm_kwargs)
        self.rotary = Rotary(grid, rotary, dtype=dtype, name="rotary") if rotary else None

    def build(self, input_shape):
        batch, tokens, width = input_shape
        if width % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} does not divide the width {width}")
        # Scale 2 over the fused kernel's (D, 3D) fan is Glorot over each (D, D) part of it.
        fused_glorot = keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")
        dense_kwargs = dict(use_bias=self.bias, dtype=self.dtype_policy)
        self.qkv = keras.layers.Dense(
            3 * width, kernel_initializer=fused_glorot, name="qkv", **dense_kwargs
        )
        self.projection = keras.layers.Dense(width, name="projection", **dense_kwargs)
        self.qkv.build(input_shape)
        self.projection.build(input_shape)
        head_shape = (batch, tokens, self.num_heads, width // self.num_heads)
        if self.qk_norm:
            self.query_norm.build(head_shape)
            self.key_norm.build(head_shape)
        if self.rotary:
            self.rotary.build(head_shape)

    def call(self, x, kept=None, training=None):
        """(B, N, D) -> (B, N, D); `kept` as in `queries_keys_values`."""
        q, k, v = self.queries_keys_values(x, kept)  # each (B, N, H, K)
        x = self._attend(q, k, v, training)  # (B, N, H, K)
        return self.projection(ops.reshape(x, (-1, *x.shape[1:-2], x.shape[-2] * x.shape[-1])))

    def queries_keys_values(self, x, kept=None):
        """(B, N, D) -> q, k and v, each (B, N, H, K), after QK normalisation and rotation. Eq. 5.

        `kept`: see `Rotary.call`.
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
        # Fused kernels never hold the (N, N) weights, so dropout cannot be applied.
        if self._has_fused_kernel() and not (training and self.dropout.rate):
            return ops.dot_product_attention(q, k, v)
        weights = self.dropout(self.weights_of(q, k), training=training)
        return ops.einsum("bhnm,bmhk->bnhk", weights, v)  # eq. 7

    def _has_fused_kernel(self):
        """JAX has one, but not of float16 on a CPU."""
        if keras.backend.backend() != "jax":
            return False
        import jax

        return self.compute_dtype != "float16" or jax.default_backend() != "cpu"

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout.rate,
            "qk_norm": self.qk_norm,
            "rotary": self.rotary.kind if self.rotary else None,
            "grid": self.rotary.grid if self.rotary else None,
            "epsilon": self.epsilon,
            "bias": self.bias,
        }


def attention_weights(q, k):
    """softmax(q kᵀ / √K): (B, N, H, K) and (B, M, H, K) -> (B, H, N, M), rows summing to 1."""
    q = q * q.shape[-1] ** -0.5
    scores = ops.einsum("bnhk,bmhk->bhnm", q, k)
    # Half precision cannot hold a softmax over many tokens; float32 costs nothing here.
    return ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), q.dtype)
