"""Save a ViT in the format of Google (.npz) or Hugging Face."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.model.architecture import architecture
from vit_keras.model.vit import describe
from vit_keras.pretrained import convert, name_maps

log = logging.getLogger("vit_keras")

FILE_SUFFIXES = (".safetensors", ".keras", ".h5", ".hdf5", ".bin", ".pt", ".pth", ".onnx", ".json")

# What readers of Google's .npz assume, because the file does not state it.
NPZ_ASSUMES = {"gelu": "tanh", "norm_epsilon": 1e-6, "pixel_mean": 0.5, "pixel_std": 0.5}

# The only options that both formats support.
SUPPORTED = {
    "pool": "token",
    "position": "learned",
    "mlp": "gelu",
    "parallel": False,
    "qk_norm": False,
    "layer_scale": 0.0,
    "registers": 0,
    "stem": "patch",
}


def save_pretrained(
    model: keras.Model, path: str | Path, class_names: Sequence[str] | None = None
) -> Path:
    """Save a ViT as a Google `.npz` file or as a folder for Hugging Face's transformers.

    Args:
        model: made by `build_vit` or `load_pretrained`, or loaded from a run.
        path: a file `*.npz`, or a folder for `model.safetensors` and its two JSON files.
        class_names: one for each logit, for Hugging Face's config.json; default `LABEL_0`, ...

    Returns:
        `path`.

    Raises:
        SettingError: the format does not support an option of this model, or `path` exists.
    """
    path = Path(path)
    facts = describe(model)
    image_size, channels, classes = (
        facts.pop(key) for key in ("image_size", "channels", "num_classes")
    )
    arch = architecture(None, **facts)
    kind = "Google's .npz" if path.suffix == ".npz" else "Hugging Face's ViT"
    if path.suffix in FILE_SUFFIXES:
        raise SettingError(
            f"path={path} would be a folder of model.safetensors and two JSON files; "
            f"use a name such as {path.with_suffix('')}, or a .npz file"
        )
    names = [f"LABEL_{label}" for label in range(classes)]
    if class_names is not None:
        names = [str(name) for name in class_names]
        if len(names) != classes:
            raise SettingError(
                f"class_names has {len(names)} names, and the model {classes} logits; give one each"
            )
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise SettingError(f"path={path} exists and is not overwritten; choose a new name")
    for setting, needed in SUPPORTED.items():
        if getattr(arch, setting) != needed:
            raise SettingError(
                f"{setting}={getattr(arch, setting)} is not supported by {kind}, only "
                f"{setting}={needed} is; save the model as .keras instead"
            )
    if image_size[0] != image_size[1]:
        raise SettingError(
            f"image_size={image_size} is not square, which {kind} needs; save the model as .keras"
        )
    if path.suffix == ".npz":
        return _write_npz(model, path, arch)
    return _write_hugging_face(model, path, arch, image_size, channels, names)


def _write_npz(model: keras.Model, path: Path, arch: Any) -> Path:
    for setting, assumed in NPZ_ASSUMES.items():
        value = getattr(arch, setting)
        if np.any(np.asarray(value) != assumed):
            log.warning("%s does not store %s=%s; pass it when loading", path, setting, value)
    with atomic.atomic_file(path) as new:
        np.savez(new, **convert.weights_in_format(model, name_maps.GOOGLE, arch))
    return path


def _write_hugging_face(
    model: keras.Model, path: Path, arch: Any, image_size: Any, channels: int, names: list[str]
) -> Path:
    from safetensors.numpy import save_file

    arrays = convert.weights_in_format(model, name_maps.HUGGING_FACE, arch)
    if names:  # ViTForImageClassification prefixes the ViT's names
        arrays = {n if n.startswith("classifier") else f"vit.{n}": a for n, a in arrays.items()}
    config = _config(arch, image_size[0], channels, names)
    pixels = _processor(arch, image_size[0], channels)
    with atomic.atomic_folder(path) as new:
        save_file(arrays, new / "model.safetensors", {"format": "pt"})
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        # safetensors writes files that only the owner can read.
        shutil.copymode(new / "config.json", new / "model.safetensors")
        (new / "preprocessor_config.json").write_text(json.dumps(pixels, indent=2) + "\n")
    return path


def _config(arch: Any, side: int, channels: int, names: list[str]) -> dict[str, Any]:
    """Content of Hugging Face's config.json."""
    return {
        "architectures": ["ViTForImageClassification" if names else "ViTModel"],
        "model_type": "vit",
        "hidden_size": arch.width,
        "num_hidden_layers": arch.depth,
        "num_attention_heads": arch.num_heads,
        "intermediate_size": arch.mlp_dim,
        "hidden_act": {"exact": "gelu", "tanh": "gelu_pytorch_tanh"}[arch.gelu],
        "hidden_dropout_prob": arch.dropout,
        "attention_probs_dropout_prob": arch.attention_dropout,
        "layer_norm_eps": arch.norm_epsilon,
        "image_size": side,
        "patch_size": arch.patch_size,
        "num_channels": channels,
        "qkv_bias": True,
        "id2label": {str(label): name for label, name in enumerate(names)},
        "label2id": {name: label for label, name in enumerate(names)},
    }


def _processor(arch: Any, side: int, channels: int) -> dict[str, Any]:
    """Content of Hugging Face's preprocessor_config.json."""
    mean, std = ([*np.broadcast_to(v, channels)] for v in (arch.pixel_mean, arch.pixel_std))
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [float(value) for value in mean],
        "image_std": [float(value) for value in std],
    }
