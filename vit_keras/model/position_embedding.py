"""Positions as rotations (Heo et al. 2024, "Rotary Position Embedding for Vision Transformer",
https://arxiv.org/abs/2403.13298).

Letters: B batch, N tokens, H heads, K width of a head.
"""

import math

import keras
import numpy as np
from keras import ops
from PIL import Image


def resize_positions(
    embedding: np.ndarray, old: tuple[int, int], new: tuple[int, int]
) -> np.ndarray:
    """Positions for another grid of patches: (1, E + rows columns, D) -> (1, E + ROWS COLUMNS, D).

    Bicubic with antialias, as timm's `resample_abs_pos_embed` has it; the E tokens in front (a
    class token) have no place in the grid and stay as they are.

    Args:
        embedding: E and D are read from its shape.
        old: (rows, columns).
        new: (ROWS, COLUMNS).
    """
    extra = embedding.shape[1] - old[0] * old[1]
    width = embedding.shape[-1]
    planes = embedding[0, extra:].reshape(*old, width).transpose(2, 0, 1).astype("float32")
    size = (new[1], new[0])  # Pillow's order
    resized = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(planes)
    ]
    patches = np.stack(resized, axis=-1).reshape(1, -1, width)
    return np.concatenate([embedding[:, :extra], patches], axis=1)


serializable = keras.saving.register_keras_serializable("vit_keras")

# Of the frequencies base^(-4t / K), t = 0 ... K / 4 - 1, as the paper has them: an image has fewer
# positions a side than a text, so the base is smaller than a language model's 10,000.
BASES = {"rope2d": 100.0, "rope_mixed": 10.0}


@serializable
class Rotary(keras.layers.Layer):
    """Turn queries and keys by where their patch lies: two of (B, N, H, K) -> two of the same.

    Channels j and j + K / 2 are a point in the plane, turned by the angle fx_j x + fy_j y of the
    patch in column x and row y. A query and a key so turned agree as much as the offset between
    their patches says, wherever both lie, and at any size of the image. Tokens before the patches
    (class, registers) are not turned.

    Args:
        grid: (rows, columns) of patches, the last of the N tokens.
        kind: `rope2d`, half of the points turned by x and half by y (the paper's RoPE-Axial, as
            EVA-02 and DINOv3 have it); or `rope_mixed`, f learned by each head (RoPE-Mixed).

    Raises:
        ValueError: K is not a multiple of 4, or N does not fit the grid.
    """

    def __init__(self, grid, kind="rope2d", **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.kind = kind

    def build(self, input_shape):
        _, tokens, heads, width = input_shape
        rows, columns = np.indices(self.grid).reshape(2, -1)
        extra = tokens - len(rows)
        if width % 4 or extra < 0:
            raise ValueError(
                f"{tokens} tokens with heads of width {width} do not fit a grid of {self.grid} "
                "patches and a width that 4 divides"
            )
        places = np.stack([columns, rows], axis=-1).astype("float32")
        self.places = np.pad(places, ((extra, 0), (0, 0)))  # (N, 2); at (0, 0) nothing is turned
        magnitudes = BASES[self.kind] ** -np.linspace(0, 1, width // 4, endpoint=False)
        magnitudes = magnitudes.astype("float32")
        if self.kind == "rope2d":
            zeros = np.zeros_like(magnitudes)
            self.frequencies = np.stack(
                [np.append(magnitudes, zeros)[None], np.append(zeros, magnitudes)[None]]
            )  # (2, 1, K / 2): of x and of y, the same in each head
            return
        self.frequencies = self.add_weight(
            shape=(2, heads, width // 2),
            initializer=lambda shape, dtype: _mixed(magnitudes, shape[1], dtype),
            name="frequencies",
            autocast=False,  # bfloat16 would round an angle by up to 1/8 in the thirtieth column
        )

    def call(self, q, k, kept=None):
        """Turn `q` and `k`; `kept` (B, n) says which of the N tokens they are, if not all."""
        places = ops.convert_to_tensor(self.places)  # (N, 2)
        if kept is not None:
            places = ops.take(places, kept, axis=0)  # (B, n, 2)
        x, y = places[..., :1, None], places[..., 1:, None]
        of_x, of_y = (ops.cast(self.frequencies[i], "float32") for i in (0, 1))
        angles = of_x * x + of_y * y  # ([B,] n, H or 1, K / 2), in full precision always
        cos, sin = ops.cast(ops.cos(angles), q.dtype), ops.cast(ops.sin(angles), q.dtype)
        return _rotated(q, cos, sin), _rotated(k, cos, sin)

    def compute_output_shape(self, input_shape):
        return input_shape, input_shape

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "kind": self.kind}


def _rotated(points, cos, sin):
    """(a + ib)(cos + i sin) with a the first half of the channels and b the second."""
    a, b = ops.split(points, 2, axis=-1)
    return ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _mixed(magnitudes, heads, dtype):
    """(2, H, K / 2): axial, then turned as a whole by an angle drawn for each head."""
    angle = keras.random.uniform((heads, 1), maxval=2 * math.pi, dtype=dtype)
    of_x = [ops.cos(angle) * magnitudes, ops.cos(angle + math.pi / 2) * magnitudes]
    of_y = [ops.sin(angle) * magnitudes, ops.sin(angle + math.pi / 2) * magnitudes]
    return ops.stack([ops.concatenate(part, axis=-1) for part in (of_x, of_y)])


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
