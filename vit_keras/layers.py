"""The encoder of a Vision Transformer (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head, M hidden width of the MLP.
Equation numbers are the paper's.
"""

import keras
from keras import ops

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class Attention(keras.layers.Layer):
    """Multi-head self-attention: (B, N, D) -> (B, N, D).

    softmax(q kᵀ / √K) v in each of H heads (eq. 5 to 8), with q, k and v from one fused projection.

    Args:
        num_heads: H; must divide D.
        dropout: rate on the attention weights, during training only.

    Raises:
        ValueError: D is not a multiple of `num_heads`.
    """

    def __init__(self, num_heads, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape):
        width = input_shape[-1]
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

    def call(self, x, training=None):
        q, k, v = self.queries_keys_values(x)  # each (B, N, H, K)
        x = self._attend(q, k, v, training)  # (B, N, H, K)
        return self.projection(ops.reshape(x, (-1, *x.shape[1:-2], x.shape[-2] * x.shape[-1])))

    def queries_keys_values(self, x):
        """(B, N, D) -> q, k and v, each (B, N, H, K). Eq. 5."""
        tokens, width = x.shape[1:]
        qkv = ops.reshape(self.qkv(x), (-1, tokens, 3, self.num_heads, width // self.num_heads))
        return ops.unstack(qkv, 3, axis=2)

    def weights_of(self, q, k):
        """softmax(q kᵀ / √K): two of (B, N, H, K) -> (B, H, N, N), rows summing to 1. Eq. 6."""
        q = q * q.shape[-1] ** -0.5
        scores = ops.einsum("bnhk,bmhk->bhnm", q, k)
        # Half precision cannot hold a softmax over many tokens; float32 costs nothing here.
        return ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), q.dtype)

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
        }


@serializable
class MLP(keras.layers.Layer):
    """Two dense layers with a GELU between them, on each token alone: (B, N, D) -> (B, N, D).

    Args:
        hidden_dim: M.
        gelu: `exact`, x Φ(x), or `tanh`, its approximation (Hendrycks & Gimpel 2016, section 2).
    """

    def __init__(self, hidden_dim, gelu="exact", **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.gelu = gelu

    def build(self, input_shape):
        self.hidden = keras.layers.Dense(self.hidden_dim, dtype=self.dtype_policy, name="hidden")
        self.output_projection = keras.layers.Dense(
            input_shape[-1], dtype=self.dtype_policy, name="output"
        )
        self.hidden.build(input_shape)
        self.output_projection.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x):
        return self.output_projection(ops.gelu(self.hidden(x), approximate=self.gelu == "tanh"))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "hidden_dim": self.hidden_dim, "gelu": self.gelu}


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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rates = {"dropout": dropout, "stochastic_depth": stochastic_depth}
        dtype = self.dtype_policy
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=dtype, name="attention_norm"
        )
        self.attention = Attention(num_heads, attention_dropout, dtype=dtype, name="attention")
        self.mlp_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=dtype, name="mlp_norm"
        )
        self.mlp = MLP(mlp_dim, gelu, dtype=dtype, name="mlp")
        self.attention_drop, self.attention_path = self._branch_dropouts("attention")
        self.mlp_drop, self.mlp_path = self._branch_dropouts("mlp")

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
        for part in (self.attention_norm, self.attention, self.mlp_norm, self.mlp):
            part.build(input_shape)

    def call(self, z, training=None):
        branch = self.attention(self.attention_norm(z), training=training)
        branch = self.attention_drop(branch, training=training)
        z = z + self.attention_path(branch, training=training)  # eq. 2
        branch = self.mlp_drop(self.mlp(self.mlp_norm(z)), training=training)
        return z + self.mlp_path(branch, training=training)  # eq. 3

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            **self.rates,
            "num_heads": self.attention.num_heads,
            "mlp_dim": self.mlp.hidden_dim,
            "attention_dropout": self.attention.dropout.rate,
            "gelu": self.mlp.gelu,
            "epsilon": self.mlp_norm.epsilon,
        }


@serializable
class Pooling(keras.layers.Layer):
    """Many tokens to one vector: (B, N, D) -> (B, D).

    Args:
        pool: `token` takes the first token (eq. 4), `mean` the average of all.
    """

    def __init__(self, pool="token", **kwargs):
        super().__init__(**kwargs)
        self.pool = pool

    def call(self, tokens):
        return tokens[:, 0] if self.pool == "token" else ops.mean(tokens, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "pool": self.pool}
