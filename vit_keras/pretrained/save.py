"""Save a ViT in the format of Google (.npz) or Hugging Face."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.data.image_input import PREPROCESS, RESIZE, ImageInput
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.model.architecture import Architecture, architecture
from vit_keras.model.vit import describe
from vit_keras.pretrained import convert, hugging_face, name_maps
from vit_keras.pretrained.channels import rgb_kernel
from vit_keras.pretrained.weight_format import PATCH
from vit_keras.text import counted
from vit_keras.validators import check_choice

log = logging.getLogger("vit_keras")

FILE_SUFFIXES = (".safetensors", ".keras", ".h5", ".hdf5", ".bin", ".pt", ".pth", ".onnx", ".json")

# What readers of Google's .npz assume, because the file does not state it.
NPZ_ASSUMES = {"gelu": "tanh", "norm_epsilon": 1e-6, "pixel_mean": 0.5, "pixel_std": 0.5}


def save_pretrained(
    model: keras.Model,
    path: str | Path,
    class_names: Sequence[str] | None = None,
    resize_mode: str | None = None,
) -> Path:
    """Save a ViT as a Google `.npz` file or as a folder for Hugging Face's transformers.

    The folder has a ViT, or the features of the family that has such an architecture: DINOv2 (with
    layer scale), DINOv3 (with its RoPE), or the vision tower of CLIP (with a normalisation before
    the blocks) or of SigLIP (with attention pooling).
    The folder has the processor that does with an image what the run did. A model of grey images is
    saved as one of RGB that computes the same: Hugging Face's pipelines have no grey images.

    Args:
        model: made by `build_vit` or `load_pretrained`, or loaded from a run.
        path: a file `*.npz`, or a folder for `model.safetensors` and its two JSON files.
        class_names: one for each logit, for Hugging Face's config.json; default `LABEL_0`, ...
        resize_mode: how images come to the model's size, `crop`, `stretch` or `pad` as in
            `data.resize_mode`; by default as the model's run or file has it, else `stretch`.

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
    names = _names(class_names, classes)
    target = hugging_face.target_of(arch, npz=path.suffix == ".npz")
    _check(path, arch, image_size, classes, target)
    shape: tuple[int, int, int] = (*image_size, channels)
    pixels = _image_input(model, shape, resize_mode)
    if path.suffix == ".npz":
        return _write_npz(model, path, arch, pixels)
    return _write_hugging_face(model, path, arch, pixels or ImageInput(*shape), names, target)


def _names(class_names: Sequence[str] | None, classes: int) -> list[str]:
    if class_names is None:
        return [f"LABEL_{label}" for label in range(classes)]
    if len(class_names) != classes:
        raise SettingError(
            f"class_names has {counted(len(class_names), 'name[s]')}, and the model "
            f"{counted(classes, 'logit[s]')}; give one each"
        )
    return [str(name) for name in class_names]


def _check(
    path: Path,
    arch: Architecture,
    image_size: tuple[int, int],
    classes: int,
    target: hugging_face.Target,
) -> None:
    """Refuse a path that exists, and a model that the format does not support."""
    kind = target.name
    if path.suffix in FILE_SUFFIXES:
        raise SettingError(
            f"path={path} would be a folder of model.safetensors and two JSON files; "
            f"use a name such as {path.with_suffix('')}, or a .npz file"
        )
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise SettingError(f"path={path} exists and is not overwritten; choose a new name")
    for setting, needed in target.unsupported(arch).items():
        raise SettingError(
            f"{setting}={getattr(arch, setting)} is not supported by {kind}, only "
            f"{setting}={needed} is; save the model as .keras instead"
        )
    if classes and not target.has_head:
        raise SettingError(
            f"num_classes={classes} is not supported by {kind}, which has no head of one vector; "
            "save vit_keras.features(model), or the model as .keras"
        )
    if image_size[0] != image_size[1]:
        raise SettingError(
            f"image_size={image_size} is not square, which {kind} needs; save the model as .keras"
        )


def _image_input(
    model: keras.Model, shape: tuple[int, int, int], resize_mode: str | None
) -> ImageInput | None:
    """How images come to the model, as the caller, its run or its file says; None if none does."""
    known: ImageInput | None = vars(model).get("image_input")
    if resize_mode is None:
        return known
    check_choice("resize_mode", resize_mode, RESIZE)
    return replace(known or ImageInput(*shape), resize_mode=resize_mode)


def _write_npz(model: keras.Model, path: Path, arch: Any, pixels: ImageInput | None) -> Path:
    for setting, assumed in NPZ_ASSUMES.items():
        value = getattr(arch, setting)
        if np.any(np.asarray(value) != assumed):
            log.warning("%s does not store %s=%s; pass it when loading", path, setting, value)
    if pixels is not None:
        log.warning(
            "%s does not store data.resize_mode=%s; set it where images are read",
            path,
            pixels.resize_mode,
        )
    with atomic.atomic_file(path) as new:
        np.savez(new, **convert.weights_in_format(model, name_maps.GOOGLE, arch))
    return path


def _write_hugging_face(
    model: keras.Model,
    path: Path,
    arch: Architecture,
    pixels: ImageInput,
    names: list[str],
    target: hugging_face.Target,
) -> Path:
    from safetensors.numpy import save_file

    arrays = convert.weights_in_format(model, target.weight_format, arch)
    if pixels.channels == 1:
        kernel = target.weight_format.mappings[PATCH].names[0]
        arrays[kernel] = rgb_kernel(arrays[kernel], axis=1)
    arrays, config = target.files(arch, arrays, names)
    config |= {"image_size": pixels.height, "num_channels": _saved_channels(pixels)}
    with atomic.atomic_folder(path) as new:
        save_file(arrays, new / "model.safetensors", {"format": "pt"})
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        # safetensors writes files that only the owner can read.
        shutil.copymode(new / "config.json", new / "model.safetensors")
        processor = json.dumps(_processor(arch, pixels), indent=2)
        (new / "preprocessor_config.json").write_text(processor + "\n")
        if unknown := _beyond_a_processor(pixels):
            pixels.write_preprocess(new)
            log.warning(
                "WARNING: no processor of Hugging Face %s, and that of %s does not; make its "
                "pixels by %s beside it, and pass them with do_resize=False",
                *(unknown, path, PREPROCESS),
            )
    return path


def _beyond_a_processor(pixels: ImageInput) -> str:
    """What of the way from an image to the input no processor can do; empty if there is nothing."""
    if pixels.value_range is not None:
        return "maps stored values as data.value_range does"
    return "pads as data.resize_mode=pad does" if pixels.resize_mode == "pad" else ""


def _saved_channels(pixels: ImageInput) -> int:
    return 3 if pixels.channels == 1 else pixels.channels


def _processor(arch: Any, pixels: ImageInput) -> dict[str, Any]:
    """Content of Hugging Face's preprocessor_config.json."""
    mean, std = (
        np.broadcast_to(value, _saved_channels(pixels)).tolist()
        for value in (arch.pixel_mean, arch.pixel_std)
    )
    side = {"height": pixels.height, "width": pixels.width}
    resizing: dict[str, Any] = {"image_processor_type": "ViTImageProcessor", "size": side}
    if pixels.resize_mode == "crop":  # ViTImageProcessor has no crop in transformers 4
        resizing = {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": pixels.height},
            "do_center_crop": True,
            "crop_size": side,
        }
    return {
        **resizing,
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }
