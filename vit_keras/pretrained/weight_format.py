"""What a weight format is: a table of our weight names -> names and layouts of another library.

Letters: C channels, P patch side, D width, H heads, K = D / H, M hidden width of the MLP, N tokens.
A layout is a pair of functions between another library's array and ours. They only reshape and
transpose, so a model that is loaded from a file and saved again is equal bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np

from vit_keras.model.architecture import Architecture

Array = np.ndarray
Weights = Mapping[str, Array]


class Layout(NamedTuple):
    """Conversion of the other library's array to ours and, for an architecture, back."""

    to_ours: Callable[[Array], Array]
    to_theirs: Callable[[Array, Architecture], Array]


SAME = Layout(lambda x: x, lambda x, arch: x)
# Kernels of torch's linear layers are (out, in).
LINEAR = Layout(lambda x: x.T, lambda x, arch: x.T)
# The patch projection as a convolution: (P, P, C, D), and torch's (D, C, P, P).
CONV = Layout(lambda x: x.reshape(-1, x.shape[-1]), lambda x, arch: _as_conv(x, arch))
CONV_TORCH = Layout(
    lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
    lambda x, arch: _as_conv(x, arch).transpose(3, 2, 0, 1),
)
# Attention with an axis for the heads: kernels (D, H, K), biases (H, K); output kernel (H, K, D).
TO_HEADS = Layout(
    lambda x: x.reshape(*x.shape[:-2], -1),
    lambda x, arch: x.reshape(*x.shape[:-1], arch.num_heads, -1),
)
FROM_HEADS = Layout(
    lambda x: x.reshape(-1, x.shape[-1]),
    lambda x, arch: x.reshape(arch.num_heads, -1, x.shape[-1]),
)
UNBATCHED = Layout(lambda x: x[None], lambda x, arch: x[0])  # position embedding (N, D)
VECTOR = Layout(lambda x: x.reshape(1, 1, -1), lambda x, arch: x.reshape(-1))  # class token (D,)


def _as_conv(kernel: Array, arch: Architecture) -> Array:
    return kernel.reshape(arch.patch_size, arch.patch_size, -1, arch.width)


class WeightMapping(NamedTuple):
    """Source of one of our weights: an array, or several that are concatenated (q, k and v).

    `name/1` is the second of the weights in an array of `WeightFormat.fused`.
    """

    layout: Layout
    names: tuple[str, ...]


class Pixels(NamedTuple):
    """Mean and deviation that pixels are normalised with, from 0 to 1, and whose they are."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class WeightFormat:
    """Weight names and layouts of one library.

    Attributes:
        name: as in reports and errors.
        mappings: our weight name -> its source; `{i}` is the index of the block in both.
        patch_axes: axes of the patch kernel that are (P, C, D); None if the kernel is flattened.
        gelu: as in `Architecture`, unless the file states it.
        droppable: patterns of weights that a ViT does not need -> reason.
        refused: weights of a part that `build_vit` does not support -> reason.
        mark: pattern of a weight that tells this format from others with its patch kernel.
        arch: other fields of `Architecture` that the family has, unless the file states them.
        pixels: name, mean and deviation of the pixels of the family, unless the file states them.
        zeros: patterns of weights that the family does without: zeros take their place.
        fused: patterns of arrays that stack several weights along the first axis -> how many.
        interpolation: of the position embedding, as in `resize_positions`.
    """

    name: str
    mappings: dict[str, WeightMapping]
    patch_axes: tuple[int, int, int] | None
    gelu: str = "exact"
    droppable: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    mark: str = "*"
    arch: dict[str, Any] = field(default_factory=dict)
    pixels: Pixels | None = None
    zeros: tuple[str, ...] = ()
    fused: dict[str, int] = field(default_factory=dict)
    interpolation: str = "bicubic"

    def lacks(self, name: str) -> bool:
        """Whether the family has no such weight: a missing one stands for zeros."""
        return any(fnmatch(name, pattern) for pattern in self.zeros)

    def drops(self, name: str) -> str | None:
        """Why a ViT does not need the weight; None if it does."""
        reasons = self.droppable.items()
        return next((why for pattern, why in reasons if fnmatch(name, pattern)), None)


# Reasons in `refused` and `droppable`.
PRE_LOGITS = "a hidden layer before the head (pre-logits), which the file's head needs"
TWO_POOLS = "a head of the class token and the mean of the patches, side by side"
BEFORE_NORM = "a head of the mean of the patches before the last normalisation"
ONE_HEAD = "a head of the class token alone, beside a distillation token"
MASK_TOKEN = "used in masked pre-training only"
POOLER = "a dense layer after the ViT, not part of it"
DECODER = "the decoder of masked pre-training (MAE)"
TEXT = "the text tower, or the projection to its embedding"

# Parts of the file's head, which a new head does without.
WITH_HEAD = (PRE_LOGITS, TWO_POOLS, BEFORE_NORM, ONE_HEAD)

PATCH = "patch_embedding/projection/kernel"
PATCH_BIAS = "patch_embedding/projection/bias"
CLASS_TOKEN = "class_token/class_token"
DISTILLATION_TOKEN = "distillation_token/distillation_token"
POSITIONS = "position_embedding/position_embedding"
REGISTERS = "registers/registers"
PROBE = "pooling/probe"
HEAD = ("head/kernel", "head/bias")
DISTILLATION_HEAD = ("head/distillation_kernel", "head/distillation_bias")
LAYER_SCALES = ("encoder_block_{i}/attention_scale/gamma", "encoder_block_{i}/mlp_scale/gamma")
BLOCK = "encoder_block_{i}/"


def source(layout: Layout, *names: str) -> WeightMapping:
    return WeightMapping(layout, names)


def layer_norm(ours: str, theirs: str, gamma: str, beta: str) -> dict[str, WeightMapping]:
    return {
        f"{ours}/gamma": source(SAME, theirs + gamma),
        f"{ours}/beta": source(SAME, theirs + beta),
    }


def torch_norm(ours: str, theirs: str) -> dict[str, WeightMapping]:
    return layer_norm(ours, theirs, ".weight", ".bias")


def dense(
    ours: str, layout: Layout, kernels: list[str], biases: list[str]
) -> dict[str, WeightMapping]:
    bias_layout = TO_HEADS if layout is TO_HEADS else SAME
    return {
        f"{ours}/kernel": source(layout, *kernels),
        f"{ours}/bias": source(bias_layout, *biases),
    }


def flax_dense(ours: str, *theirs: str, layout: Layout = SAME) -> dict[str, WeightMapping]:
    return dense(ours, layout, [f"{t}/kernel" for t in theirs], [f"{t}/bias" for t in theirs])


def torch_dense(ours: str, *theirs: str, layout: Layout = LINEAR) -> dict[str, WeightMapping]:
    return dense(ours, layout, [f"{t}.weight" for t in theirs], [f"{t}.bias" for t in theirs])


def keras_dense(ours: str, *theirs: str, layout: Layout = SAME) -> dict[str, WeightMapping]:
    return dense(ours, layout, [f"{t}/vars/0" for t in theirs], [f"{t}/vars/1" for t in theirs])


def names_in_block(names: tuple[str, ...], i: int) -> tuple[str, ...]:
    """Names in block `i`; keras-hub's files number blocks as block, block_1, block_2."""
    return tuple(name.format(i=i, suffix=f"_{i}" if i else "") for name in names)
