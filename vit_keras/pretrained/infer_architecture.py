"""Infer the architecture of a pretrained ViT from the names and shapes of its weights."""

import math
from dataclasses import dataclass, field
from typing import Any

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model import architecture
from vit_keras.pretrained import backbone_maps, name_maps
from vit_keras.pretrained.weight_files import WeightFile
from vit_keras.pretrained.weight_format import (
    CLASS_TOKEN,
    DISTILLATION_TOKEN,
    HEAD,
    LAYER_SCALES,
    PATCH,
    POSITIONS,
    PROBE,
    REGISTERS,
    WeightFormat,
    Weights,
    names_in_block,
)

QKV = "encoder_block_{i}/attention/qkv/kernel"
HIDDEN = "encoder_block_{i}/mlp/hidden/bias"
OUTPUT = "encoder_block_{i}/mlp/output/kernel"
PRE_NORM = "pre_norm/gamma"
DEFAULT_SIZE = 224  # where neither the file nor a position embedding says it


@dataclass(frozen=True)
class InferredModel:
    """The format and architecture of a weight file.

    Attributes:
        image_size: (height, width) in pixels for which its position embedding was trained.
        grid: (rows, columns) of patches for that image size.
        num_classes: 0 if the file has no head.
        assumed: one line for each property that the file does not state.
    """

    weight_format: WeightFormat
    arch: architecture.Architecture
    image_size: tuple[int, int]
    channels: int
    num_classes: int
    assumed: list[str] = field(default_factory=list)

    @property
    def grid(self) -> tuple[int, int]:
        return architecture.grid(self.image_size, self.arch.patch_size)


def infer_architecture(
    weight_file: WeightFile, weight_format: WeightFormat, **overrides: Any
) -> InferredModel:
    """Infer the architecture; `overrides` are fields of `Architecture` that take precedence.

    Raises:
        SettingError: a size cannot be inferred.
    """
    weights, metadata = weight_file.weights, dict(weight_file.metadata)
    assumed: list[str] = []
    patch, channels, width = _patch(weight_file, weight_format)
    arch: dict[str, Any] = dict(
        patch_size=patch,
        width=width,
        depth=_depth(weights, weight_format),
        pool=_pool(weights, weight_format),
        registers=_registers(weight_file, weight_format),
        pre_norm=_has(weights, weight_format, PRE_NORM),
        layer_scale=float(_has(weights, weight_format, LAYER_SCALES[0])),
        gelu=weight_format.gelu,
        **weight_format.arch,
    )
    if "mlp_dim" not in metadata:  # our own files state it, and may have no biases
        arch |= _mlp(weight_file, weight_format)
    if (
        weight_format is name_maps.GOOGLE
        and not weight_file.is_saved_model
        and "gelu" not in overrides
    ):
        assumed.append("gelu=tanh, as in Google's models")
    image_size = metadata.pop("image_size", None)
    other = ("channels", "num_classes", "data")
    arch |= {name: metadata[name] for name in metadata if name not in other}
    arch |= {name: value for name, value in overrides.items() if value is not None}
    if "num_heads" not in arch:
        arch["num_heads"] = _heads(weight_file, weight_format, arch, assumed)
    if arch.get("mlp") == "swiglu" and weight_format is not name_maps.OWN:  # which has no GELU
        arch["gelu"] = "exact"
    if not {"pixel_mean", "pixel_std"} & set(arch):
        arch |= _pixels(weight_format, assumed)
    has_head = _has(weights, weight_format, HEAD[1])
    return InferredModel(
        weight_format,
        architecture.architecture(None, **arch),
        _image_size(weight_file, weight_format, patch, image_size, assumed),
        channels,
        num_classes=_shape(weight_file, weight_format, HEAD[1], axes=1)[0] if has_head else 0,
        assumed=assumed,
    )


def _pixels(weight_format: WeightFormat, assumed: list[str]) -> dict[str, Any]:
    """The mean and deviation of the family's pixels, which are assumed; of our default if empty."""
    if weight_format in (name_maps.GOOGLE, name_maps.OWN):
        return {}  # all of Google's models take pixels in [-1, 1], our default
    if pixels := weight_format.pixels:
        assumed.append(f"pixel_mean and pixel_std of {pixels.name}; pass others if they are wrong")
        return {"pixel_mean": list(pixels.mean), "pixel_std": list(pixels.std)}
    assumed.append(
        "pixel_mean and pixel_std of 0.5; DeiT, DINOv2 and others need ImageNet's, pass them"
    )
    return {}


def _has(weights: Weights, weight_format: WeightFormat, ours: str) -> bool:
    mapping = weight_format.mappings.get(ours)
    return mapping is not None and names_in_block(mapping.names, 0)[0] in weights


def _pool(weights: Weights, weight_format: WeightFormat) -> str:
    """What the head reads. SigLIP's classifier reads the mean, beside its attention pooling."""
    if _has(weights, weight_format, CLASS_TOKEN):
        return "token"
    reads_mean = weight_format is backbone_maps.SIGLIP and _has(weights, weight_format, HEAD[1])
    return "map" if _has(weights, weight_format, PROBE) and not reads_mean else "mean"


def _registers(weight_file: WeightFile, weight_format: WeightFormat) -> int:
    if not _has(weight_file.weights, weight_format, REGISTERS):
        return 0
    return _shape(weight_file, weight_format, REGISTERS, axes=3)[1]


def _mlp(weight_file: WeightFile, weight_format: WeightFormat) -> dict[str, Any]:
    """Hidden width of the MLP, and its kind: a SwiGLU makes twice the width that it reduces."""
    hidden = _shape(weight_file, weight_format, HIDDEN, axes=1)[0]
    hidden *= len(weight_format.mappings[HIDDEN].names)
    _shape(weight_file, weight_format, OUTPUT, axes=2)
    mapping = weight_format.mappings[OUTPUT]
    kernel = weight_file.weights[names_in_block(mapping.names, 0)[0]]
    rows = mapping.layout.to_ours(kernel).shape[0]
    if hidden == 2 * rows:
        return {"mlp": "swiglu", "mlp_dim": rows}
    return {"mlp_dim": hidden}


def _shape(
    weight_file: WeightFile, weight_format: WeightFormat, ours: str, axes: int
) -> tuple[int, ...]:
    name = names_in_block(weight_format.mappings[ours].names, 0)[0]
    if name not in weight_file.weights:
        raise SettingError(
            f"handle={weight_file.path} lacks {name}, which a ViT of {weight_format.name} has; "
            "download it again, or use a file of the complete model"
        )
    shape = weight_file.weights[name].shape
    if len(shape) < axes:
        raise SettingError(
            f"handle={weight_file.path}: {name} has shape {shape}, and a ViT's has {axes} axes; "
            "use the file of a ViT"
        )
    return shape


def _patch(weight_file: WeightFile, weight_format: WeightFormat) -> tuple[int, int, int]:
    """Patch side P, channels C and width D, from the shape of the patch projection."""
    shape = _shape(
        weight_file, weight_format, PATCH, axes=2 if weight_format.patch_axes is None else 4
    )
    if weight_format.patch_axes is None:
        return weight_file.metadata["patch_size"], weight_file.metadata["channels"], shape[-1]
    patch, channels, width = (shape[axis] for axis in weight_format.patch_axes)
    return patch, channels, width


def _depth(weights: Weights, weight_format: WeightFormat) -> int:
    """Number of blocks, up to the last of which there is any weight."""
    # Not up to the first gap: a missing weight is then reported by name.
    blocks = [mapping.names for ours, mapping in weight_format.mappings.items() if "{i}" in ours]
    found = (
        i
        for i in range(len(weights))
        for names in blocks
        if any(name in weights for name in names_in_block(names, i))
    )
    return max(found, default=-1) + 1


def _heads(
    weight_file: WeightFile, weight_format: WeightFormat, arch: dict[str, Any], assumed: list[str]
) -> int:
    """H: an axis of the attention kernels in some formats; otherwise by convention."""
    kernel = _shape(weight_file, weight_format, QKV, axes=2)
    if len(kernel) == 3:
        return kernel[1]
    for name, sizes in architecture.VARIANTS.items():
        if all(sizes[key] == arch[key] for key in ("width", "depth", "mlp_dim")):
            assumed.append(f"num_heads={sizes['num_heads']}, as in {name}")
            return sizes["num_heads"]
    if arch["width"] % 64:
        raise SettingError(
            f"handle={weight_file.path} does not state the number of heads for its width of "
            f"{arch['width']}; pass num_heads="
        )
    assumed.append(f"num_heads={arch['width'] // 64}, heads of width 64 as in the paper's ViTs")
    return arch["width"] // 64


def _image_size(
    weight_file: WeightFile,
    weight_format: WeightFormat,
    patch: int,
    stated: Any,
    assumed: list[str],
) -> tuple[int, int]:
    """The stated image size, or the square image that the position embedding fits."""
    if weight_format is name_maps.OWN:
        return validators.height_and_width(stated)
    if POSITIONS not in weight_format.mappings:  # RoPE takes any size
        if not stated:
            assumed.append(f"image_size={DEFAULT_SIZE // patch * patch}")
        return validators.height_and_width(stated or DEFAULT_SIZE // patch * patch)
    before = (CLASS_TOKEN, DISTILLATION_TOKEN)
    extra = sum(_has(weight_file.weights, weight_format, token) for token in before)
    tokens = _shape(weight_file, weight_format, POSITIONS, axes=2)[-2]
    counts = [tokens - extra]
    sizes = [validators.height_and_width(stated)] if stated else []
    if weight_format in (name_maps.TIMM, name_maps.TIMM_CLIP):
        counts += [tokens]  # DeiT III's class token has no position
    for patches in counts:
        side = math.isqrt(patches) * patch
        # timm's config may state the size of pre-training, not of later fine-tuning.
        also = [(side, side)] if len(counts) > 1 or not stated else []
        for size in sizes + also:
            if math.prod(architecture.grid(size, patch)) == patches:
                return size
    image = f"image of {sizes[0][0]}x{sizes[0][1]}" if sizes else "square image"
    raise SettingError(
        f"handle={weight_file.path} has positions for {counts[0]} patches, which no {image} in "
        f"patches of {patch} has; download it again, with its config.json"
    )
