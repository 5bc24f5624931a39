"""The way back: a ViT of ours into the files of others."""

import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.errors import SettingError
from vit_keras.model.architecture import architecture
from vit_keras.model.vit import describe
from vit_keras.pretrained import convert, name_maps

log = logging.getLogger("vit_keras")

OTHERS = (".safetensors", ".keras", ".h5", ".hdf5", ".bin", ".pt", ".pth", ".onnx", ".json")

# What a reader of Google's .npz takes for granted: nothing in it says so.
NPZ_MEANS = {"gelu": "tanh", "norm_epsilon": 1e-6, "pixel_mean": 0.5, "pixel_std": 0.5}

# What both know, of what a ViT of ours may have.
PLAIN = {
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
    """Write a ViT of ours for others: Google's `.npz`, or a folder that Hugging Face opens.

    Args:
        model: made by `build_vit` or `load_pretrained`, or loaded from a run.
        path: ends in `.npz`, or names a folder for `model.safetensors` and its two JSON files.
        class_names: one for each logit, which Hugging Face's config.json can hold; `LABEL_0`, ...
            unless given.

    Returns:
        `path`.

    Raises:
        SettingError: the other library has no place for something in this model, or `path` exists.
    """
    path = Path(path)
    facts = describe(model)
    image_size, channels, classes = (
        facts.pop(key) for key in ("image_size", "channels", "num_classes")
    )
    arch = architecture(None, **facts)
    kind = "Google's .npz" if path.suffix == ".npz" else "Hugging Face's ViT"
    if path.suffix in OTHERS:
        raise SettingError(
            f"path={path} would be a folder, in which Hugging Face looks for model.safetensors; "
            f"name a folder, such as {path.with_suffix('')}, or a .npz file"
        )
    names = [f"LABEL_{label}" for label in range(classes)]
    if class_names is not None:
        names = [str(name) for name in class_names]
        if len(names) != classes:
            raise SettingError(
                f"class_names has {len(names)} names, and the model {classes} logits; give one each"
            )
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise SettingError(f"path={path} exists; choose a new name, nothing is overwritten")
    for setting, needed in PLAIN.items():
        if getattr(arch, setting) != needed:
            raise SettingError(
                f"{setting}={getattr(arch, setting)} has no place in {kind}, which knows "
                f"{setting}={needed} alone; save the model as .keras instead"
            )
    if image_size[0] != image_size[1]:
        raise SettingError(f"image_size={image_size} is not square, as {kind} needs it")
    if path.suffix == ".npz":
        return _write_npz(model, path, arch)
    return _write_hugging_face(model, path, arch, image_size, channels, names)


def _write_npz(model: keras.Model, path: Path, arch: Any) -> Path:
    for setting, taken in NPZ_MEANS.items():
        value = getattr(arch, setting)
        if np.any(np.asarray(value) != taken):
            log.warning("%s does not hold %s=%s; say it again when loading", path, setting, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".new-{path.name}")
    try:
        np.savez(temporary, **convert.arrays_of(model, name_maps.GOOGLE, arch))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write_hugging_face(
    model: keras.Model, path: Path, arch: Any, image_size: Any, channels: int, names: list[str]
) -> Path:
    from safetensors.numpy import save_file

    arrays = convert.arrays_of(model, name_maps.HUGGING_FACE, arch)
    if names:  # ViTForImageClassification keeps the ViT under a name of its own
        arrays = {n if n.startswith("classifier") else f"vit.{n}": a for n, a in arrays.items()}
    config = _config(arch, image_size[0], channels, names)
    pixels = _processor(arch, image_size[0], channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        whole = Path(folder) / path.name
        whole.mkdir()
        save_file(arrays, whole / "model.safetensors", {"format": "pt"})
        (whole / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        # safetensors lets the owner alone read what it writes.
        shutil.copymode(whole / "config.json", whole / "model.safetensors")
        (whole / "preprocessor_config.json").write_text(json.dumps(pixels, indent=2) + "\n")
        whole.replace(path)  # an empty folder may give way
    return path


def _config(arch: Any, side: int, channels: int, names: list[str]) -> dict[str, Any]:
    """What Hugging Face's config.json says of a ViT."""
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
    """What its preprocessor_config.json says of the pixels."""
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
