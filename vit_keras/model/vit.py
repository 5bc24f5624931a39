"""The Vision Transformer of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929).

Letters as in `tokens.py`: B batch, (X, Y) image height and width, C channels, N tokens, D width.
"""

from typing import Any

import keras
import numpy as np

from vit_keras import validators
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.model import (
    architecture,
    architecture_checks,
    encoder_block,
    patch_embedding,
    pooling,
    position_embedding,
    tokens,
)
from vit_keras.model.preprocessing import normalization

# Switches of each block alike, by the names that a block has them under.
IN_BLOCKS = ("mlp", "parallel", "qk_norm", "layer_scale")


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
    """A ViT from pixels to logits: (B, X, Y, C) in 0..255 -> (B, num_classes) float32.

    A plain functional model of named layers; `model.get_layer("encoder_block_3").output` is any
    inner tensor. Normalisation is its first layer, so pixels go in as they are, uint8 or float.

    Args:
        variant: `ti16 s16 b16 b32 l16 h14 tiny_mnist`, or None when `overrides` has every size.
        image_size: X = Y, or (X, Y), in pixels; the patch size divides both.
        num_classes: the number of logits; 0 for the features before the head, (B, D).
        channels: C, 1 or 3 as a rule.
        dtype: precision, a Keras dtype policy or its name; logits are float32 under each.
        name: of the model; `vit_<variant>` unless given.
        **overrides: any field of `vit_keras.variants.Architecture`, such as `patch_size=4`,
            `depth=6`, `pool="mean"`, `gelu="tanh"` or `stochastic_depth=0.1`.

    Raises:
        SettingError: (a ValueError) for sizes that do not fit, naming what would.
    """
    rows, columns = validators.height_and_width(image_size)
    arch = architecture.architecture(variant, **overrides)
    architecture_checks.check(arch, (rows, columns), channels, num_classes)

    pixels = keras.Input((rows, columns, channels), name="pixels")
    x = normalization(arch.pixel_mean, arch.pixel_std)(pixels)
    x, kept = _embedded(x, arch, dtype)
    for index in range(arch.depth):
        x = _block(arch, index, (rows, columns), dtype)(x, **kept)  # z_1 ... z_depth, eq. 2 and 3
    norm = dict(epsilon=arch.norm_epsilon, dtype=dtype, name="encoder_norm")
    x = keras.layers.LayerNormalization(**norm)(x)
    y = _pooling(arch, dtype)(x)  # eq. 4
    return keras.Model(pixels, head(num_classes)(y), name=name or f"vit_{variant or 'custom'}")


def _embedded(
    images: Any, arch: architecture.Architecture, dtype: Any
) -> tuple[Any, dict[str, Any]]:
    """(B, X, Y, C) -> z_0 of eq. 1, (B, N, D), and what the blocks need to know of it besides."""
    stems: dict[str, Any] = {
        "patch": patch_embedding.PatchEmbedding,
        "conv": patch_embedding.ConvStem,
    }
    size = (arch.patch_size, arch.width)
    x = stems[arch.stem](*size, dtype=dtype, name="patch_embedding")(images)
    class_tokens = int(arch.pool == "token")
    if class_tokens:
        x = tokens.ClassToken(dtype=dtype, name="class_token")(x)
    if arch.position in ("learned", "sincos2d"):
        x = _positions(arch, images.shape[1:3], dtype)(x)
    if arch.registers:
        registers = dict(count=arch.registers, after=class_tokens)
        x = tokens.Registers(**registers, dtype=dtype, name="registers")(x)
    kept = {}
    if arch.patch_dropout:
        staying = dict(rate=arch.patch_dropout, extra=class_tokens + arch.registers)
        x, places = tokens.PatchDropout(**staying, dtype=dtype, name="patch_dropout")(x)
        kept = {"kept": places} if arch.position in architecture.ROTARY else {}
    return keras.layers.Dropout(arch.dropout, dtype=dtype, name="embedding_dropout")(x), kept


def _positions(arch: architecture.Architecture, image_size: tuple[int, int], dtype: Any) -> Any:
    kept = dict(dtype=dtype, name="position_embedding")
    if arch.position == "learned":
        return position_embedding.PositionEmbedding(**kept)
    return position_embedding.SinCos2D(architecture.grid(image_size, arch.patch_size), **kept)


def _block(
    arch: architecture.Architecture, index: int, image_size: tuple[int, int], dtype: Any
) -> keras.layers.Layer:
    share = index / (arch.depth - 1) if arch.depth > 1 else 1.0
    turned = {}
    if arch.position in architecture.ROTARY:
        turned = dict(rotary=arch.position, grid=architecture.grid(image_size, arch.patch_size))
    return encoder_block.EncoderBlock(
        num_heads=arch.num_heads,
        mlp_dim=arch.mlp_dim,
        dropout=arch.dropout,
        attention_dropout=arch.attention_dropout,
        stochastic_depth=share * arch.stochastic_depth,
        gelu=arch.gelu,
        epsilon=arch.norm_epsilon,
        mlp=arch.mlp,
        parallel=arch.parallel,
        qk_norm=arch.qk_norm,
        layer_scale=arch.layer_scale,
        **turned,
        dtype=dtype,
        name=f"encoder_block_{index}",
    )


def _pooling(arch: architecture.Architecture, dtype: Any) -> keras.layers.Layer:
    kept = dict(registers=arch.registers, dtype=dtype, name="pooling")
    if arch.pool != "map":
        return pooling.Pooling(arch.pool, **kept)
    block = dict(mlp_dim=arch.mlp_dim, gelu=arch.gelu, epsilon=arch.norm_epsilon)
    return pooling.AttentionPooling(arch.num_heads, **block, **kept)


def head(num_classes: int) -> keras.layers.Layer:
    """(B, D) -> (B, num_classes) logits, or for 0 classes the features as they are; float32."""
    if not num_classes:
        return keras.layers.Identity(dtype="float32", name="features")
    # Zeros, as in the paper's code: the first loss is log(num_classes) exactly.
    return keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="head")


def describe(model: keras.Model) -> dict[str, Any]:
    """The keyword arguments with which `build_vit(None, ...)` makes a model like this one.

    Raises:
        SettingError: the model was not made by `build_vit`.
    """
    try:
        patches, pool = model.get_layer("patch_embedding"), model.get_layer("pooling").pool
        normalization = model.get_layer("normalization")
        depth = sum(isinstance(layer, encoder_block.EncoderBlock) for layer in model.layers)
        block, last = (model.get_layer(f"encoder_block_{i}").get_config() for i in (0, depth - 1))
    except ValueError as error:
        raise SettingError(f"{model.name} is no model of build_vit: {error}") from None
    scale, offset = (np.asarray(x, "float64") for x in (normalization.scale, normalization.offset))
    by_name = {layer.name: layer for layer in model.layers}
    return {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[-1],
        "num_classes": 0 if model.layers[-1].name == "features" else model.output_shape[-1],
        "patch_size": patches.patch_size,
        "width": patches.width,
        "depth": depth,
        **{name: block[name] for name in ("num_heads", "mlp_dim", "dropout", "attention_dropout")},
        "stochastic_depth": last["stochastic_depth"],
        "norm_epsilon": block["epsilon"],
        "pool": pool,
        "position": _position_of(by_name.get("position_embedding"), block),
        "gelu": block["gelu"],
        **{name: block.get(name, encoder_block.OFF[name]) for name in IN_BLOCKS},
        "registers": getattr(by_name.get("registers"), "count", 0),
        "stem": "conv" if isinstance(patches, patch_embedding.ConvStem) else "patch",
        "patch_dropout": getattr(by_name.get("patch_dropout"), "rate", 0.0),
        # Rounded: 1 / (255 / (255 * 0.247)) is 0.247 but for the last bit.
        "pixel_mean": (-offset / scale / 255).round(12).tolist(),
        "pixel_std": (1 / scale / 255).round(12).tolist(),
    }


def _position_of(embedding: Any, block: dict[str, Any]) -> str:
    if embedding is not None:
        return "sincos2d" if isinstance(embedding, position_embedding.SinCos2D) else "learned"
    return block.get("rotary") or "none"


def features(model: keras.Model, layers: Any = None) -> keras.Model:
    """A model of the same layers and weights that gives inner tensors.

    Args:
        model: made by `build_vit` or `load_pretrained`, or loaded from a run.
        layers: names of layers, such as `["encoder_block_3", "encoder_norm"]`, or numbers of
            blocks, negative ones from the end: then the model gives {name: (B, N, D)}. None for
            what the head reads, (B, D) float32.

    Raises:
        SettingError: a layer that the model does not have, naming the nearest.
    """
    if layers is None:
        top = model.layers[-1]
        y = model.output if top.name == "features" else head(0)(_layer(model, "head").input)
        return keras.Model(model.input, y, name=f"{model.name}_features")
    asked = [layers] if isinstance(layers, str | int) else list(layers)
    found = [_layer(model, one) for one in asked]
    outputs = {layer.name: layer.output for layer in found}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def _layer(model: keras.Model, asked: str | int) -> keras.layers.Layer:
    by_name = {layer.name: layer for layer in model.layers}
    blocks = [name for name in by_name if name.startswith("encoder_block_")]
    if isinstance(asked, int) and not -len(blocks) <= asked < len(blocks):
        raise SettingError(
            f"layers={asked} is no block of {model.name}, which has {len(blocks)}; use "
            f"{-len(blocks)} to {len(blocks) - 1}"
        )
    name = blocks[asked] if isinstance(asked, int) else asked
    if name not in by_name:
        raise SettingError(
            f"layers={name} is no layer of {model.name}{did_you_mean(name, by_name)}"
        )
    return by_name[name]
