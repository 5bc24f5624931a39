"""Which model of Hugging Face's transformers has an architecture, and its weights and config.json.

Letters: D width, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.model.architecture import Architecture
from vit_keras.pretrained import backbone_maps, name_maps
from vit_keras.pretrained.weight_format import WeightFormat

Arrays = dict[str, np.ndarray]
HIDDEN_ACTS = {"exact": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}

# The options of the paper's ViT, which all formats support.
PLAIN = {
    "pool": "token",
    "position": "learned",
    "mlp": "gelu",
    "bias": True,
    "parallel": False,
    "qk_norm": False,
    "pre_norm": False,
    "layer_scale": 0.0,
    "distillation_token": False,
    "registers": 0,
    "stem": "patch",
}


@dataclass(frozen=True)
class Target:
    """A model that can be saved, and how.

    Attributes:
        name: in messages.
        weight_format: of its file.
        differs: options in which it differs from `PLAIN`; None for any value.
        make: (architecture, arrays, class names) -> the arrays and the content of config.json.
        has_head: whether a classification head of (D, K) belongs to it.
    """

    name: str
    weight_format: WeightFormat
    make: Callable[[Architecture, Arrays, list[str]], tuple[Arrays, dict[str, Any]]]
    differs: dict[str, Any]
    has_head: bool = False

    def unsupported(self, arch: Architecture) -> dict[str, Any]:
        """Each setting that the model does not support -> what it does."""
        needed = {**PLAIN, **self.differs}
        return {
            setting: value
            for setting, value in needed.items()
            if value is not None and getattr(arch, setting) != value
        }

    def files(
        self, arch: Architecture, arrays: Arrays, names: list[str]
    ) -> tuple[Arrays, dict[str, Any]]:
        """Content of `model.safetensors` and of config.json, but for the images."""
        arrays, config = self.make(arch, arrays, names)
        return arrays, {
            "hidden_size": arch.width,
            "num_hidden_layers": arch.depth,
            "num_attention_heads": arch.num_heads,
            "hidden_act": HIDDEN_ACTS[arch.gelu],
            "layer_norm_eps": arch.norm_epsilon,
            "patch_size": arch.patch_size,
            **config,
        }


def _vit(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    if names:  # ViTForImageClassification prefixes the ViT's names
        arrays = {n if n.startswith("classifier") else f"vit.{n}": a for n, a in arrays.items()}
    return arrays, {
        "architectures": ["ViTForImageClassification" if names else "ViTModel"],
        "model_type": "vit",
        "intermediate_size": arch.mlp_dim,
        "hidden_dropout_prob": arch.dropout,
        "attention_probs_dropout_prob": arch.attention_dropout,
        "qkv_bias": True,
        "id2label": {str(label): name for label, name in enumerate(names)},
        "label2id": {name: label for label, name in enumerate(names)},
    }


def _deit(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    """Its configuration is a ViT's but for the name."""
    if names:  # DeiTForImageClassificationWithTeacher prefixes the names of all but the heads
        arrays = {n if "classifier" in n else f"deit.{n}": a for n, a in arrays.items()}
    _, config = _vit(arch, {}, names)
    kind = "DeiTForImageClassificationWithTeacher" if names else "DeiTModel"
    return arrays, {**config, "architectures": [kind], "model_type": "deit"}


def _dinov2(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    arrays["embeddings.mask_token"] = np.zeros((1, arch.width), "float32")  # of pre-training
    registers = {"num_register_tokens": arch.registers} if arch.registers else {}
    is_gated = arch.mlp == "swiglu"
    return arrays, {
        "architectures": ["Dinov2WithRegistersModel" if registers else "Dinov2Model"],
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        "mlp_ratio": _mlp_ratio(arch),
        "hidden_dropout_prob": arch.dropout,
        "attention_probs_dropout_prob": arch.attention_dropout,
        "qkv_bias": True,
        "layerscale_value": arch.layer_scale,
        "use_swiglu_ffn": is_gated,
        **registers,
    }


def _mlp_ratio(arch: Architecture) -> int:
    """M / D, a whole number; its SwiGLU has two thirds of M, rounded up to a multiple of 8."""
    for ratio in range(1, 65):
        hidden = ratio * arch.width
        if arch.mlp_dim == (hidden if arch.mlp == "gelu" else -(-(hidden * 2 // 3) // 8) * 8):
            return ratio
    raise SettingError(
        f"mlp_dim={arch.mlp_dim} of width={arch.width} and mlp={arch.mlp} is no MLP of Hugging "
        "Face's DINOv2, which has whole multiples of the width; save the model as .keras instead"
    )


def _dinov3(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    """Its keys have no bias; a training may have given them one, which the config then says."""
    has_bias = {}
    for part, key in (("q", "query_bias"), ("k", "key_bias"), ("v", "value_bias")):
        biases = [name for name in arrays if name.endswith(f".{part}_proj.bias")]
        has_bias[key] = any(arrays[name].any() for name in biases)
        if not has_bias[key]:
            arrays = {name: array for name, array in arrays.items() if name not in biases}
    arrays["embeddings.mask_token"] = np.zeros((1, 1, arch.width), "float32")
    is_gated = arch.mlp == "swiglu"
    return arrays, {
        "architectures": ["DINOv3ViTModel"],
        "model_type": "dinov3_vit",
        "intermediate_size": arch.mlp_dim,
        "attention_dropout": arch.attention_dropout,
        "layerscale_value": arch.layer_scale,
        "num_register_tokens": arch.registers,
        "use_gated_mlp": is_gated,
        **({"hidden_act": "silu"} if is_gated else {}),
        **has_bias,
    }


def _clip(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    """Its patches have no bias: one that a training has given them goes into their positions."""
    bias = arrays.pop("embeddings.patch_embedding.bias")
    arrays["embeddings.position_embedding.weight"][1:] += bias
    return _tower(arch, arrays, "CLIPVisionModel", "clip_vision_model")


def _siglip(arch: Architecture, arrays: Arrays, names: list[str]) -> tuple[Arrays, dict[str, Any]]:
    return _tower(arch, arrays, "SiglipVisionModel", "siglip_vision_model")


def _tower(
    arch: Architecture, arrays: Arrays, architecture: str, model_type: str
) -> tuple[Arrays, dict[str, Any]]:
    return {f"vision_model.{name}": array for name, array in arrays.items()}, {
        "architectures": [architecture],
        "model_type": model_type,
        "intermediate_size": arch.mlp_dim,
        "attention_dropout": arch.attention_dropout,
    }


VIT = Target("Hugging Face's ViT", name_maps.HUGGING_FACE, _vit, {}, has_head=True)
DEIT = Target(
    "Hugging Face's DeiT",
    name_maps.HUGGING_FACE_DISTILLED,
    _deit,
    {"distillation_token": True},
    has_head=True,
)
NPZ = Target("Google's .npz", name_maps.GOOGLE, _vit, {}, has_head=True)
DINOV2 = Target(
    "Hugging Face's DINOv2",
    backbone_maps.DINOV2,
    _dinov2,
    {"layer_scale": None, "registers": None},
)
DINOV2_SWIGLU = Target(
    "Hugging Face's DINOv2",
    backbone_maps.DINOV2_SWIGLU,
    _dinov2,
    {**DINOV2.differs, "mlp": "swiglu"},
)
DINOV3 = Target(
    "Hugging Face's DINOv3",
    backbone_maps.DINOV3,
    _dinov3,
    {"position": "rope_dinov3", "layer_scale": None, "registers": None},
)
DINOV3_SWIGLU = Target(
    "Hugging Face's DINOv3",
    backbone_maps.DINOV3_SWIGLU,
    _dinov3,
    {**DINOV3.differs, "mlp": "swiglu"},
)
CLIP = Target("Hugging Face's CLIP", backbone_maps.CLIP, _clip, {"pre_norm": True})
SIGLIP = Target("Hugging Face's SigLIP", backbone_maps.SIGLIP, _siglip, {"pool": "map"})


def target_of(arch: Architecture, npz: bool = False) -> Target:
    """The model that has the architecture, or is nearest to it."""
    if npz:
        return NPZ
    is_gated = arch.mlp == "swiglu"
    if arch.position == "rope_dinov3" and arch.layer_scale:
        return DINOV3_SWIGLU if is_gated else DINOV3
    if arch.pre_norm:
        return CLIP
    if arch.pool == "map":
        return SIGLIP
    if arch.layer_scale:
        return DINOV2_SWIGLU if is_gated else DINOV2
    return DEIT if arch.distillation_token else VIT
