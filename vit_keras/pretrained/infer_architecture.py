"""The sizes of a foreign ViT, out of the names and shapes of its weights."""

import math
from dataclasses import dataclass, field
from typing import Any

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model import architecture
from vit_keras.pretrained import name_maps
from vit_keras.pretrained.name_maps import CLASS_TOKEN, HEAD, PATCH, POSITIONS, WeightFormat
from vit_keras.pretrained.readers import WeightFile

QKV = "encoder_block_{i}/attention/qkv/kernel"
HIDDEN = "encoder_block_{i}/mlp/hidden/bias"


@dataclass(frozen=True)
class InferredModel:
    """A file's dialect and sizes.

    Attributes:
        image_size: (height, width) that its positions were learned at.
        grid: that in patches.
        num_classes: 0 when the file has no head.
        assumed: what the file does not say.
    """

    dialect: WeightFormat
    arch: architecture.Architecture
    image_size: tuple[int, int]
    channels: int
    num_classes: int
    assumed: list[str] = field(default_factory=list)

    @property
    def grid(self) -> tuple[int, int]:
        return architecture.grid(self.image_size, self.arch.patch_size)


def infer_architecture(
    foreign: WeightFile, dialect: WeightFormat, **overrides: Any
) -> InferredModel:
    """Read the sizes; `overrides` are the caller's fields of `Architecture`, which win.

    Raises:
        SettingError: a size cannot be known.
    """
    weights, facts = foreign.weights, dict(foreign.facts)
    assumed: list[str] = []
    patch, channels, width = _patch(foreign, dialect)
    arch: dict[str, Any] = dict(
        patch_size=patch,
        width=width,
        depth=_depth(weights, dialect),
        mlp_dim=_shape(foreign, dialect, HIDDEN, axes=1)[0],
        pool="token" if dialect.places[CLASS_TOKEN].names[0] in weights else "mean",
        gelu=dialect.gelu,
    )
    if dialect is name_maps.GOOGLE and not foreign.is_saved_model and "gelu" not in overrides:
        assumed.append("gelu=tanh, as Google's own files have it")
    image_size = facts.pop("image_size", None)
    arch |= {name: facts[name] for name in facts if name not in ("channels", "num_classes")}
    arch |= {name: value for name, value in overrides.items() if value is not None}
    if "num_heads" not in arch:
        arch["num_heads"] = _heads(foreign, dialect, arch, assumed)
    says_pixels = dialect in (
        name_maps.GOOGLE,
        name_maps.OWN,
    )  # Google's are in [-1, 1], all of them
    if not says_pixels and not {"pixel_mean", "pixel_std"} & set(arch):
        assumed.append("pixel_mean and pixel_std of 0.5; DeiT has ImageNet's: give them then")
    has_head = dialect.places[HEAD[1]].names[0] in weights
    return InferredModel(
        dialect,
        architecture.architecture(None, **arch),
        _image_size(foreign, dialect, patch, image_size),
        channels,
        num_classes=_shape(foreign, dialect, HEAD[1], axes=1)[0] if has_head else 0,
        assumed=assumed,
    )


def _shape(foreign: WeightFile, dialect: WeightFormat, ours: str, axes: int) -> tuple[int, ...]:
    name = name_maps.mappings_in_block(dialect.places[ours].names, 0)[0]
    if name not in foreign.weights:
        raise SettingError(
            f"handle={foreign.path} lacks {name}, which a ViT of {dialect.name} has; fetch it "
            "again, or give a file of the whole model"
        )
    shape = foreign.weights[name].shape
    if len(shape) < axes:
        raise SettingError(
            f"handle={foreign.path}: {name} has shape {shape}, and a ViT's has {axes} axes; give "
            "the file of a ViT"
        )
    return shape


def _patch(foreign: WeightFile, dialect: WeightFormat) -> tuple[int, int, int]:
    """P, C and D."""
    shape = _shape(foreign, dialect, PATCH, axes=2 if dialect.patch_axes is None else 4)
    if dialect.patch_axes is None:
        return foreign.facts["patch_size"], foreign.facts["channels"], shape[-1]
    patch, channels, width = (shape[axis] for axis in dialect.patch_axes)
    return patch, channels, width


def _depth(weights: name_maps.Weights, dialect: WeightFormat) -> int:
    """Blocks up to the last that has any weight; what is missing of one will be named."""
    blocks = [place.names for ours, place in dialect.places.items() if "{i}" in ours]
    found = (
        i
        for i in range(len(weights))
        for names in blocks
        if any(name in weights for name in name_maps.mappings_in_block(names, i))
    )
    return max(found, default=-1) + 1


def _heads(
    foreign: WeightFile, dialect: WeightFormat, arch: dict[str, Any], assumed: list[str]
) -> int:
    """H by the shape of the attention's kernels where they show it; else by convention."""
    kernel = _shape(foreign, dialect, QKV, axes=2)
    if len(kernel) == 3:
        return kernel[1]
    for name, sizes in architecture.VARIANTS.items():
        if all(sizes[key] == arch[key] for key in ("width", "depth", "mlp_dim")):
            assumed.append(f"num_heads={sizes['num_heads']}, as {name} has it")
            return sizes["num_heads"]
    if arch["width"] % 64:
        raise SettingError(
            f"handle={foreign.path} does not say how many heads its width of {arch['width']} is "
            "divided into; pass num_heads="
        )
    assumed.append(f"num_heads={arch['width'] // 64}, heads of 64 as in every ViT of the paper")
    return arch["width"] // 64


def _image_size(
    foreign: WeightFile, dialect: WeightFormat, patch: int, said: Any
) -> tuple[int, int]:
    """What the file says, or the square that its positions fit."""
    if dialect is name_maps.OWN:
        return validators.height_and_width(said)
    extra = int(dialect.places[CLASS_TOKEN].names[0] in foreign.weights)
    tokens = _shape(foreign, dialect, POSITIONS, axes=2)[-2]
    counts = [tokens - extra]
    sizes = [validators.height_and_width(said)] if said else []
    if dialect is name_maps.TIMM:
        counts += [tokens]  # DeiT III's class token has no position
    for patches in counts:
        side = math.isqrt(patches) * patch
        # timm says what size it was trained for first, perhaps before another one.
        also = [(side, side)] if dialect is name_maps.TIMM or not said else []
        for size in sizes + also:
            if math.prod(architecture.grid(size, patch)) == patches:
                return size
    image = f"image of {sizes[0][0]}x{sizes[0][1]}" if sizes else "square image"
    raise SettingError(
        f"handle={foreign.path} has positions for {counts[0]} patches, which no {image} in "
        f"patches of {patch} has; fetch it again, with its config.json"
    )
