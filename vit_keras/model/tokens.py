"""Layers on the token sequence before the encoder: class token, registers, patch dropout.

Letters: B batch, N tokens, D width.
"""

import keras
from keras import ops

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class ClassToken(keras.layers.Layer):
    """Prepend a learned class token: (B, N, D) -> (B, N + 1, D).

    The x_class of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929), eq. 1.
    """

    def build(self, input_shape):
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]), initializer="zeros", name="class_token"
        )

    def call(self, patches):
        token = ops.cast(self.token, patches.dtype)
        tokens = ops.broadcast_to(token, (ops.shape(patches)[0], 1, patches.shape[-1]))
        return ops.concatenate([tokens, patches], axis=1)

    def compute_output_shape(self, input_shape):
        batch, tokens, width = input_shape
        return (batch, tokens + 1, width)


@serializable
class Registers(keras.layers.Layer):
    """Insert learned register tokens before the patches: (B, N, D) -> (B, N + R, D).

    Darcet et al. 2024 (https://arxiv.org/abs/2309.16588). Registers have no position embedding, and
    pooling ignores them.

    Args:
        count: R.
        after: number of tokens before the registers: 1 with a class token, else 0.
    """

    def __init__(self, count, after=0, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.after = after

    def build(self, input_shape):
        # Not zeros: identical registers would get identical gradients and stay identical.
        self.registers = self.add_weight(
            shape=(1, self.count, input_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="registers",
        )

    def call(self, tokens):
        registers = ops.cast(self.registers, tokens.dtype)
        registers = ops.broadcast_to(registers, (ops.shape(tokens)[0], *registers.shape[1:]))
        return ops.concatenate(
            [tokens[:, : self.after], registers, tokens[:, self.after :]], axis=1
        )

    def compute_output_shape(self, input_shape):
        batch, tokens, width = input_shape
        return (batch, tokens + self.count, width)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "after": self.after}


@serializable
class PatchDropout(keras.layers.Layer):
    """Patch dropout, in training only: (B, N, D) -> kept tokens (B, n, D), their indices (B, n).

    Liu et al. 2023 (https://arxiv.org/abs/2208.07220); FLIP (Li et al. 2023). Kept tokens are not
    scaled up. In inference n = N.

    Args:
        rate: fraction of the patches that is dropped.
        extra: number of tokens before the patches that are never dropped (class token, registers).
    """

    def __init__(self, rate, extra=0, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.extra = extra
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, tokens, training=None):
        batch, count = ops.shape(tokens)[0], tokens.shape[1]
        indices = ops.broadcast_to(ops.arange(count, dtype="int32"), (batch, count))
        if not (training and self.rate):
            return tokens, indices
        patches = count - self.extra
        noise = keras.random.uniform((batch, patches), seed=self.seed_generator)
        # The same number of patches in every image, so that shapes stay static.
        num_kept = max(1, int(patches * (1 - self.rate)))
        _, kept_patches = ops.top_k(noise, num_kept, sorted=False)
        kept_patches = ops.cast(kept_patches, "int32") + self.extra
        kept = ops.concatenate([indices[:, : self.extra], kept_patches], axis=1)
        return ops.take_along_axis(tokens, kept[..., None], axis=1), kept

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "extra": self.extra}
