"""Validation of an architecture: which options go together, and whether it fits the images.

Nothing here imports Keras: a wrong setting is refused before anything slow is loaded.
"""

import math

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model.architecture import ROTARY, Architecture


def check_combinations(arch: Architecture, prefix: str = "") -> None:
    """Refuse options that do not go together.

    Args:
        arch: each of its values is valid alone, and `num_heads` divides `width`.
        prefix: put before names in error messages, such as `model.`.

    Raises:
        SettingError: naming the setting, its value, and what would do.
    """
    if arch.mlp != "gelu" and arch.gelu != "exact" and arch.pool != "map":
        raise SettingError(
            f"{prefix}gelu={arch.gelu} has no effect with {prefix}mlp={arch.mlp}, which has no "
            f"GELU; leave {prefix}gelu out"
        )
    if arch.distillation_token and arch.pool != "token":
        raise SettingError(
            f"{prefix}distillation_token=true stands beside the class token, which "
            f"{prefix}pool={arch.pool} has not; use {prefix}pool=token"
        )
    _check_positions(arch, prefix)
    if arch.stem != "patch":
        _check_stem(arch, prefix)


def _check_positions(arch: Architecture, prefix: str) -> None:
    if arch.position == "sincos2d" and arch.width % 4:
        raise SettingError(
            f"{prefix}width={arch.width} is no multiple of 4, which {prefix}position=sincos2d "
            f"needs; use {arch.width + -arch.width % 4} or position=learned"
        )
    head_width = arch.width // arch.num_heads
    if arch.position in ROTARY and head_width % 4:
        fitting = validators.divisors(arch.width // 4, 1) if arch.width % 4 == 0 else []
        heads = f"{prefix}num_heads={validators.join_options(fitting)}, " if fitting else ""
        raise SettingError(
            f"{prefix}num_heads={arch.num_heads} of {prefix}width={arch.width} are heads of "
            f"{head_width}, no multiple of 4, which {prefix}position={arch.position} needs; use "
            f"{heads}{prefix}width={arch.num_heads * (head_width + -head_width % 4)}, or "
            f"{prefix}position=learned"
        )


def _check_stem(arch: Architecture, prefix: str) -> None:
    """Each convolution halves the image, up to the patch; `conv` doubles the channels each time."""
    halvings = arch.patch_size.bit_length() - 1
    if arch.patch_size != 2**halvings or not halvings:
        raise SettingError(
            f"{prefix}patch_size={arch.patch_size} is no power of 2, which "
            f"{prefix}stem={arch.stem} reaches by halving; use 2, 4, 8 or 16, or "
            f"{prefix}stem=patch"
        )
    factor = 2 ** (halvings - 1)
    if arch.stem == "conv" and arch.width % factor:
        raise SettingError(
            f"{prefix}width={arch.width} is no multiple of {factor}, which {prefix}stem=conv "
            f"needs to double its channels up to it; use "
            f"{validators.join_options(validators.multiples_around(arch.width, factor))}, or "
            f"{prefix}stem=patch"
        )


# Attention compares all pairs of tokens: with this many, the float32 weights of one head take
# 16 GiB for one image, and a typing error such as image_size=100000 would freeze the machine.
MAX_PATCHES = 2**16


def check(
    arch: Architecture,
    image_size: tuple[int, int],
    channels: int,
    num_classes: int,
    prefix: str = "",
    data_prefix: str = "",
) -> None:
    """Refuse an architecture that cannot be built for these images.

    Raises:
        SettingError: naming the setting, its value, and what would do.
    """
    validators.check_fields(arch, prefix)
    validators.check_int(f"{data_prefix}channels", channels)
    if num_classes != 0 or isinstance(num_classes, bool):
        validators.check_int(f"{data_prefix}num_classes", num_classes)
    for name in ("pixel_mean", "pixel_std"):
        validators.check_per_channel(
            prefix + name, getattr(arch, name), channels, positive=name == "pixel_std"
        )
    _check_patches(arch, image_size, prefix, data_prefix)
    if arch.width % arch.num_heads:
        raise SettingError(
            f"{prefix}num_heads={arch.num_heads} does not divide {prefix}width={arch.width}; "
            f"use {validators.join_options(validators.divisors(arch.width, 1))}"
        )
    check_combinations(arch, prefix)


def _check_patches(
    arch: Architecture, image_size: tuple[int, int], prefix: str, data_prefix: str
) -> None:
    shown = f"{data_prefix}image_size={validators.size_text(image_size)}"
    if axes := validators.uncovered_axes(image_size, arch.patch_size):
        fitting = validators.join_options(validators.divisors(math.gcd(*image_size), 2))
        sizes = validators.covered_sizes(image_size, arch.patch_size)
        of = "" if image_size[0] == image_size[1] else f" ({axes})"
        raise SettingError(
            f"{prefix}patch_size={arch.patch_size} does not divide {shown}{of}; use {fitting}, or "
            f"{data_prefix}image_size={sizes}"
        )
    patches = math.prod(size // arch.patch_size for size in image_size)
    if patches > MAX_PATCHES:
        side = math.isqrt(MAX_PATCHES) * arch.patch_size
        raise SettingError(
            f"{shown} makes {patches:,} patches of "
            f"{prefix}patch_size={arch.patch_size}; use {MAX_PATCHES:,} or fewer, as "
            f"{data_prefix}image_size={side} makes, or larger patches"
        )
