"""Weight formats of other libraries: one table per format, our weight name -> names and layout.

Letters: C channels, P patch side, D width, H heads, K = D / H, M hidden width of the MLP, N tokens.
A layout is a pair of functions between another library's array and ours. They only reshape and
transpose, so a model that is loaded from a file and saved again is equal bit for bit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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


def _as_conv(kernel: Array, arch: Architecture) -> Array:
    return kernel.reshape(arch.patch_size, arch.patch_size, -1, arch.width)


class WeightMapping(NamedTuple):
    """Source of one of our weights: an array, or several that are concatenated (q, k and v)."""

    layout: Layout
    names: tuple[str, ...]


@dataclass(frozen=True)
class WeightFormat:
    """Weight names and layouts of one library.

    Attributes:
        name: as in reports and errors.
        mappings: our weight name -> its source; `{i}` is the index of the block in both.
        patch_axes: axes of the patch kernel that are (P, C, D); None if the kernel is flattened.
        gelu: `exact` or `tanh`, unless the file states it.
        droppable: weights that a ViT does not need -> reason.
        refused: weights of a part that `build_vit` does not support -> reason.
    """

    name: str
    mappings: dict[str, WeightMapping]
    patch_axes: tuple[int, int, int] | None
    gelu: str = "exact"
    droppable: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


# Reasons in `refused` and `droppable`.
PRE_LOGITS = "a hidden layer before the head (pre-logits), which the file's head needs"
DISTILLED = "a token or head for distillation (DeiT); use the undistilled model"
REGISTERS = "register tokens (Darcet et al. 2024), which this ViT does not have"
POOLER = "a dense layer after the ViT, not part of it"

PATCH = "patch_embedding/projection/kernel"
PATCH_BIAS = "patch_embedding/projection/bias"
CLASS_TOKEN = "class_token/class_token"
POSITIONS = "position_embedding/position_embedding"
HEAD = ("head/kernel", "head/bias")
BLOCK = "encoder_block_{i}/"


def _from(layout: Layout, *names: str) -> WeightMapping:
    return WeightMapping(layout, names)


def _norm(ours: str, theirs: str, gamma: str, beta: str) -> dict[str, WeightMapping]:
    return {
        f"{ours}/gamma": _from(SAME, theirs + gamma),
        f"{ours}/beta": _from(SAME, theirs + beta),
    }


def _dense(
    ours: str, layout: Layout, kernels: list[str], biases: list[str]
) -> dict[str, WeightMapping]:
    bias_layout = TO_HEADS if layout is TO_HEADS else SAME
    return {
        f"{ours}/kernel": _from(layout, *kernels),
        f"{ours}/bias": _from(bias_layout, *biases),
    }


def _flax(ours: str, *theirs: str, layout: Layout = SAME) -> dict[str, WeightMapping]:
    return _dense(ours, layout, [f"{t}/kernel" for t in theirs], [f"{t}/bias" for t in theirs])


def _torch(ours: str, *theirs: str, layout: Layout = LINEAR) -> dict[str, WeightMapping]:
    return _dense(ours, layout, [f"{t}.weight" for t in theirs], [f"{t}.bias" for t in theirs])


def _keras(ours: str, *theirs: str, layout: Layout = SAME) -> dict[str, WeightMapping]:
    return _dense(ours, layout, [f"{t}/vars/0" for t in theirs], [f"{t}/vars/1" for t in theirs])


def _google() -> WeightFormat:
    theirs = "Transformer/encoderblock_{i}/"
    attention = theirs + "MultiHeadDotProductAttention_1/"
    norm = ("/scale", "/bias")
    return WeightFormat(
        "Google (flax)",
        {
            **_flax("patch_embedding/projection", "embedding", layout=CONV),
            CLASS_TOKEN: _from(SAME, "cls"),
            POSITIONS: _from(SAME, "Transformer/posembed_input/pos_embedding"),
            **_norm(BLOCK + "attention_norm", theirs + "LayerNorm_0", *norm),
            **_flax(
                BLOCK + "attention/qkv",
                *(attention + part for part in ("query", "key", "value")),
                layout=TO_HEADS,
            ),
            **_flax(BLOCK + "attention/projection", attention + "out", layout=FROM_HEADS),
            **_norm(BLOCK + "mlp_norm", theirs + "LayerNorm_2", *norm),
            **_flax(BLOCK + "mlp/hidden", theirs + "MlpBlock_3/Dense_0"),
            **_flax(BLOCK + "mlp/output", theirs + "MlpBlock_3/Dense_1"),
            **_norm("encoder_norm", "Transformer/encoder_norm", *norm),
            **_flax("head", "head"),
        },
        patch_axes=(0, 2, 3),
        gelu="tanh",
        refused={"pre_logits/kernel": PRE_LOGITS, "pre_logits/bias": PRE_LOGITS},
    )


def _hugging_face() -> WeightFormat:
    theirs = "encoder.layer.{i}."
    attention = theirs + "attention."
    norm = (".weight", ".bias")
    return WeightFormat(
        "Hugging Face",
        {
            **_torch(
                "patch_embedding/projection",
                "embeddings.patch_embeddings.projection",
                layout=CONV_TORCH,
            ),
            CLASS_TOKEN: _from(SAME, "embeddings.cls_token"),
            POSITIONS: _from(SAME, "embeddings.position_embeddings"),
            **_norm(BLOCK + "attention_norm", theirs + "layernorm_before", *norm),
            **_torch(
                BLOCK + "attention/qkv",
                *(f"{attention}attention.{part}" for part in ("query", "key", "value")),
            ),
            **_torch(BLOCK + "attention/projection", attention + "output.dense"),
            **_norm(BLOCK + "mlp_norm", theirs + "layernorm_after", *norm),
            **_torch(BLOCK + "mlp/hidden", theirs + "intermediate.dense"),
            **_torch(BLOCK + "mlp/output", theirs + "output.dense"),
            **_norm("encoder_norm", "layernorm", *norm),
            **_torch("head", "classifier"),
        },
        patch_axes=(2, 1, 0),
        droppable={
            "pooler.dense.weight": POOLER,
            "pooler.dense.bias": POOLER,
            "embeddings.mask_token": "used in masked pre-training only",
        },
        refused={
            "embeddings.distillation_token": DISTILLED,
            "cls_classifier.weight": DISTILLED,
            "distillation_classifier.weight": DISTILLED,
            "embeddings.register_tokens": REGISTERS,
        },
    )


def _timm() -> WeightFormat:
    theirs = "blocks.{i}."
    norm = (".weight", ".bias")
    return WeightFormat(
        "timm",
        {
            **_torch("patch_embedding/projection", "patch_embed.proj", layout=CONV_TORCH),
            CLASS_TOKEN: _from(SAME, "cls_token"),
            POSITIONS: _from(SAME, "pos_embed"),
            **_norm(BLOCK + "attention_norm", theirs + "norm1", *norm),
            **_torch(BLOCK + "attention/qkv", theirs + "attn.qkv"),
            **_torch(BLOCK + "attention/projection", theirs + "attn.proj"),
            **_norm(BLOCK + "mlp_norm", theirs + "norm2", *norm),
            **_torch(BLOCK + "mlp/hidden", theirs + "mlp.fc1"),
            **_torch(BLOCK + "mlp/output", theirs + "mlp.fc2"),
            **_norm("encoder_norm", "norm", *norm),
            **_torch("head", "head"),
        },
        patch_axes=(2, 1, 0),
        refused={
            "dist_token": DISTILLED,
            "head_dist.weight": DISTILLED,
            "head_dist.bias": DISTILLED,
            "reg_token": REGISTERS,
            "pre_logits.fc.weight": PRE_LOGITS,
            "pre_logits.fc.bias": PRE_LOGITS,
            "fc_norm.weight": "layer normalisation after the mean pooling, not before",
            "norm_pre.weight": "layer normalisation before the encoder (CLIP)",
        },
    )


def _keras_hub() -> WeightFormat:
    block = "layers/vi_t_encoder/encoder_layers/vi_t_encoder_block{suffix}/"
    embedding = "layers/vi_t_patching_and_embedding/"
    norm = ("/vars/0", "/vars/1")
    return WeightFormat(
        "keras-hub",
        {
            **_keras("patch_embedding/projection", embedding + "patch_embedding", layout=CONV),
            CLASS_TOKEN: _from(SAME, embedding + "vars/0"),
            POSITIONS: _from(UNBATCHED, embedding + "position_embedding/vars/0"),
            **_norm(BLOCK + "attention_norm", block + "layer_norm_1", *norm),
            **_keras(
                BLOCK + "attention/qkv",
                *(f"{block}mha/{part}_dense" for part in ("query", "key", "value")),
                layout=TO_HEADS,
            ),
            **_keras(BLOCK + "attention/projection", block + "mha/output_dense", layout=FROM_HEADS),
            **_norm(BLOCK + "mlp_norm", block + "layer_norm_2", *norm),
            **_keras(BLOCK + "mlp/hidden", block + "mlp/dense_1"),
            **_keras(BLOCK + "mlp/output", block + "mlp/dense_2"),
            **_norm("encoder_norm", "layers/vi_t_encoder/layer_norm", *norm),
            **_keras("head", "layers/dense"),
        },
        patch_axes=(0, 2, 3),
    )


GOOGLE, HUGGING_FACE, TIMM, KERAS_HUB = _google(), _hugging_face(), _timm(), _keras_hub()
OWN = WeightFormat(
    "vit_keras", {ours: _from(SAME, ours) for ours in GOOGLE.mappings}, patch_axes=None
)
FORMATS = (GOOGLE, HUGGING_FACE, TIMM, KERAS_HUB, OWN)


def detect_format(weights: Any) -> WeightFormat | None:
    """The format whose name for the patch kernel is among `weights`; None if there is none."""
    for weight_format in FORMATS:
        if weight_format.mappings[PATCH].names[0] in weights:
            return weight_format
    return None


def weight_mappings(
    weight_format: WeightFormat, depth: int, ours: Iterable[str] = ()
) -> dict[str, WeightMapping]:
    """Our weight name -> its source, for each weight of a ViT of `depth` blocks.

    Args:
        weight_format: the format of the file.
        depth: number of blocks.
        ours: our weight names, for the format OWN, whose names are the same.
    """
    result = {path: _from(SAME, path) for path in ours} if weight_format is OWN else {}
    for name, mapping in weight_format.mappings.items():
        for i in range(depth) if "{i}" in name else [0]:
            result[name.format(i=i)] = mapping._replace(names=names_in_block(mapping.names, i))
    return result


def names_in_block(names: tuple[str, ...], i: int) -> tuple[str, ...]:
    """Names in block `i`; keras-hub's files number blocks as block, block_1, block_2."""
    return tuple(name.format(i=i, suffix=f"_{i}" if i else "") for name in names)
