"""The sizes of the known ViTs, and the checks that any size has to pass.

Nothing here imports Keras: a wrong size is refused before anything slow is loaded.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.validators import check_choice

ROTARY = ("rope2d", "rope_mixed")
CHOICES = {
    "pool": ("token", "mean", "map"),
    "position": ("learned", "sincos2d", *ROTARY, "none"),
    "gelu": ("exact", "tanh"),
    "mlp": ("gelu", "swiglu"),
    "stem": ("patch", "conv"),
}


def _size(patch_size: int, width: int, depth: int, num_heads: int, mlp_dim: int) -> dict[str, int]:
    return dict(
        patch_size=patch_size, width=width, depth=depth, num_heads=num_heads, mlp_dim=mlp_dim
    )


# Ti and S: Touvron et al. 2021 (DeiT), table 1. B, L and H: Dosovitskiy et al. 2021, table 1.
VARIANTS: dict[str, dict[str, int]] = {
    "ti16": _size(16, 192, 12, 3, 768),
    "s16": _size(16, 384, 12, 6, 1536),
    "b16": _size(16, 768, 12, 12, 3072),
    "b32": _size(32, 768, 12, 12, 3072),
    "l16": _size(16, 1024, 24, 16, 4096),
    "h14": _size(14, 1280, 32, 16, 5120),
    "tiny_mnist": _size(7, 16, 4, 4, 64),  # for 28x28: 16 patches, 14,410 parameters
}


@dataclass
class Architecture:
    """Every size and switch of a ViT; the field's names (timm, big_vision).

    Attributes:
        patch_size: P, the side of a square patch in pixels.
        width: D, the length of a token.
        depth: the number of encoder blocks.
        num_heads: H, the number of attention heads; divides D.
        mlp_dim: the hidden width of each block's MLP.
        pool: `token` reads the class token; `mean` has none and averages the patch tokens; `map`
            has none and attends to them (Zhai et al. 2022, "Scaling Vision Transformers").
        position: `learned` for each position (eq. 1); `sincos2d`, fixed waves of row and column
            (Beyer et al. 2022); `rope2d`, queries and keys turned by row and column, or
            `rope_mixed`, by learned mixtures of the two (both Heo et al. 2024); or `none`.
        gelu: `exact` (timm, Hugging Face) or `tanh` (Google's published weights).
        mlp: `gelu`, or `swiglu` (Shazeer 2020), with three kernels of `mlp_dim` as given: two
            thirds of a GELU's `mlp_dim` keep the number of parameters.
        parallel: attention and MLP of a block side by side, behind one normalisation (ViT-22B,
            Dehghani et al. 2023).
        qk_norm: normalise the queries and keys of each head (ViT-22B).
        layer_scale: what learned factors of each branch's channels begin at (CaiT, Touvron et al.
            2021: 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 beyond); 0 for none.
        registers: further learnt tokens, which no pooling reads (Darcet et al. 2024).
        stem: `patch`, one linear map of each patch, or `conv`, 3x3 convolutions of stride 2 (Xiao
            et al. 2021, who take one block less to make up for them: `depth` is as given).
        patch_dropout: share of an image's patches that training leaves out, before the first
            block (Liu et al. 2023; FLIP, Li et al. 2023).
        dropout: rate on the embedded tokens and on the output of each attention and MLP.
        attention_dropout: rate on the attention weights.
        stochastic_depth: rate of the last block's residual branches; grows linearly from the
            first block's 0 (a single block has it whole).
        norm_epsilon: of every layer normalisation: 1e-6 in the paper's code and timm, 1e-12 in
            Hugging Face's.
        pixel_mean: per channel or one for all, in units of the full range: 0 to 1.
        pixel_std: as `pixel_mean`. 0.5 and 0.5 bring pixels into [-1, 1].
    """

    patch_size: int
    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    pool: str = "token"
    position: str = "learned"
    gelu: str = "exact"
    mlp: str = "gelu"
    parallel: bool = False
    qk_norm: bool = False
    layer_scale: float = 0.0
    registers: int = 0
    stem: str = "patch"
    patch_dropout: float = 0.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    norm_epsilon: float = 1e-6
    pixel_mean: Sequence[float] | float = 0.5
    pixel_std: Sequence[float] | float = 0.5


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


def as_overrides(arch: Architecture) -> dict[str, Any]:
    """The keyword arguments that give `arch` again: `build_vit(None, **as_overrides(arch))`."""
    return asdict(arch)
