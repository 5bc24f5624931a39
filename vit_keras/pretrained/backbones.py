"""Backbones by a short name: `dinov2_s14` -> where its weights lie, and what no file says of them.

The name is that of the family, of the variant in `VARIANTS` and, where there are several, of the
image size. Licences are those of the model cards; some weights are for research only.
"""

from dataclasses import dataclass, field
from typing import Any

from vit_keras.pretrained.backbone_maps import CLIP_PIXELS, IMAGENET_PIXELS
from vit_keras.pretrained.weight_format import Pixels

HALVES = Pixels("SigLIP", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
APACHE, MIT, NON_COMMERCIAL = "Apache 2.0", "MIT", "CC BY-NC 4.0"
DINOV3 = "DINOv3 License, to be accepted at huggingface.co before the download"


@dataclass(frozen=True)
class HostedWeights:
    """Weights that Hugging Face hosts.

    Attributes:
        family: as the documentation has it.
        hub_id: `owner/name`.
        licence: of the weights.
        pixels: how they are normalised, if no file says it.
        arch: fields of `Architecture` that no file says.
    """

    family: str
    hub_id: str
    licence: str
    pixels: Pixels
    arch: dict[str, Any] = field(default_factory=dict)


def _dinov2(size: str, suffix: str = "") -> HostedWeights:
    family = "DINOv2 with registers" if suffix else "DINOv2"
    return HostedWeights(family, f"facebook/dinov2{suffix}-{size}", APACHE, IMAGENET_PIXELS)


def _dinov3(size: str) -> HostedWeights:
    hub_id = f"facebook/dinov3-{size}-pretrain-lvd1689m"
    return HostedWeights("DINOv3", hub_id, DINOV3, IMAGENET_PIXELS)


def _clip(name: str) -> HostedWeights:
    # The files have the names of timm's plain variant, and were trained with the quick GELU.
    arch = {"gelu": "quick"}
    return HostedWeights("CLIP", f"timm/vit_{name}_224.openai", APACHE, CLIP_PIXELS, arch)


def _siglip(family: str, name: str) -> HostedWeights:
    return HostedWeights(family, f"google/{name}", APACHE, HALVES)


BACKBONES = {
    "dinov2_s14": _dinov2("small"),
    "dinov2_b14": _dinov2("base"),
    "dinov2_l14": _dinov2("large"),
    "dinov2_g14": _dinov2("giant"),
    "dinov2_reg_s14": _dinov2("small", "-with-registers"),
    "dinov2_reg_b14": _dinov2("base", "-with-registers"),
    "dinov2_reg_l14": _dinov2("large", "-with-registers"),
    "dinov2_reg_g14": _dinov2("giant", "-with-registers"),
    "dinov3_s16": _dinov3("vits16"),
    "dinov3_b16": _dinov3("vitb16"),
    "dinov3_l16": _dinov3("vitl16"),
    "clip_b32": _clip("base_patch32_clip"),
    "clip_b16": _clip("base_patch16_clip"),
    "clip_l14": _clip("large_patch14_clip"),
    "openclip_b32": HostedWeights(
        "OpenCLIP", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", MIT, CLIP_PIXELS
    ),
    "openclip_b16": HostedWeights(
        "OpenCLIP", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", MIT, CLIP_PIXELS
    ),
    "openclip_l14": HostedWeights(
        "OpenCLIP", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", MIT, CLIP_PIXELS
    ),
    "siglip_b16": _siglip("SigLIP", "siglip-base-patch16-224"),
    "siglip_so400m14": _siglip("SigLIP", "siglip-so400m-patch14-384"),
    "siglip2_b16": _siglip("SigLIP 2", "siglip2-base-patch16-224"),
    "siglip2_so400m14": _siglip("SigLIP 2", "siglip2-so400m-patch14-384"),
    "mae_b16": HostedWeights(
        "MAE", "timm/vit_base_patch16_224.mae", NON_COMMERCIAL, IMAGENET_PIXELS
    ),
    "mae_l16": HostedWeights(
        "MAE", "timm/vit_large_patch16_224.mae", NON_COMMERCIAL, IMAGENET_PIXELS
    ),
    "deit3_s16": HostedWeights(
        "DeiT III", "timm/deit3_small_patch16_224.fb_in22k_ft_in1k", APACHE, IMAGENET_PIXELS
    ),
    "deit3_b16": HostedWeights(
        "DeiT III", "timm/deit3_base_patch16_224.fb_in22k_ft_in1k", APACHE, IMAGENET_PIXELS
    ),
    "msn_s16": HostedWeights("MSN", "facebook/vit-msn-small", APACHE, IMAGENET_PIXELS),
    "msn_b16": HostedWeights("MSN", "facebook/vit-msn-base", APACHE, IMAGENET_PIXELS),
}


def patch_size(name: str) -> int:
    """Side of a patch in pixels, with which a short name ends: 14 of `dinov2_s14`."""
    return int(name[-2:])


def stated(handle: str) -> dict[str, Any]:
    """Fields of `Architecture` for a short name, which the files beside the weights override."""
    backbone = BACKBONES.get(str(handle))
    if backbone is None:
        return {}
    mean, std = list(backbone.pixels.mean), list(backbone.pixels.std)
    return {"pixel_mean": mean, "pixel_std": std, **backbone.arch}
