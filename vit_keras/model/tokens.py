"""From pixels to tokens (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, eq. 1).

Letters: B batch, (X, Y) image height and width, C channels, P patch side, N tokens, D width.
"""

import keras
from keras import ops

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class ClassToken(keras.layers.Layer):
    """Put a learnt token before the patches: (B, N, D) -> (B, N + 1, D). The x_class of eq. 1."""

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
    """Put learnt tokens before the patches: (B, N, D) -> (B, N + R, D).

    Darcet et al. 2024 (https://arxiv.org/abs/2309.16588): room for what a ViT would otherwise
    write over patches that show little. They have no position, and nothing reads them in the end.

    Args:
        count: R.
        after: how many tokens stay before them: 1 behind a class token, or 0.
    """

    def __init__(self, count, after=0, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.after = after

    def build(self, input_shape):
        # Not zeros: registers that begin alike get the same gradient, and stay alike.
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
    """Leave out patches in training: (B, N, D) -> (B, n, D), and which they were, (B, n).

    Liu et al. 2023 (https://arxiv.org/abs/2208.07220); FLIP (Li et al. 2023). Each image keeps its
    own patches, of all the same number, so that shapes stay static. Nothing is scaled up.

    Args:
        rate: the share of the patches that go.
        extra: how many tokens before the patches always stay (class, registers).
    """

    def __init__(self, rate, extra=0, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.extra = extra
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, tokens, training=None):
        batch, count = ops.shape(tokens)[0], tokens.shape[1]
        everything = ops.broadcast_to(ops.arange(count, dtype="int32"), (batch, count))
        if not (training and self.rate):
            return tokens, everything
        patches = count - self.extra
        noise = keras.random.uniform((batch, patches), seed=self.seed_generator)
        left = max(1, int(patches * (1 - self.rate)))
        _, chosen = ops.top_k(noise, left, sorted=False)
        chosen = ops.cast(chosen, "int32") + self.extra
        kept = ops.concatenate([everything[:, : self.extra], chosen], axis=1)
        return ops.take_along_axis(tokens, kept[..., None], axis=1), kept

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "extra": self.extra}
