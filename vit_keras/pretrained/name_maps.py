"""How others name and lay out the weights of a ViT: one table a dialect, our name -> theirs.

Letters: C channels, P patch side, D width, H heads, K = D / H, M hidden width of the MLP, N tokens.
A layout is a pair of functions between their array and ours, exact both ways: nothing but moving
numbers about, so a model that came from a file goes back into it bit for bit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vit_keras.model.architecture import Architecture

Array = np.ndarray
Weights = Mapping[str, Array]


class Layout(NamedTuple):
    """Their array to ours, and ours to theirs for a given architecture."""

    to_ours: Callable[[Array], Array]
    to_theirs: Callable[[Array, Architecture], Array]


SAME = Layout(lambda x: x, lambda x, arch: x)
# torch's linear layers are (out, in).
LINEAR = Layout(lambda x: x.T, lambda x, arch: x.T)
# The patch projection as a convolution: (P, P, C, D), and torch's (D, C, P, P).
CONV = Layout(lambda x: x.reshape(-1, x.shape[-1]), lambda x, arch: _as_conv(x, arch))
CONV_TORCH = Layout(
    lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
    lambda x, arch: _as_conv(x, arch).transpose(3, 2, 0, 1),
)
# Attention with an axis for the heads: kernels (D, H, K), biases (H, K); and (H, K, D) at its end.
TO_HEADS = Layout(
    lambda x: x.reshape(*x.shape[:-2], -1),
    lambda x, arch: x.reshape(*x.shape[:-1], arch.num_heads, -1),
)
FROM_HEADS = Layout(
    lambda x: x.reshape(-1, x.shape[-1]),
    lambda x, arch: x.reshape(arch.num_heads, -1, x.shape[-1]),
)
UNBATCHED = Layout(lambda x: x[None], lambda x, arch: x[0])  # positions as (N, D)


def _as_conv(kernel: Array, arch: Architecture) -> Array:
    return kernel.reshape(arch.patch_size, arch.patch_size, -1, arch.width)


class WeightMapping(NamedTuple):
    """Where a weight of ours lies: one name of theirs, or several that ours joins end to end."""

    layout: Layout
    names: tuple[str, ...]


@dataclass(frozen=True)
class WeightFormat:
    """One family of files.

    Attributes:
        name: as in reports and errors.
        places: our weight's name -> its place; `{i}` is a block's number from 0, in both.
        patch_axes: which axes of their patch kernel are (P, C, D); None when they are joined.
        gelu: the form that the family's models were trained with, unless their file says.
        droppable: weights that nothing here needs -> why.
        refused: weights of what our ViT does not have -> what they are.
    """

    name: str
    places: dict[str, WeightMapping]
    patch_axes: tuple[int, int, int] | None
    gelu: str = "exact"
    droppable: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


# Why a weight has no place in our ViT.
PRE_LOGITS = "a hidden layer before the head, which the file's head cannot do without"
DISTILLED = "a second token or head for distillation (DeiT): take the undistilled model"
REGISTERS = "register tokens (Darcet et al. 2024), which this ViT does not have"
POOLER = "a dense layer after the ViT, no part of it"

PATCH = "patch_embedding/projection/kernel"
CLASS_TOKEN = "class_token/class_token"
POSITIONS = "position_embedding/position_embedding"
HEAD = ("head/kernel", "head/bias")
BLOCK = "encoder_block_{i}/"


def _at(layout: Layout, *names: str) -> WeightMapping:
    return WeightMapping(layout, names)


def _norm(ours: str, theirs: str, gamma: str, beta: str) -> dict[str, WeightMapping]:
    return {f"{ours}/gamma": _at(SAME, theirs + gamma), f"{ours}/beta": _at(SAME, theirs + beta)}


def _dense(
    ours: str, layout: Layout, kernels: list[str], biases: list[str]
) -> dict[str, WeightMapping]:
    bias_layout = TO_HEADS if layout is TO_HEADS else SAME
    return {f"{ours}/kernel": _at(layout, *kernels), f"{ours}/bias": _at(bias_layout, *biases)}


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
            CLASS_TOKEN: _at(SAME, "cls"),
            POSITIONS: _at(SAME, "Transformer/posembed_input/pos_embedding"),
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
            CLASS_TOKEN: _at(SAME, "embeddings.cls_token"),
            POSITIONS: _at(SAME, "embeddings.position_embeddings"),
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
            "embeddings.mask_token": "it stands for hidden patches in masked pre-training only",
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
            CLASS_TOKEN: _at(SAME, "cls_token"),
            POSITIONS: _at(SAME, "pos_embed"),
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
            "fc_norm.weight": "it normalises after the average and not before",
            "norm_pre.weight": "it normalises the embedded tokens, as CLIP has it",
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
            CLASS_TOKEN: _at(SAME, embedding + "vars/0"),
            POSITIONS: _at(UNBATCHED, embedding + "position_embedding/vars/0"),
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
OWN = WeightFormat("vit_keras", {ours: _at(SAME, ours) for ours in GOOGLE.places}, patch_axes=None)
FORMATS = (GOOGLE, HUGGING_FACE, TIMM, KERAS_HUB, OWN)


def detect_format(weights: Any) -> WeightFormat | None:
    """The dialect that has a patch embedding under one of these names; None if none has."""
    for dialect in FORMATS:
        if dialect.places[PATCH].names[0] in weights:
            return dialect
    return None


def weight_mappings(
    dialect: WeightFormat, depth: int, ours: Iterable[str] = ()
) -> dict[str, WeightMapping]:
    """The dialect's table for `depth` blocks: every name of ours, block by block.

    A file of our own has each weight under the name that the model has it: `ours` are those.
    """
    result = {path: _at(SAME, path) for path in ours} if dialect is OWN else {}
    for name, place in dialect.places.items():
        for i in range(depth) if "{i}" in name else [0]:
            result[name.format(i=i)] = place._replace(names=mappings_in_block(place.names, i))
    return result


def mappings_in_block(names: tuple[str, ...], i: int) -> tuple[str, ...]:
    """Keras numbers layers of one kind as: block, block_1, block_2."""
    return tuple(name.format(i=i, suffix=f"_{i}" if i else "") for name in names)
