"""A handle -> a ViT of ours with its weights."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model.vit import build_vit
from vit_keras.pretrained import convert, download, infer_architecture, readers, tfhub

log = logging.getLogger("vit_keras")


def load_pretrained(
    handle: str,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    *,
    allow: Iterable[str] = (),
    opaque: bool = False,
    dtype: Any = None,
    name: str | None = None,
    **overrides: Any,
) -> keras.Model:
    """The ViT that `handle` names, as our own model: pixels of 0..255 in, float32 logits out.

    Weights are recognised by their names and shapes, whatever library wrote them. A SavedModel that
    is no ViT we know is wrapped whole (opaque mode): it trains, but in float32 and at its own size.

    Args:
        handle: a SavedModel folder, `.npz` of Google's, `.safetensors`, folder of Hugging Face,
            timm or keras-hub, run or `.keras` file of ours; or an address on Kaggle Models or
            tfhub.dev, or a Hugging Face id, which are fetched once.
        image_size: side, or (height, width), in pixels; positions are resized to it. None keeps the
            file's.
        num_classes: a number makes a new head of so many logits, 0 gives features (B, D), None
            keeps the file's head, or gives features where the file has none.
        allow: patterns of names in the file that may be left out, such as `"pooler.*"`.
        opaque: wrap a SavedModel whole even if it is a ViT we know.
        dtype: precision, as for `build_vit`.
        name: of the model.
        **overrides: fields of `vit_keras.variants.Architecture`, such as `stochastic_depth=0.1`,
            or `pixel_mean=` and `pixel_std=` where the file does not say them.

    Raises:
        SettingError: (a ValueError) the handle cannot be reached, the file is damaged, or a weight
            in it is missing, left over or of another shape, by name.
    """
    vit, report = load_with_report(
        handle, image_size, num_classes, allow, opaque, dtype, name, **overrides
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
    **overrides: Any,
) -> tuple[keras.Model, convert.ConversionReport]:
    """`load_pretrained`, with the report of what became of every weight."""
    path = download.local(handle)
    allow = [allow] if isinstance(allow, str) else list(allow)
    foreign = None if opaque else readers.read(path)
    if foreign is None:
        return _opaque(path, image_size, num_classes, name, **overrides)
    new_head = num_classes is not None
    dialect = convert.format_of(foreign, allow, new_head)
    found = infer_architecture.infer_architecture(foreign, dialect, **overrides)
    classes = found.num_classes if num_classes is None else num_classes
    if image_size is not None:
        _check_size(validators.height_and_width(image_size), found.arch.patch_size)
    if classes and num_classes == found.num_classes:
        log.info("%s: its head of %d classes gives way to a new one", handle, classes)
    vit = build_vit(
        None,
        image_size=found.image_size if image_size is None else image_size,
        num_classes=classes,
        channels=found.channels,
        dtype=dtype,
        name=name or re.sub(r"[^a-zA-Z0-9]+", "_", f"vit_{path.stem}"),  # TensorFlow's scopes
        **vars(found.arch),
    )
    report = convert.load_weights(vit, foreign, found, allow, new_head)
    report.handle = str(handle)
    if foreign.is_saved_model:
        report.compared = _compare(foreign, found, allow)
    log.debug("%s", report)
    return vit, report


def _check_size(image_size: tuple[int, int], patch_size: int) -> None:
    """The file's patches are given: refuse images that they do not cover."""
    for side in image_size:
        if side % patch_size:
            below = side // patch_size * patch_size
            fitting = " or ".join(str(n) for n in (below, below + patch_size) if n)
            raise SettingError(
                f"image_size={side} is no multiple of the model's patch size, {patch_size}; use "
                f"{fitting}"
            )


def _compare(
    foreign: readers.WeightFile, found: infer_architecture.InferredModel, allow: Iterable[str]
) -> float | None:
    """Run the SavedModel and our model, as the file has it, on the same pixels.

    None where there is nothing to compare: it cannot be called, or has a layer that ours has not.

    Raises:
        SettingError: they differ by more than rounding.
    """
    if set(tfhub.PRE_LOGITS) & set(foreign.weights):
        return None
    made = dict(pixel_mean=0.5, pixel_std=0.5, gelu="tanh", norm_epsilon=1e-6)
    arch = {**vars(found.arch), **made}
    ours = build_vit(
        None,
        image_size=found.image_size,
        num_classes=found.num_classes,
        channels=found.channels,
        dtype="float32",
        **arch,
    )
    convert.load_weights(ours, foreign, found, allow, new_head=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *ours.input_shape[1:]), "uint8")
    theirs = tfhub.run(foreign.path, pixels / np.float32(127.5) - 1)
    if theirs is None:
        return None
    logits = keras.ops.convert_to_numpy(ours(pixels, training=False))
    if theirs.shape != logits.shape:
        raise SettingError(
            f"handle={foreign.path} gives {theirs.shape} for two images, and as a ViT "
            f"{logits.shape}; pass opaque=True to use it as it is"
        )
    difference = float(np.abs(theirs - logits).max())
    if difference > 1e-3 * max(1.0, float(np.abs(theirs).max())):
        raise SettingError(
            f"handle={foreign.path} has the weights of a ViT but computes something else: logits "
            f"differ by {difference:.2g}; pass opaque=True to use it as it is"
        )
    return difference


def _opaque(
    path: Path, image_size: Any, num_classes: int | None, name: str | None, **overrides: Any
) -> tuple[keras.Model, convert.ConversionReport]:
    from vit_keras.pretrained.saved_model_layer import opaque_model

    if not (path / "saved_model.pb").is_file():
        raise SettingError(
            f"handle={path} is no SavedModel, which alone can be used whole; leave out opaque=True"
        )
    fitting = {"pixel_mean", "pixel_std", "train_all"}
    if strange := sorted(set(overrides) - fitting):
        raise SettingError(
            f"handle={path} is used as it is, being no ViT that is known, and {strange[0]} is no "
            f"setting of it; leave it out ({', '.join(sorted(fitting))} are)"
        )
    model = opaque_model(path, num_classes or None, image_size, name=name, **overrides)
    report = convert.ConversionReport(str(path), "its own (wrapped whole)", len(model.weights))
    return model, report
