"""Weight formats of other libraries for the plain ViT, and which format a file has.

Formats of further families are in `backbone_maps`.
"""

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

from vit_keras.pretrained import backbone_maps
from vit_keras.pretrained.weight_format import (
    BLOCK,
    CLASS_TOKEN,
    CONV,
    CONV_TORCH,
    DECODER,
    DISTILLATION_HEAD,
    DISTILLATION_TOKEN,
    FROM_HEADS,
    HEAD,
    LAYER_SCALES,
    LINEAR,
    MASK_TOKEN,
    ONE_HEAD,
    PATCH,
    POOLER,
    POSITIONS,
    PRE_LOGITS,
    PROBE,
    REGISTERS,
    SAME,
    TO_HEADS,
    UNBATCHED,
    WeightFormat,
    WeightMapping,
    flax_dense,
    keras_dense,
    layer_norm,
    names_in_block,
    source,
    torch_dense,
    torch_norm,
)


def _google() -> WeightFormat:
    theirs = "Transformer/encoderblock_{i}/"
    attention = theirs + "MultiHeadDotProductAttention_1/"
    norm = ("/scale", "/bias")
    return WeightFormat(
        "Google (flax)",
        {
            **flax_dense("patch_embedding/projection", "embedding", layout=CONV),
            CLASS_TOKEN: source(SAME, "cls"),
            POSITIONS: source(SAME, "Transformer/posembed_input/pos_embedding"),
            **layer_norm(BLOCK + "attention_norm", theirs + "LayerNorm_0", *norm),
            **flax_dense(
                BLOCK + "attention/qkv",
                *(attention + part for part in ("query", "key", "value")),
                layout=TO_HEADS,
            ),
            **flax_dense(BLOCK + "attention/projection", attention + "out", layout=FROM_HEADS),
            **layer_norm(BLOCK + "mlp_norm", theirs + "LayerNorm_2", *norm),
            **flax_dense(BLOCK + "mlp/hidden", theirs + "MlpBlock_3/Dense_0"),
            **flax_dense(BLOCK + "mlp/output", theirs + "MlpBlock_3/Dense_1"),
            **layer_norm("encoder_norm", "Transformer/encoder_norm", *norm),
            **flax_dense("head", "head"),
        },
        patch_axes=(0, 2, 3),
        gelu="tanh",
        refused={"pre_logits/kernel": PRE_LOGITS, "pre_logits/bias": PRE_LOGITS},
    )


def _hugging_face() -> WeightFormat:
    theirs = "encoder.layer.{i}."
    attention = theirs + "attention."
    return WeightFormat(
        "Hugging Face",
        {
            **torch_dense(
                "patch_embedding/projection",
                "embeddings.patch_embeddings.projection",
                layout=CONV_TORCH,
            ),
            CLASS_TOKEN: source(SAME, "embeddings.cls_token"),
            POSITIONS: source(SAME, "embeddings.position_embeddings"),
            **torch_norm(BLOCK + "attention_norm", theirs + "layernorm_before"),
            **torch_dense(
                BLOCK + "attention/qkv",
                *(f"{attention}attention.{part}" for part in ("query", "key", "value")),
            ),
            **torch_dense(BLOCK + "attention/projection", attention + "output.dense"),
            **torch_norm(BLOCK + "mlp_norm", theirs + "layernorm_after"),
            **torch_dense(BLOCK + "mlp/hidden", theirs + "intermediate.dense"),
            **torch_dense(BLOCK + "mlp/output", theirs + "output.dense"),
            **torch_norm("encoder_norm", "layernorm"),
            **torch_dense("head", "classifier"),
        },
        patch_axes=(2, 1, 0),
        droppable={
            "pooler.dense.weight": POOLER,
            "pooler.dense.bias": POOLER,
            "embeddings.mask_token": MASK_TOKEN,
            "decoder.decoder_*": DECODER,
            "decoder.mask_token": DECODER,
        },
        interpolation="bicubic_aliased",
    )


def _timm() -> WeightFormat:
    theirs = "blocks.{i}."
    return WeightFormat(
        "timm",
        {
            **torch_dense("patch_embedding/projection", "patch_embed.proj", layout=CONV_TORCH),
            CLASS_TOKEN: source(SAME, "cls_token"),
            POSITIONS: source(SAME, "pos_embed"),
            REGISTERS: source(SAME, "reg_token"),
            **torch_norm("pre_norm", "norm_pre"),
            **torch_norm(BLOCK + "attention_norm", theirs + "norm1"),
            **torch_dense(BLOCK + "attention/qkv", theirs + "attn.qkv"),
            **torch_dense(BLOCK + "attention/projection", theirs + "attn.proj"),
            **torch_norm(BLOCK + "mlp_norm", theirs + "norm2"),
            **torch_dense(BLOCK + "mlp/hidden", theirs + "mlp.fc1"),
            **torch_dense(BLOCK + "mlp/output", theirs + "mlp.fc2"),
            **torch_norm("encoder_norm", "norm"),
            PROBE: source(SAME, "attn_pool.latent"),
            **torch_dense("pooling/query", "attn_pool.q"),
            **backbone_maps.parts_of("pooling/key", "attn_pool.kv.{}", 0),
            **backbone_maps.parts_of("pooling/value", "attn_pool.kv.{}", 1),
            **torch_dense("pooling/projection", "attn_pool.proj"),
            **torch_norm("pooling/norm", "attn_pool.norm"),
            **torch_dense("pooling/mlp/hidden", "attn_pool.mlp.fc1"),
            **torch_dense("pooling/mlp/output", "attn_pool.mlp.fc2"),
            **torch_dense("head", "head"),
        },
        patch_axes=(2, 1, 0),
        fused={"attn_pool.kv.*": 2},
        refused={
            "pre_logits.fc.weight": PRE_LOGITS,
            "pre_logits.fc.bias": PRE_LOGITS,
            "fc_norm.weight": "layer normalisation after the mean pooling, not before",
        },
    )


def _keras_hub() -> WeightFormat:
    block = "layers/vi_t_encoder/encoder_layers/vi_t_encoder_block{suffix}/"
    embedding = "layers/vi_t_patching_and_embedding/"
    norm = ("/vars/0", "/vars/1")
    return WeightFormat(
        "keras-hub",
        {
            **keras_dense("patch_embedding/projection", embedding + "patch_embedding", layout=CONV),
            CLASS_TOKEN: source(SAME, embedding + "vars/0"),
            POSITIONS: source(UNBATCHED, embedding + "position_embedding/vars/0"),
            **layer_norm(BLOCK + "attention_norm", block + "layer_norm_1", *norm),
            **keras_dense(
                BLOCK + "attention/qkv",
                *(f"{block}mha/{part}_dense" for part in ("query", "key", "value")),
                layout=TO_HEADS,
            ),
            **keras_dense(
                BLOCK + "attention/projection", block + "mha/output_dense", layout=FROM_HEADS
            ),
            **layer_norm(BLOCK + "mlp_norm", block + "layer_norm_2", *norm),
            **keras_dense(BLOCK + "mlp/hidden", block + "mlp/dense_1"),
            **keras_dense(BLOCK + "mlp/output", block + "mlp/dense_2"),
            **layer_norm("encoder_norm", "layers/vi_t_encoder/layer_norm", *norm),
            **keras_dense("head", "layers/dense"),
        },
        patch_axes=(0, 2, 3),
    )


def _distilled(
    of: WeightFormat, token: str, heads: tuple[str, str], refused: dict[str, str]
) -> WeightFormat:
    """DeiT with a distillation token (Touvron et al. 2021), in the format of a ViT."""
    mappings = {ours: theirs for ours, theirs in of.mappings.items() if ours not in HEAD}
    mappings[DISTILLATION_TOKEN] = source(SAME, token)
    for ours, name in zip((HEAD, DISTILLATION_HEAD), heads, strict=True):
        mappings[ours[0]] = source(LINEAR, f"{name}.weight")
        mappings[ours[1]] = source(SAME, f"{name}.bias")
    return replace(
        of,
        name=f"{of.name} (distilled DeiT)",
        mappings=mappings,
        mark=token,
        arch={"distillation_token": True},
        refused=refused,
        pixels=backbone_maps.IMAGENET_PIXELS,
    )


GOOGLE, HUGGING_FACE, TIMM, KERAS_HUB = _google(), _hugging_face(), _timm(), _keras_hub()
HUGGING_FACE_DISTILLED = _distilled(
    HUGGING_FACE,
    "embeddings.distillation_token",
    ("cls_classifier", "distillation_classifier"),
    refused={"classifier.weight": ONE_HEAD, "classifier.bias": ONE_HEAD},
)
TIMM_DISTILLED = _distilled(TIMM, "dist_token", ("head", "head_dist"), TIMM.refused)
TIMM_CLIP = replace(
    TIMM,
    name="timm (CLIP)",
    mark="norm_pre.weight",
    zeros=("patch_embed.proj.bias",),
    arch={"norm_epsilon": 1e-5},
    pixels=backbone_maps.CLIP_PIXELS,
)
TIMM_DINOV3 = replace(
    TIMM,
    name="timm (DINOv3)",
    mappings={
        **{ours: theirs for ours, theirs in TIMM.mappings.items() if ours != POSITIONS},
        BLOCK + "attention/qkv/bias": source(
            SAME, *(f"blocks.{{i}}.attn.{part}_bias" for part in ("q", "k", "v"))
        ),
        LAYER_SCALES[0]: source(SAME, "blocks.{i}.gamma_1"),
        LAYER_SCALES[1]: source(SAME, "blocks.{i}.gamma_2"),
    },
    mark="blocks.*.gamma_1",
    zeros=("blocks.*.attn.?_bias",),
    arch=backbone_maps.DINOV3.arch,
    pixels=backbone_maps.IMAGENET_PIXELS,
)
TIMM_DINOV3_SWIGLU = backbone_maps.with_swiglu(
    TIMM_DINOV3,
    "blocks.*.mlp.fc1_g.weight",
    ["blocks.{i}.mlp.fc1_g", "blocks.{i}.mlp.fc1_x"],
    "blocks.{i}.mlp.fc2",
)
OWN = WeightFormat(
    "vit_keras", {ours: source(SAME, ours) for ours in GOOGLE.mappings}, patch_axes=None
)
# Of formats with equal names of the patch kernel, those with a mark come first.
FORMATS = (
    *(GOOGLE, *backbone_maps.FORMATS, HUGGING_FACE_DISTILLED, HUGGING_FACE),
    *(TIMM_DINOV3_SWIGLU, TIMM_DINOV3, TIMM_CLIP, TIMM_DISTILLED, TIMM, KERAS_HUB, OWN),
)


def detect_format(weights: Any) -> WeightFormat | None:
    """The format whose patch kernel and mark are among the names `weights`; None without one."""
    for weight_format in FORMATS:
        if weight_format.mappings[PATCH].names[0] in weights and any(
            fnmatch(name, weight_format.mark) for name in weights
        ):
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
    result = {path: source(SAME, path) for path in ours} if weight_format is OWN else {}
    for name, mapping in weight_format.mappings.items():
        for i in range(depth) if "{i}" in name else [0]:
            result[name.format(i=i)] = mapping._replace(names=names_in_block(mapping.names, i))
    return result
