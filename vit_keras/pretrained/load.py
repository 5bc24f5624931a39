"""Load pretrained ViTs: a handle -> a Keras model with converted weights."""

import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras import validators
from vit_keras.data.image_input import ImageInput
from vit_keras.errors import SettingError
from vit_keras.model.vit import build_vit
from vit_keras.pretrained import (
    backbones,
    convert,
    download,
    infer_architecture,
    stacked_arrays,
    tfhub,
    weight_files,
)
from vit_keras.pretrained.channels import with_channels
from vit_keras.pretrained.weight_format import PATCH
from vit_keras.text import counted

log = logging.getLogger("vit_keras")


def load_pretrained(
    handle: str,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    *,
    channels: int | None = None,
    allow: Iterable[str] = (),
    opaque: bool = False,
    dtype: Any = None,
    name: str | None = None,
    **overrides: Any,
) -> keras.Model:
    """Load a pretrained ViT: (B, X, Y, C) in 0..255 -> (B, classes) float32 logits.

    Weights of other libraries are converted by name and shape. An unrecognised SavedModel is
    wrapped as a trainable layer, in float32 and for its own image size.

    Args:
        handle: a SavedModel folder, a Google `.npz`, a `.safetensors` file, a folder of Hugging
            Face, timm or keras-hub, a run or `.keras` file of vit_keras; or an address on Kaggle
            Models or tfhub.dev, a Hugging Face id, or a short name of
            `vit_keras.pretrained.backbones`, such as `dinov2_s14`, which are downloaded once.
        image_size: side, or (height, width), in pixels; the position embedding is interpolated to
            it. None keeps the file's.
        num_classes: number of logits of a new head; 0 for features (B, D); None keeps the file's
            head, or gives features if it has none.
        channels: C of images other than RGB: the weights of RGB are summed, and shared out to C
            channels, so that the logits of a grey image in all of them are those of the grey value
            as R, G and B. None keeps the file's.
        allow: patterns of names in the file that may be ignored, such as `"pooler.*"`.
        opaque: wrap a SavedModel even if it is a ViT that can be converted.
        dtype: precision, as for `build_vit`.
        name: of the model.
        **overrides: fields of `vit_keras.model.architecture.Architecture`, such as
            `stochastic_depth=0.1`, or `pixel_mean=` and `pixel_std=` if the file does not state
            them.

    Raises:
        SettingError: (a ValueError) the handle cannot be reached, the file is damaged, or a weight
            is missing, left over or of another shape; the message names it.
    """
    vit, report = load_with_report(
        handle, image_size, num_classes, allow, opaque, dtype, name, channels, **overrides
    )
    for line in report.assumed:
        log.warning("%s: assumed: %s", handle, line)
    return vit


def load_with_report(
    handle: str,
    image_size: Any = None,
    num_classes: int | None = None,
    allow: Iterable[str] = (),
    opaque: bool = False,
    dtype: Any = None,
    name: str | None = None,
    channels: int | None = None,
    **overrides: Any,
) -> tuple[keras.Model, convert.ConversionReport]:
    """`load_pretrained` that also returns the report on the conversion."""
    download.check(handle)
    is_short_name = handle in backbones.BACKBONES and not download.is_on_disk(handle)
    if is_short_name and image_size is not None:  # before the download
        _check_image_size(image_size, backbones.patch_size(handle))
    path = download.fetch(handle)
    if known := backbones.BACKBONES.get(str(handle)):
        log.info("%s: %s of %s, licence: %s", handle, known.family, known.hub_id, known.licence)
    allow = [allow] if isinstance(allow, str) else list(allow)
    weight_file = None if opaque else weight_files.read(path)
    if weight_file is None:
        return _wrap(path, image_size, num_classes, name, channels, **overrides)
    new_head = num_classes is not None
    weight_format = convert.require_format(weight_file, allow, new_head)
    weight_file = replace(
        weight_file,
        weights=stacked_arrays.split(weight_file.weights, weight_format),
        metadata=backbones.stated(handle) | weight_file.metadata,
    )
    inferred = infer_architecture.infer_architecture(weight_file, weight_format, **overrides)
    classes = inferred.num_classes if num_classes is None else num_classes
    if image_size is not None:
        _check_image_size(image_size, inferred.arch.patch_size)
    if classes and num_classes == inferred.num_classes:
        log.info(
            "%s: its head of %s is replaced by a new one", handle, counted(classes, "class[es]")
        )
    read_file, read = with_channels(weight_file, inferred, channels)
    vit = build_vit(
        None,
        image_size=inferred.image_size if image_size is None else image_size,
        num_classes=classes,
        channels=read.channels,
        dtype=dtype,
        name=name or re.sub(r"[^a-zA-Z0-9]+", "_", f"vit_{path.stem}"),  # valid in TensorFlow
        **vars(read.arch),
    )
    report = convert.load_weights(vit, read_file, read, allow, new_head)
    if read.channels != inferred.channels:
        how = "summed" if read.channels == 1 else "their sum is shared out equally"
        report.resized.append(
            f"{PATCH} from {inferred.channels} channels to {read.channels}, {how}"
        )
    report.handle = str(handle)
    if data := weight_file.metadata.get("data"):
        vit.image_input = ImageInput.of_run(data, vit.input_shape[1:])
    if weight_file.is_saved_model:
        report.compared = _compare(weight_file, inferred, allow)
    log.debug("%s", report)
    return vit, report


def _check_image_size(image_size: Any, patch_size: int) -> None:
    validators.check_patch_multiple(
        "image_size", validators.height_and_width(image_size), patch_size
    )


def _compare(
    weight_file: weight_files.WeightFile,
    inferred: infer_architecture.InferredModel,
    allow: Iterable[str],
) -> float | None:
    """Largest difference between the logits of the SavedModel and of our model on random pixels.

    None if they cannot be compared: the SavedModel cannot be called, or has a pre-logits layer.

    Raises:
        SettingError: they differ by more than rounding.
    """
    if set(tfhub.PRE_LOGITS) & set(weight_file.weights):
        return None
    # The SavedModel's own settings, whatever the caller's overrides are.
    original = dict(pixel_mean=0.5, pixel_std=0.5, gelu="tanh", norm_epsilon=1e-6)
    arch = {**vars(inferred.arch), **original}
    ours = build_vit(
        None,
        image_size=inferred.image_size,
        num_classes=inferred.num_classes,
        channels=inferred.channels,
        dtype="float32",
        **arch,
    )
    convert.load_weights(ours, weight_file, inferred, allow, new_head=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *ours.input_shape[1:]), "uint8")
    theirs = tfhub.run_saved_model(weight_file.path, pixels / np.float32(127.5) - 1)
    if theirs is None:
        return None
    logits = keras.ops.convert_to_numpy(ours(pixels, training=False))
    if theirs.shape != logits.shape:
        raise SettingError(
            f"handle={weight_file.path} outputs {theirs.shape} for two images, and as a ViT "
            f"{logits.shape}; pass opaque=True to wrap it unconverted"
        )
    difference = float(np.abs(theirs - logits).max())
    if difference > 1e-3 * max(1.0, float(np.abs(theirs).max())):
        raise SettingError(
            f"handle={weight_file.path} has the weights of a ViT but computes something else: "
            f"logits differ by {difference:.2g}; pass opaque=True to wrap it unconverted"
        )
    return difference


def _wrap(
    path: Path,
    image_size: Any,
    num_classes: int | None,
    name: str | None,
    channels: int | None,
    **overrides: Any,
) -> tuple[keras.Model, convert.ConversionReport]:
    from vit_keras.pretrained.saved_model_layer import wrapped_model

    if not (path / "saved_model.pb").is_file():
        raise SettingError(
            f"handle={path} is no SavedModel, and only that can be wrapped; leave out opaque=True"
        )
    allowed = {"pixel_mean", "pixel_std", "train_all"}
    if unknown := sorted(set(overrides) - allowed):
        raise SettingError(
            f"handle={path} is wrapped, not converted, so {unknown[0]} has no effect; leave it out "
            f"(possible: {', '.join(sorted(allowed))})"
        )
    if channels not in (None, 3):
        raise SettingError(
            f"channels={channels} has no effect on handle={path}, which is wrapped, not converted; "
            "leave it out"
        )
    model = wrapped_model(path, num_classes or None, image_size, name=name, **overrides)
    report = convert.ConversionReport(str(path), "a wrapped SavedModel", len(model.weights))
    return model, report
