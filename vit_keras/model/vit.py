"""The Vision Transformer of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929).

Letters: B batch, (X, Y) image height and width, C channels, N tokens, D width.
"""

from typing import Any

import keras
import numpy as np

from vit_keras import validators
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.model import (
    architecture,
    architecture_checks,
    distilled_head,
    encoder_block,
    initialization,
    patch_embedding,
    pooling,
    position_embedding,
    tokens,
)
from vit_keras.model.preprocessing import normalization

# Architecture fields that are arguments of every encoder block under the same name.
BLOCK_FIELDS = (
    *("num_heads", "mlp_dim", "dropout", "attention_dropout", "gelu"),
    *("mlp", "parallel", "qk_norm", "layer_scale", "bias"),
)


def build_vit(
    variant: str | None = "b16",
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    channels: int = 3,
    dtype: Any = None,
    name: str | None = None,
    **overrides: Any,
) -> keras.Model:
    """Build a ViT from pixels to logits: (B, X, Y, C) in 0..255 -> (B, num_classes) float32.

    A functional model of named layers: `model.get_layer("encoder_block_3").output` gives any
    inner tensor. Normalisation is the first layer; inputs are raw pixels, uint8 or float.

    Args:
        variant: `ti16 s16 b16 l16`, `ti14 s14 b14 l14`, `b32 h14 so400m14` or `tiny_mnist`, or None
            when `overrides` sets every size.
        image_size: X = Y, or (X, Y), in pixels; multiples of the patch size.
        num_classes: number of logits; 0 for the features before the head, (B, D), or (B, 2 D) with
            a distillation token.
        channels: C, usually 1 or 3.
        dtype: precision, a Keras dtype policy or its name; logits are float32 under each.
        name: of the model; default `vit_<variant>`.
        **overrides: any field of `vit_keras.model.architecture.Architecture`, such as
            `patch_size=4`, `depth=6`, `pool="mean"`, `gelu="tanh"` or `stochastic_depth=0.1`.

    Raises:
        SettingError: (a ValueError) an invalid size or option; the message names valid ones.
    """
    rows, columns = validators.height_and_width(image_size)
    arch = architecture.architecture(variant, **overrides)
    architecture_checks.check(arch, (rows, columns), channels, num_classes)

    pixels = keras.Input((rows, columns, channels), name="pixels")
    x = normalization(arch.pixel_mean, arch.pixel_std)(pixels)
    x, kept_indices = _embed(x, arch, dtype)  # z_0 of eq. 1
    # Only RoPE needs to know which patches patch dropout kept.
    block_inputs = {} if kept_indices is None else {"kept": kept_indices}
    for index in range(arch.depth):
        x = _block(arch, index, (rows, columns), dtype)(x, **block_inputs)  # eq. 2 and 3
    x = keras.layers.LayerNormalization(
        epsilon=arch.norm_epsilon, dtype=dtype, name="encoder_norm"
    )(x)
    y = _pooling(arch, dtype)(x)  # eq. 4
    logits = head(num_classes, arch.distillation_token)(y)
    model = keras.Model(pixels, logits, name=name or f"vit_{variant or 'custom'}")
    initialization.initialize(model, arch.initialization)
    return model


def _embed(images: Any, arch: architecture.Architecture, dtype: Any) -> tuple[Any, Any]:
    """(B, X, Y, C) -> z_0 of eq. 1, (B, N, D), and the indices of its tokens for RoPE or None."""
    stem: Any = patch_embedding.STEMS[arch.stem]
    x = stem(arch.patch_size, arch.width, dtype=dtype, name="patch_embedding")(images)
    if arch.distillation_token:
        x = distilled_head.DistillationToken(dtype=dtype, name="distillation_token")(x)
    if arch.pool == "token":
        x = tokens.ClassToken(dtype=dtype, name="class_token")(x)
    class_tokens = int(arch.pool == "token") + int(arch.distillation_token)
    if arch.position in ("learned", "sincos2d"):
        x = _position_embedding(arch, images.shape[1:3], dtype)(x)
    if arch.registers:
        x = tokens.Registers(arch.registers, after=class_tokens, dtype=dtype, name="registers")(x)
    kept_indices = None
    if arch.patch_dropout:
        extra = class_tokens + arch.registers
        x, kept_indices = tokens.PatchDropout(
            arch.patch_dropout, extra, dtype=dtype, name="patch_dropout"
        )(x)
    x = keras.layers.Dropout(arch.dropout, dtype=dtype, name="embedding_dropout")(x)
    if arch.pre_norm:
        x = keras.layers.LayerNormalization(
            epsilon=arch.norm_epsilon, dtype=dtype, name="pre_norm"
        )(x)
    return x, kept_indices if arch.position in architecture.ROTARY else None


def _position_embedding(
    arch: architecture.Architecture, image_size: tuple[int, int], dtype: Any
) -> keras.layers.Layer:
    layer_kwargs = dict(dtype=dtype, name="position_embedding")
    if arch.position == "learned":
        return position_embedding.PositionEmbedding(**layer_kwargs)
    grid = architecture.grid(image_size, arch.patch_size)
    return position_embedding.SinCos2D(grid, **layer_kwargs)


def _block(
    arch: architecture.Architecture, index: int, image_size: tuple[int, int], dtype: Any
) -> keras.layers.Layer:
    # The drop-path rate grows linearly from 0 in the first block (Huang et al. 2016, section 3).
    depth_fraction = index / (arch.depth - 1) if arch.depth > 1 else 1.0
    rope_kwargs = {}
    if arch.position in architecture.ROTARY:
        rope_kwargs = dict(
            rotary=arch.position, grid=architecture.grid(image_size, arch.patch_size)
        )
    return encoder_block.EncoderBlock(
        **{name: getattr(arch, name) for name in BLOCK_FIELDS},
        stochastic_depth=depth_fraction * arch.stochastic_depth,
        epsilon=arch.norm_epsilon,
        **rope_kwargs,
        dtype=dtype,
        name=f"encoder_block_{index}",
    )


def _pooling(arch: architecture.Architecture, dtype: Any) -> keras.layers.Layer:
    if arch.distillation_token:
        return distilled_head.DistilledPooling(dtype=dtype, name="pooling")
    layer_kwargs = dict(registers=arch.registers, dtype=dtype, name="pooling")
    if arch.pool in ("token", "mean"):
        return pooling.Pooling(arch.pool, **layer_kwargs)
    if arch.pool == "seq":
        return pooling.SequencePooling(**layer_kwargs)
    return pooling.AttentionPooling(
        arch.num_heads,
        mlp_dim=arch.mlp_dim,
        gelu=arch.gelu,
        epsilon=arch.norm_epsilon,
        **layer_kwargs,
    )


def head(num_classes: int, is_distilled: bool = False) -> keras.layers.Layer:
    """Classification head: (B, D) -> (B, num_classes) float32; the identity for 0 classes.

    With a distillation token, of both tokens side by side, (B, 2 D).
    """
    if not num_classes:
        return keras.layers.Identity(dtype="float32", name="features")
    if is_distilled:
        return distilled_head.DistilledHead(num_classes, dtype="float32", name="head")
    # Zeros, as in the paper's code: the initial loss is exactly log(num_classes).
    return keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="head")


def describe(model: keras.Model) -> dict[str, Any]:
    """The keyword arguments with which `build_vit(None, ...)` rebuilds the graph of `model`.

    Without `initialization`, which a model does not keep.

    Raises:
        SettingError: the model was not made by `build_vit`.
    """
    try:
        stem = model.get_layer("patch_embedding")
        pool = model.get_layer("pooling").pool
        rescaling = model.get_layer("normalization")
        depth = sum(isinstance(layer, encoder_block.EncoderBlock) for layer in model.layers)
        block = model.get_layer("encoder_block_0").get_config()
        last_block = model.get_layer(f"encoder_block_{depth - 1}").get_config()
    except ValueError as error:
        raise SettingError(f"{model.name} was not made by build_vit: {error}") from None
    scale = np.asarray(rescaling.scale, "float64")
    offset = np.asarray(rescaling.offset, "float64")
    by_name = {layer.name: layer for layer in model.layers}
    return {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[-1],
        "num_classes": 0 if model.layers[-1].name == "features" else model.output_shape[-1],
        "patch_size": stem.patch_size,
        "width": stem.width,
        "depth": depth,
        **{name: block[name] for name in BLOCK_FIELDS},
        "stochastic_depth": last_block["stochastic_depth"],
        "norm_epsilon": block["epsilon"],
        "pool": pool,
        "position": _position_kind(by_name.get("position_embedding"), block),
        "distillation_token": "distillation_token" in by_name,
        "registers": getattr(by_name.get("registers"), "count", 0),
        "pre_norm": "pre_norm" in by_name,
        "stem": next(name for name, kind in patch_embedding.STEMS.items() if type(stem) is kind),
        "patch_dropout": getattr(by_name.get("patch_dropout"), "rate", 0.0),
        # Rounded: 1 / (255 / (255 * 0.247)) differs from 0.247 in the last bit.
        "pixel_mean": (-offset / scale / 255).round(12).tolist(),
        "pixel_std": (1 / scale / 255).round(12).tolist(),
    }


def _position_kind(embedding: Any, block: dict[str, Any]) -> str:
    if embedding is not None:
        return "sincos2d" if isinstance(embedding, position_embedding.SinCos2D) else "learned"
    return block["rotary"] or "none"


def features(model: keras.Model, layers: Any = None) -> keras.Model:
    """A feature extractor that shares the layers and weights of `model`.

    Args:
        model: made by `build_vit` or `load_pretrained`, or loaded from a run.
        layers: layer names, such as `["encoder_block_3", "encoder_norm"]`, or block numbers
            (negative ones count from the end); the extractor then outputs {name: (B, N, D)}. None
            for the input of the head, (B, D) float32.

    Raises:
        SettingError: the model has no such layer; the message names the nearest.
    """
    if layers is None:
        top = model.layers[-1]
        y = model.output if top.name == "features" else head(0)(_layer(model, "head").input)
        return keras.Model(model.input, y, name=f"{model.name}_features")
    wanted = [layers] if isinstance(layers, str | int) else list(layers)
    selected = [_layer(model, name_or_index) for name_or_index in wanted]
    outputs = {layer.name: layer.output for layer in selected}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def with_head_input(model: keras.Model) -> keras.Model:
    """The layers of `model` -> [logits (B, K), features (B, D) float32].

    The features are the input of the head; the logits of a model without one.
    """
    heads = [layer for layer in model.layers if layer.name == "head"]
    (logits,) = model.outputs  # a Sequential model has no `output`
    y = head(0)(heads[0].input) if heads else logits
    return keras.Model(model.inputs, [logits, y], name=f"{model.name}_with_head_input")


def _layer(model: keras.Model, name_or_index: str | int) -> keras.layers.Layer:
    by_name = {layer.name: layer for layer in model.layers}
    blocks = [name for name in by_name if name.startswith("encoder_block_")]
    if isinstance(name_or_index, int) and not -len(blocks) <= name_or_index < len(blocks):
        raise SettingError(
            f"layers={name_or_index} is no block of {model.name}, which has {len(blocks)}; use "
            f"{-len(blocks)} to {len(blocks) - 1}"
        )
    name = blocks[name_or_index] if isinstance(name_or_index, int) else name_or_index
    if name not in by_name:
        raise SettingError(
            f"layers={name} is no layer of {model.name}{did_you_mean(name, by_name)}"
        )
    return by_name[name]
