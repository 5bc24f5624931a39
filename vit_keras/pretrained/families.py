"""Architectures that the ViT of this package is not, known by the names of their weights."""

from collections.abc import Iterable
from fnmatch import fnmatch

# Pattern of a name -> the family that has such a weight.
FAMILIES = {
    "*relative_position_bias_table*": "BEiT or Swin",
    "*layers.*.blocks.*": "Swin",
    "*layers.*.downsample*": "Swin",
    "*attn.rope*": "EVA-02",
    "*mlp.norm.*": "EVA-02, normalised inside the MLP",
    "*attn.norm.*": "EVA-02, normalised inside the attention",
    "*mlp.w12.*": "EVA-02 or DINOv2 of its own repository",
    "*attn.q_norm*": "a ViT whose queries and keys are normalised",
    "*stages.*": "ConvNeXt, MaxViT or another hierarchical network",
    "*layer1.0.*": "ResNet",
    "*patch_embed.backbone.*": "a hybrid of ResNet and ViT",
    "*mixer*": "MLP-Mixer",
    "*decoder*": "a model with a decoder, as of masked pre-training",
    "*qformer*": "BLIP-2",
    "*language_model*": "a multimodal language model",
}


def resemblance(names: Iterable[str]) -> str:
    """The end of a phrase about the first of `names` that is known; else empty."""
    for name in names:
        for pattern, family in FAMILIES.items():
            if fnmatch(name, pattern):
                return f", which looks like {family}"
    return ""
