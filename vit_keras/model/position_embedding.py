"""Position embeddings: learned, 2-D sine-cosine and rotary (RoPE), and interpolation to a new grid.

Letters: B batch, N tokens, D width, H heads, K = D / H width of a head. A grid is (rows, columns)
of patches.
"""

import contextlib
import math

import keras
import numpy as np
from keras import ops
from PIL import Image

serializable = keras.saving.register_keras_serializable("vit_keras")

# RoPE frequencies are base^(-4t / K), t = 0 ... K / 4 - 1. Bases from Heo et al. 2024: an image has
# fewer positions per side than a text, so they are smaller than a language model's 10,000. That of
# `rope_dinov3` is from Siméoni et al. 2025.
BASES = {"rope2d": 100.0, "rope_mixed": 10.0, "rope_dinov3": 100.0}


@serializable
class PositionEmbedding(keras.layers.Layer):
    """Learned position embedding: (B, N, D) -> (B, N, D).

    The E_pos of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929), eq. 1.
    """

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
    """Fixed 2-D sine-cosine position embedding: (B, N, D) -> (B, N, D).

    Beyer et al. 2022 (https://arxiv.org/abs/2205.01580). A class token and a distillation token get
    zeros.

    Args:
        grid: (rows, columns) of patches, which are the last of the N tokens.

    Raises:
        ValueError: D is not a multiple of 4, or N does not fit the grid.
    """

    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)

    def build(self, input_shape):
        _, tokens, width = input_shape
        extra = tokens - self.grid[0] * self.grid[1]
        if width % 4 or extra not in (0, 1, 2):
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
    rows, columns = np.indices(grid).reshape(2, -1, 1)
    row, column = rows * frequencies, columns * frequencies
    waves = [np.sin(column), np.cos(column), np.sin(row), np.cos(row)]
    return np.concatenate(waves, axis=1).astype("float32")


@serializable
class Rotary(keras.layers.Layer):
    """Rotary position embedding (RoPE): queries and keys rotated by position, (B, N, H, K) each.

    Channels j and j + K / 2 form a point in the plane, rotated by the angle fx_j x + fy_j y for the
    patch in column x and row y (Heo et al. 2024, "Rotary Position Embedding for Vision
    Transformer", https://arxiv.org/abs/2403.13298). q · k then depends on the offset between two
    patches and not on their absolute positions. Tokens before the patches (class token, registers)
    are not rotated.

    Args:
        grid: (rows, columns) of patches, which are the last of the N tokens.
        kind: `rope2d` rotates half of the points by x and half by y (axial 2-D RoPE, as in EVA-02);
            `rope_mixed` learns the frequencies fx and fy in each head (RoPE-Mixed); `rope_dinov3`
            is axial, y before x, of patch centres that are scaled to [-1, 1] times 2π, so that an
            image of any size has the same range of angles (DINOv3, Siméoni et al. 2025,
            https://arxiv.org/abs/2508.10104).

    Raises:
        ValueError: K is not a multiple of 4, or N does not fit the grid.
    """

    def __init__(self, grid, kind="rope2d", **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.kind = kind

    def build(self, input_shape):
        _, tokens, heads, width = input_shape
        extra = tokens - self.grid[0] * self.grid[1]
        if width % 4 or extra < 0:
            raise ValueError(
                f"{tokens} tokens with heads of width {width} do not fit a grid of {self.grid} "
                "patches and a width that 4 divides"
            )
        self.extra = extra
        self.positions = self._positions(self.grid)
        magnitudes = BASES[self.kind] ** -np.linspace(0, 1, width // 4, endpoint=False)
        magnitudes = magnitudes.astype("float32")
        if self.kind != "rope_mixed":
            zeros = np.zeros_like(magnitudes)
            halves = np.append(magnitudes, zeros)[None], np.append(zeros, magnitudes)[None]
            # (2, 1, K / 2): fx and fy, the same in each head
            self.frequencies = np.stack(halves if self.kind == "rope2d" else halves[::-1])
            return
        self.frequencies = self.add_weight(
            shape=(2, heads, width // 2),
            initializer=lambda shape, dtype: _mixed_frequencies(magnitudes, shape[1], dtype),
            name="frequencies",
            autocast=False,  # in bfloat16 an angle in the 30th column would be off by up to 1/8
        )

    def call(self, q, k, kept=None):
        """Rotate `q` and `k`, (B, n, H, K) each.

        `kept` (B, n): with patch dropout, the indices of the n tokens among the N; else n = N.
        """
        positions = ops.convert_to_tensor(self.positions)  # (N, 2)
        if kept is not None:
            positions = ops.take(positions, kept, axis=0)  # (B, n, 2)
        x, y = positions[..., :1, None], positions[..., 1:, None]
        fx = ops.cast(self.frequencies[0], "float32")
        fy = ops.cast(self.frequencies[1], "float32")
        angles = fx * x + fy * y  # ([B,] n, H or 1, K / 2), float32 under every precision policy
        cos, sin = ops.cast(ops.cos(angles), q.dtype), ops.cast(ops.sin(angles), q.dtype)
        return _rotate(q, cos, sin), _rotate(k, cos, sin)

    @contextlib.contextmanager
    def at(self, grid):
        """Within this context, the patches are those of another grid."""
        own, self.positions = self.positions, self._positions(grid)
        try:
            yield
        finally:
            self.positions = own

    def _positions(self, grid):
        """(N, 2) of x, y. Tokens before the patches are at (0, 0), where the angle is 0."""
        rows, columns = np.indices(grid).reshape(2, -1)
        if self.kind == "rope_dinov3":
            rows, columns = (
                2 * math.pi * ((2 * index + 1) / size - 1)
                for index, size in zip((rows, columns), grid, strict=True)
            )
        positions = np.stack([columns, rows], axis=-1).astype("float32")
        return np.pad(positions, ((self.extra, 0), (0, 0)))

    def compute_output_shape(self, input_shape):
        return input_shape, input_shape

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "kind": self.kind}


def resize_positions(
    embedding: np.ndarray,
    old: tuple[int, int],
    new: tuple[int, int],
    interpolation: str = "bicubic",
) -> np.ndarray:
    """Interpolate a position embedding to a new grid: (1, E + old N, D) -> (1, E + new N, D).

    The E tokens before the patches (a class token) are not part of the grid and are kept unchanged.

    Args:
        embedding: (1, E + rows * columns, D) of the old grid.
        old: (rows, columns) of patches.
        new: (rows, columns) of patches.
        interpolation: `bicubic` with antialiasing, as in timm's `resample_abs_pos_embed`; or
            `bicubic_aliased`, as in most models of Hugging Face.
    """
    extra = embedding.shape[1] - old[0] * old[1]
    width = embedding.shape[-1]
    if interpolation == "bicubic_aliased":
        rows, columns = (_cubic(*sizes) for sizes in zip(old, new, strict=True))
        planes = embedding[0, extra:].reshape(*old, width)
        patches = np.einsum("Rr,Cc,rcd->RCd", rows, columns, planes, optimize=True)
        patches = patches.reshape(1, -1, width).astype("float32")
        return np.concatenate([embedding[:, :extra], patches], axis=1)
    planes = embedding[0, extra:].reshape(*old, width).transpose(2, 0, 1).astype("float32")
    size = (new[1], new[0])  # Pillow takes (width, height)
    resized = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(planes)
    ]
    patches = np.stack(resized, axis=-1).reshape(1, -1, width)
    return np.concatenate([embedding[:, :extra], patches], axis=1)


def _cubic(old: int, new: int) -> np.ndarray:
    """Weights (new, old) of the cubic kernel of Keys 1981 with a = -0.75, as torch interpolates.

    Four points each, however much smaller the new grid is: no antialiasing.
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.zeros((new, old))
    for offset in (-1, 0, 1, 2):
        index = np.floor(centres) + offset
        x, a = np.abs(centres - index), -0.75
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        inside = index.clip(0, old - 1).astype(int)  # the border repeats
        np.add.at(weights, (np.arange(new), inside), np.where(x <= 1, near, far))
    return weights


def _rotate(points, cos, sin):
    """(a + ib)(cos + i sin), where a is the first half of the channels and b the second."""
    a, b = ops.split(points, 2, axis=-1)
    return ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _mixed_frequencies(magnitudes, heads, dtype):
    """Initial fx and fy, (2, H, K / 2): axial frequencies rotated by a random angle per head."""
    angle = keras.random.uniform((heads, 1), maxval=2 * math.pi, dtype=dtype)
    fx = [ops.cos(angle) * magnitudes, ops.cos(angle + math.pi / 2) * magnitudes]
    fy = [ops.sin(angle) * magnitudes, ops.sin(angle + math.pi / 2) * magnitudes]
    return ops.stack([ops.concatenate(fx, axis=-1), ops.concatenate(fy, axis=-1)])
