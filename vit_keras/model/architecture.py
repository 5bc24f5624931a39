"""The architecture of a ViT: its options, declared once, and the sizes of the known variants.

Nothing here imports Keras: a wrong size is refused before anything slow is loaded.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.validators import check_choice, setting

ROTARY = ("rope2d", "rope_mixed", "rope_dinov3")


def _size(patch_size: int, width: int, depth: int, num_heads: int, mlp_dim: int) -> dict[str, int]:
    return dict(
        patch_size=patch_size, width=width, depth=depth, num_heads=num_heads, mlp_dim=mlp_dim
    )


# Ti and S: Touvron et al. 2021 (DeiT), table 1. B, L and H: Dosovitskiy et al. 2021, table 1.
# Patches of 14, as of H: DINOv2 (Oquab et al. 2023). so400m: Alabdulmohsin et al. 2023.
VARIANTS: dict[str, dict[str, int]] = {
    "ti16": _size(16, 192, 12, 3, 768),
    "ti14": _size(14, 192, 12, 3, 768),
    "s16": _size(16, 384, 12, 6, 1536),
    "s14": _size(14, 384, 12, 6, 1536),
    "b16": _size(16, 768, 12, 12, 3072),
    "b14": _size(14, 768, 12, 12, 3072),
    "b32": _size(32, 768, 12, 12, 3072),
    "l16": _size(16, 1024, 24, 16, 4096),
    "l14": _size(14, 1024, 24, 16, 4096),
    "so400m14": _size(14, 1152, 27, 16, 4304),
    "h14": _size(14, 1280, 32, 16, 5120),
    "tiny_mnist": _size(7, 16, 4, 4, 64),  # for 28x28: 16 patches, 14,410 parameters
}


@dataclass
class Architecture:
    """The architecture of a ViT; names as in timm and big_vision.

    `config.schema.ModelConfig`, the settings `model.*`, is made from these fields.
    """

    patch_size: int = setting(
        MISSING, "Side P of a square patch, in pixels.", at_least=1, unit="pixels"
    )
    width: int = setting(MISSING, "Width D of a token.", at_least=1)
    depth: int = setting(MISSING, "Number of encoder blocks.", at_least=1, label="Depth")
    num_heads: int = setting(
        MISSING,
        "Number H of attention heads; divides the width.",
        at_least=1,
        label="Attention heads",
    )
    mlp_dim: int = setting(
        MISSING, "Hidden width of the MLP of each block.", at_least=1, label="MLP width"
    )
    pool: str = setting(
        "token",
        # Hassani et al. 2021 (CCT) for `seq`; Zhai et al. 2022 for `map`.
        "What the head reads: the class token (token), the mean of the patch tokens (mean), their "
        "mean weighted by learned scores (seq), or an attention pooling with one learned query "
        "(map).",
        choices=("token", "mean", "seq", "map"),
        label="Pooling",
    )
    position: str = setting(
        "learned",
        # eq. 1; Beyer et al. 2022; Heo et al. 2024, for rope2d and rope_mixed; Siméoni et al. 2025.
        "Position embedding: learned, fixed 2-D sine-cosine (sincos2d), axial 2-D RoPE (rope2d), "
        "RoPE with learned mixed frequencies (rope_mixed), axial RoPE of patch centres scaled to "
        "[-1, 1] (rope_dinov3), or none.",
        choices=("learned", "sincos2d", *ROTARY, "none"),
        label="Position embedding",
    )
    gelu: str = setting(
        "exact",
        # Hendrycks & Gimpel 2016, section 2, has both approximations.
        "GELU: exact (timm, Hugging Face), or an approximation: tanh (Google's weights), or quick, "
        "x sigmoid(1.702 x) (OpenAI's CLIP).",
        choices=("exact", "tanh", "quick"),
        label="GELU",
    )
    mlp: str = setting(
        "gelu",
        # Shazeer 2020: three kernels, so two thirds of a GELU's mlp_dim keep the parameters.
        # So et al. 2021 (Primer), for relu2.
        "Feed-forward block: gelu, relu2 (the square of a ReLU, cheaper than GELU on a CPU), or "
        "swiglu with three kernels of width mlp_dim.",
        choices=("gelu", "relu2", "swiglu"),
        label="Feed-forward block",
    )
    bias: bool = setting(
        True,
        # The paper's code has them; PaLM (Chowdhery et al. 2022, section 2) has none.
        "Biases of the dense layers of each block.",
        label="Biases",
    )
    parallel: bool = setting(
        False,
        # ViT-22B, Dehghani et al. 2023.
        "Attention and MLP of a block in parallel, after one normalisation.",
        label="Parallel blocks",
    )
    qk_norm: bool = setting(
        False, "Normalise the queries and keys of each head.", label="Query-key normalisation"
    )  # ViT-22B
    pre_norm: bool = setting(
        False,
        # CLIP, Radford et al. 2021, section 2.4.
        "Layer normalisation of the embedded tokens, before the first block.",
        label="Normalised embeddings",
    )
    layer_scale: float = setting(
        0.0,
        # CaiT, Touvron et al. 2021: 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 beyond.
        "Initial value of LayerScale, such as 1e-5; 0 for none.",
        at_least=0,
        label="LayerScale",
    )
    distillation_token: bool = setting(
        False,
        # DeiT, Touvron et al. 2021, section 4.
        "A second learned token beside the class token, with a head of its own that learns from "
        "train.teacher; the logits are the mean of both heads'.",
    )
    registers: int = setting(
        0,
        # Darcet et al. 2024.
        "Number of register tokens: learned tokens that no pooling reads.",
        at_least=0,
        label="Register tokens",
    )
    stem: str = setting(
        "patch",
        # Xiao et al. 2021, who take one block less to make up for `conv`; Hassani et al. 2021.
        "Patch embedding: one linear map of each patch (patch), 3x3 convolutions of stride 2 "
        "(conv), or the tokenizer of CCT, 3x3 convolutions and max-pooling (cct).",
        choices=("patch", "conv", "cct"),
        label="Patch embedding",
    )
    patch_dropout: float = setting(
        0.0,
        # Liu et al. 2023; FLIP, Li et al. 2023.
        "Fraction of the patches that are dropped during training, before the first block.",
        at_least=0,
        below=1,
        step=0.01,
    )
    dropout: float = setting(
        0.0,
        "Dropout rate of the embedded tokens and of the output of each attention and MLP.",
        at_least=0,
        below=1,
        step=0.01,
    )
    attention_dropout: float = setting(
        0.0, "Dropout rate of the attention weights.", at_least=0, below=1, step=0.01
    )
    stochastic_depth: float = setting(
        0.0,
        "Drop-path rate of the last block; it grows linearly from 0 in the first block.",
        at_least=0,
        below=1,
        step=0.01,
    )
    initialization: str = setting(
        "default",
        # Trockman & Kolter 2023; Fixup, Zhang et al. 2019.
        "Initial weights of the blocks, of a model that is not pretrained: Glorot's (default), "
        "attention like that of trained ViTs (mimetic), or 0 in the last layer of each residual "
        "branch (zero_output).",
        choices=("default", "mimetic", "zero_output"),
    )
    norm_epsilon: float = setting(
        1e-6,
        "Epsilon of every layer normalisation: 1e-6 in the paper's code and timm, 1e-12 in "
        "Hugging Face.",
        above=0,
        label="Normalisation epsilon",
    )
    pixel_mean: Sequence[float] | float = setting(
        0.5, "Mean that pixels are normalised with, from 0 to 1: one number or one per channel."
    )
    pixel_std: Sequence[float] | float = setting(
        0.5,
        "Standard deviation that pixels are normalised with, from 0 to 1.",
        label="Pixel standard deviation",
    )


SIZES = tuple(_size(1, 1, 1, 1, 1))
RATES = ("dropout", "attention_dropout", "stochastic_depth", "patch_dropout")


def architecture(variant: str | None, prefix: str = "", **overrides: Any) -> Architecture:
    """The `Architecture` of `variant` with every override that is not None in its place.

    Args:
        variant: a key of `VARIANTS`, or None when `overrides` gives every size.
        prefix: put before names in error messages, such as `model.`.

    Raises:
        SettingError: an unknown variant or override, or a size that nothing gives.
    """
    known = [field.name for field in fields(Architecture)]
    for name in overrides:
        if name not in known:
            also = [] if prefix else ["image_size", "num_classes", "channels"]
            raise SettingError(f"{prefix}{name} is no setting{did_you_mean(name, known + also)}")
    if variant is not None:
        check_choice(f"{prefix}variant", variant, VARIANTS)
    settings: dict[str, Any] = dict(VARIANTS[variant]) if variant else {}
    settings.update({name: value for name, value in overrides.items() if value is not None})
    missing = [name for name in SIZES if name not in settings]
    if missing:
        raise SettingError(
            f"{prefix}variant is not set, so {prefix}{missing[0]} is needed; give a variant "
            f"({', '.join(VARIANTS)}) or all of {', '.join(SIZES)}"
        )
    return Architecture(**settings)


def grid(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """(rows, columns) of patches in an image of (height, width) pixels."""
    return image_size[0] // patch_size, image_size[1] // patch_size
