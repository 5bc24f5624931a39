"""What an architecture may have besides the paper's: the choices, and what goes with what.

Nothing here imports Keras: a wrong setting is refused before anything slow is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vit_keras import limits
from vit_keras.errors import SettingError, one_of

if TYPE_CHECKING:
    from vit_keras.variants import Architecture

ROTARY = ("rope2d", "rope_mixed")
CHOICES = {
    "pool": ("token", "mean", "map"),
    "position": ("learned", "sincos2d", *ROTARY, "none"),
    "gelu": ("exact", "tanh"),
    "mlp": ("gelu", "swiglu"),
    "stem": ("patch", "conv"),
}


def check(arch: Architecture, prefix: str = "") -> None:
    """Refuse a choice that does not exist, or that does not go with another.

    Args:
        arch: its sizes are whole numbers, and `num_heads` divides `width`.
        prefix: put before names in error messages, such as `model.`.

    Raises:
        SettingError: naming the setting, its value, and what would do.
    """
    for name, allowed in CHOICES.items():
        one_of(prefix + name, getattr(arch, name), allowed)
    for name in ("qk_norm", "parallel"):
        limits.yes_or_no(prefix + name, getattr(arch, name))
    limits.whole(f"{prefix}registers", arch.registers, least=0)
    limits.number(f"{prefix}layer_scale", arch.layer_scale, "0 for none, or 1e-5")
    if arch.layer_scale < 0:
        raise SettingError(f"{prefix}layer_scale={arch.layer_scale} is below 0; use 0 or 1e-5")
    if arch.mlp == "swiglu" and arch.gelu != "exact" and arch.pool != "map":
        raise SettingError(
            f"{prefix}gelu={arch.gelu} has no effect with {prefix}mlp=swiglu, which has no GELU; "
            f"leave {prefix}gelu out"
        )
    _check_positions(arch, prefix)
    if arch.stem == "conv":
        _check_stem(arch, prefix)


def _check_positions(arch: Architecture, prefix: str) -> None:
    if arch.position == "sincos2d" and arch.width % 4:
        raise SettingError(
            f"{prefix}width={arch.width} is no multiple of 4, which {prefix}position=sincos2d "
            f"needs; use {arch.width + -arch.width % 4} or position=learned"
        )
    head_width = arch.width // arch.num_heads
    if arch.position in ROTARY and head_width % 4:
        fitting = limits.divisors(arch.width // 4, 1) if arch.width % 4 == 0 else []
        heads = f"{prefix}num_heads={limits.one_of_these(fitting)}, " if fitting else ""
        raise SettingError(
            f"{prefix}num_heads={arch.num_heads} of {prefix}width={arch.width} are heads of "
            f"{head_width}, no multiple of 4, which {prefix}position={arch.position} needs; use "
            f"{heads}{prefix}width={arch.num_heads * (head_width + -head_width % 4)}, or "
            f"{prefix}position=learned"
        )


def _check_stem(arch: Architecture, prefix: str) -> None:
    """Each convolution halves the image and doubles the channels, up to patch and width."""
    halvings = arch.patch_size.bit_length() - 1
    if arch.patch_size != 2**halvings or not halvings:
        raise SettingError(
            f"{prefix}patch_size={arch.patch_size} is no power of 2, which {prefix}stem=conv "
            f"reaches by halving; use 2, 4, 8 or 16, or {prefix}stem=patch"
        )
    factor = 2 ** (halvings - 1)
    if arch.width % factor:
        raise SettingError(
            f"{prefix}width={arch.width} is no multiple of {factor}, which {prefix}stem=conv "
            f"needs to double its channels up to it; use "
            f"{limits.one_of_these(limits.multiples_around(arch.width, factor))}, or "
            f"{prefix}stem=patch"
        )
