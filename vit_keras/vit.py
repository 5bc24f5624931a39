"""The Vision Transformer of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929).

Letters as in `tokens.py`: B batch, (X, Y) image height and width, C channels, N tokens, D width.
"""

from typing import Any

import keras
import numpy as np

from vit_keras import layers, tokens, variants
from vit_keras.errors import SettingError


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
    rows, columns = variants.height_and_width(image_size)
    arch = variants.architecture(variant, **overrides)
    variants.check(arch, (rows, columns), channels, num_classes)

    pixels = keras.Input((rows, columns, channels), name="pixels")
    x = normalization(arch.pixel_mean, arch.pixel_std)(pixels)
    x = tokens.PatchEmbedding(arch.patch_size, arch.width, dtype=dtype, name="patch_embedding")(x)
    if arch.pool == "token":
        x = tokens.ClassToken(dtype=dtype, name="class_token")(x)
    x = _positions(arch, (rows, columns), dtype)(x)
    x = keras.layers.Dropout(arch.dropout, dtype=dtype, name="embedding_dropout")(x)  # z_0, eq. 1
    for index in range(arch.depth):
        share = index / (arch.depth - 1) if arch.depth > 1 else 1.0
        x = layers.EncoderBlock(
            num_heads=arch.num_heads,
            mlp_dim=arch.mlp_dim,
            dropout=arch.dropout,
            attention_dropout=arch.attention_dropout,
            stochastic_depth=share * arch.stochastic_depth,
            gelu=arch.gelu,
            epsilon=arch.norm_epsilon,
            dtype=dtype,
            name=f"encoder_block_{index}",
        )(x)  # z_1 ... z_depth, eq. 2 and 3
    norm = dict(epsilon=arch.norm_epsilon, dtype=dtype, name="encoder_norm")
    x = keras.layers.LayerNormalization(**norm)(x)
    y = layers.Pooling(arch.pool, dtype=dtype, name="pooling")(x)  # eq. 4
    return keras.Model(pixels, head(num_classes)(y), name=name or f"vit_{variant or 'custom'}")


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
        patches, block = model.get_layer("patch_embedding"), model.get_layer("encoder_block_0")
        position = model.get_layer("position_embedding")
        normalization = model.get_layer("normalization")
        depth = sum(isinstance(layer, layers.EncoderBlock) for layer in model.layers)
        last = model.get_layer(f"encoder_block_{depth - 1}").get_config()
        pool = model.get_layer("pooling").pool
    except ValueError as error:
        raise SettingError(f"{model.name} is no model of build_vit: {error}") from None
    scale, offset = (np.asarray(x, "float64") for x in (normalization.scale, normalization.offset))
    config = block.get_config()
    return {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[-1],
        "num_classes": 0 if model.layers[-1].name == "features" else model.output_shape[-1],
        "patch_size": patches.patch_size,
        "width": patches.width,
        "depth": depth,
        **{name: config[name] for name in ("num_heads", "mlp_dim", "dropout", "gelu")},
        "attention_dropout": config["attention_dropout"],
        "stochastic_depth": last["stochastic_depth"],
        "norm_epsilon": config["epsilon"],
        "pool": pool,
        "position": "sincos2d" if isinstance(position, tokens.SinCos2D) else "learned",
        # Rounded: 1 / (255 / (255 * 0.247)) is 0.247 but for the last bit.
        "pixel_mean": (-offset / scale / 255).round(12).tolist(),
        "pixel_std": (1 / scale / 255).round(12).tolist(),
    }


def _positions(arch: variants.Architecture, image_size: tuple[int, int], dtype: Any) -> Any:
    kept = dict(dtype=dtype, name="position_embedding")
    if arch.position == "learned":
        return tokens.PositionEmbedding(**kept)
    return tokens.SinCos2D([side // arch.patch_size for side in image_size], **kept)


def normalization(pixel_mean: Any, pixel_std: Any) -> keras.layers.Layer:
    """(pixels / 255 - mean) / std, in float32: bfloat16 would round the pixels first."""
    mean, std = (
        np.asarray(variants.values_of(value), "float64") for value in (pixel_mean, pixel_std)
    )
    scale, offset = (1 / (255 * std)).tolist(), (-mean / std).tolist()
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalization")
