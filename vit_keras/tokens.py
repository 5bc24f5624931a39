"""From pixels to tokens (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, eq. 1).

Letters: B batch, (X, Y) image height and width, C channels, P patch side, N tokens, D width.
"""

import keras
import numpy as np
from keras import ops

serializable = keras.saving.register_keras_serializable("vit_keras")


def check_image(input_shape, patch_size):
    """Raise a ValueError unless patches of side `patch_size` cover images (B, X, Y, C)."""
    _, rows, columns, channels = input_shape
    if None in (rows, columns, channels):
        raise ValueError(f"the image size must be known, not {rows}x{columns}x{channels}")
    if rows % patch_size or columns % patch_size:
        raise ValueError(f"patch_size={patch_size} does not divide the image {rows}x{columns}")


def tokens_shape(input_shape, patch_size, width):
    """(B, X, Y, C) -> (B, XY / P², D)."""
    batch, rows, columns, _ = input_shape
    return (batch, (rows // patch_size) * (columns // patch_size), width)


@serializable
class PatchEmbedding(keras.layers.Layer):
    """Cut an image into patches and project each: (B, X, Y, C) -> (B, XY / P², D).

    The x E of eq. 1. A convolution of stride P written as one matrix product; `projection.kernel`
    is the convolution's kernel (P, P, C, D) with its first three axes flattened.

    Args:
        patch_size: P.
        width: D.

    Raises:
        ValueError: X or Y is not a multiple of P.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.width = width
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape):
        check_image(input_shape, self.patch_size)
        self.image_shape = tuple(input_shape[1:])
        self.projection.build((None, None, self.patch_size**2 * input_shape[-1]))

    def call(self, images):
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                "images of shape (B, {}, {}, {}) are needed, not {}; a single image goes in as "
                "images[None]".format(*self.image_shape, tuple(images.shape))
            )
        rows, columns, channels = self.image_shape
        p, grid = self.patch_size, (rows // self.patch_size, columns // self.patch_size)
        patches = ops.reshape(images, (-1, grid[0], p, grid[1], p, channels))
        patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
        patches = ops.reshape(patches, (-1, grid[0] * grid[1], p * p * channels))
        return self.projection(patches)

    def compute_output_shape(self, input_shape):
        return tokens_shape(input_shape, self.patch_size, self.width)

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "width": self.width}


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


@serializable
class PositionEmbedding(keras.layers.Layer):
    """Add a learnt vector to each position: (B, N, D) -> (B, N, D). The E_pos of eq. 1."""

    def build(self, input_shape):
        self.embedding = self.add_weight(
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="position_embedding",
        )

    def call(self, tokens):
        return tokens + ops.cast(self.embedding, tokens.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class SinCos2D(keras.layers.Layer):
    """Add to each patch fixed waves of its row and column: (B, N, D) -> (B, N, D).

    Beyer et al. 2022 (https://arxiv.org/abs/2205.01580): nothing to learn, so small data and short
    trainings know from the start which patches are neighbours. A class token gets zeros.

    Args:
        grid: (rows, columns) of patches, N of them or, behind a class token, N - 1.

    Raises:
        ValueError: D is not a multiple of 4, or N does not fit the grid.
    """

    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)

    def build(self, input_shape):
        _, tokens, width = input_shape
        extra = tokens - self.grid[0] * self.grid[1]
        if width % 4 or extra not in (0, 1):
            raise ValueError(
                f"{tokens} tokens of width {width} do not fit a grid of {self.grid} patches and "
                "a width that 4 divides"
            )
        self.waves = np.pad(sincos2d(self.grid, width), ((extra, 0), (0, 0)))

    def call(self, tokens):
        return tokens + ops.cast(self.waves, tokens.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "grid": self.grid}


def sincos2d(grid, width):
    """sin and cos of column and row at D / 4 frequencies each: (rows, columns) -> (N, D)."""
    frequencies = 10_000.0 ** -np.linspace(0, 1, width // 4)
    row, column = (place.reshape(-1, 1) * frequencies for place in np.indices(grid))
    waves = [np.sin(column), np.cos(column), np.sin(row), np.cos(row)]
    return np.concatenate(waves, axis=1).astype("float32")
