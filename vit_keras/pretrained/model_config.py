"""What the JSON files beside weights say of the model, with our names."""

import json
from pathlib import Path
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.errors import SettingError

# Hugging Face's `hidden_act` -> our `gelu`.
GELUS = {
    "gelu": "exact",
    "gelu_new": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "gelu_fast": "tanh",
    "quick_gelu": "quick",
}


def read(folder: Path) -> dict[str, Any]:
    """Metadata of the model in `folder`: fields of `Architecture`, `image_size`, `num_classes` and
    `data`; without those that no file states.

    Raises:
        SettingError: an activation that our ViT does not have.
    """
    config = read_json(folder / "config.json")
    config |= config.get("vision_config") or {}  # of CLIP and SigLIP, beside the text tower's
    timm = config.get("pretrained_cfg") or {}
    metadata: dict[str, Any] = {}
    if "hidden_size" in config or "hidden_act" in config:
        metadata = _hugging_face(folder, config)
    elif timm:
        metadata = _timm(config, timm)
    elif (folder / "open_clip_config.json").is_file():
        config = read_json(folder / "open_clip_config.json")
        metadata, timm = _open_clip(config["model_cfg"]), config.get("preprocess_cfg") or {}
    pixels = read_json(folder / "preprocessor_config.json")
    if pixels:
        mode = "crop" if pixels.get("do_center_crop") else "stretch"
        metadata["data"] = DataConfig(resize_mode=mode)
    if pixels.get("do_normalize") is False:
        pixels |= {"image_mean": 0.0, "image_std": 1.0}
    metadata["pixel_mean"] = timm.get("mean", pixels.get("image_mean"))
    metadata["pixel_std"] = timm.get("std", pixels.get("image_std"))
    return {name: value for name, value in metadata.items() if value or value == 0}


def _hugging_face(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Later versions of transformers leave out what is a family's default."""
    activation = config.get("hidden_act")
    is_gated = config.get("use_gated_mlp") or config.get("use_swiglu_ffn")
    # A gated MLP of DINOv2 is a SwiGLU whatever the config says.
    known = ["silu"] if config.get("use_gated_mlp") else [*GELUS]
    if activation is not None and activation not in known:
        raise SettingError(
            f"{folder / 'config.json'}: hidden_act={activation} is not supported; use "
            f"{', '.join(known)}"
        )
    if (base := config.get("rope_theta", 100)) != 100:
        raise SettingError(
            f"{folder / 'config.json'}: rope_theta={base} is not supported; use 100, which "
            "DINOv3's models have"
        )
    dropouts = ("attention_probs_dropout_prob", "attention_dropout")
    return {
        "num_heads": config.get("num_attention_heads"),
        "norm_epsilon": config.get("layer_norm_eps"),
        "gelu": None if is_gated else GELUS.get(activation or ""),
        "dropout": config.get("hidden_dropout_prob"),
        "attention_dropout": next((config[name] for name in dropouts if name in config), None),
        "layer_scale": config.get("layerscale_value"),
        "image_size": config.get("image_size"),
        "num_classes": config.get("num_labels", len(config.get("id2label") or {})),
    }


def _timm(config: dict[str, Any], pretrained: dict[str, Any]) -> dict[str, Any]:
    modes = {"center": "crop", "squash": "stretch", "border": "pad"}
    return {
        "image_size": pretrained.get("input_size", [None])[1:],
        "num_classes": config.get("num_classes"),
        "gelu": "quick" if "quickgelu" in str(config.get("architecture")) else None,
        "data": DataConfig(resize_mode=modes.get(str(pretrained.get("crop_mode")), "crop")),
    }


def _open_clip(model: dict[str, Any]) -> dict[str, Any]:
    vision = model["vision_cfg"]
    width = vision.get("width")
    return {
        "image_size": vision.get("image_size"),
        "num_heads": width // vision.get("head_width", 64) if width else None,
        "gelu": "quick" if model.get("quick_gelu") else None,
        "data": DataConfig(resize_mode="crop"),
    }


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no object")
    return content
