"""Weight conversion between other libraries' formats and our ViT, by name and shape."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import keras
import numpy as np

from vit_keras.errors import SettingError
from vit_keras.model import architecture
from vit_keras.model.position_embedding import resize_positions
from vit_keras.pretrained import families, name_maps, stacked_arrays
from vit_keras.pretrained.infer_architecture import InferredModel
from vit_keras.pretrained.weight_files import WeightFile
from vit_keras.pretrained.weight_format import (
    DISTILLATION_HEAD,
    HEAD,
    POSITIONS,
    PRE_LOGITS,
    WITH_HEAD,
    WeightFormat,
    WeightMapping,
    Weights,
)
from vit_keras.text import counted

HEADS = (*HEAD, *DISTILLATION_HEAD)


@dataclass
class ConversionReport:
    """Report on a weight conversion.

    Attributes:
        handle: source of the weights.
        weight_format: name of the `WeightFormat`.
        matched: number of arrays of the file that were loaded.
        resized: one line for each array of another size, with the old and the new one.
        initialised: weights of the model that are newly initialised.
        left_over: arrays of the file that were not loaded -> reason.
        assumed: one line for each property that the file does not state.
        unmatched: patterns of `allow` that match no array of the file.
        compared: largest difference between the logits of the SavedModel and of our model.
    """

    handle: str
    weight_format: str
    matched: int = 0
    resized: list[str] = field(default_factory=list)
    initialised: list[str] = field(default_factory=list)
    left_over: dict[str, str] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    compared: float | None = None

    def __str__(self) -> str:
        arrays = counted(self.matched, "array[s]")
        lines = [f"{self.handle}: {arrays} in the format of {self.weight_format}"]
        lines += [f"  resized: {line}" for line in self.resized]
        lines += [f"  new: {', '.join(self.initialised)}"] if self.initialised else []
        lines += [f"  left over: {name} ({why})" for name, why in self.left_over.items()]
        lines += [f"  assumed: {line}" for line in self.assumed]
        lines += [f"  allowed, but not in the file: {name}" for name in self.unmatched]
        if self.compared is not None:
            lines += [
                f"  the logits of the SavedModel and of this model differ by {self.compared:.1e}"
            ]
        return "\n".join(lines)


def load_weights(
    vit: keras.Model,
    weight_file: WeightFile,
    inferred: InferredModel,
    allow: Iterable[str],
    new_head: bool,
) -> ConversionReport:
    """Load the weights of a file into `vit`; only its image size and head may differ.

    Args:
        vit: a model of `build_vit`.
        weight_file: the weights.
        inferred: their format and architecture.
        allow: patterns (`pooler.*`) of names in the file that may be left over.
        new_head: skip the head of the file; `vit` keeps its own, if it has one.

    Raises:
        SettingError: a weight is missing, left over or of another shape; `vit` is then unchanged.
    """
    weight_format = inferred.weight_format
    if not new_head:
        _check_classes(weight_file, inferred)
    weights = stacked_arrays.fold_layer_scale(weight_file.weights)
    paths = [variable.path for variable in vit.weights]
    mappings = name_maps.weight_mappings(weight_format, inferred.arch.depth, paths)
    report = ConversionReport(
        str(weight_file.path), weight_format.name, assumed=list(inferred.assumed)
    )
    values: dict[str, np.ndarray] = {}
    for variable in vit.weights:
        path = variable.path
        if new_head and path in HEADS:
            report.initialised.append(path)
            continue
        if path not in mappings:
            raise SettingError(
                f"handle={weight_file.path} has no weights for {path} of this model; leave out "
                "settings that change the file's own architecture"
            )
        values[path] = _value(weight_file, inferred, mappings[path], weights, variable)
    used = {name for path in values for name in mappings[path].names if name in weights}
    old_heads = [mappings[path].names for path in HEADS if new_head and path in mappings]
    dropped = {name: "a new head" for names in old_heads for name in names}
    _check_left_over(weight_file, weight_format, weights, used, dropped, allow, report)
    if POSITIONS in values:
        values[POSITIONS] = _resize_position_embedding(values[POSITIONS], vit, inferred, report)
    # Assigned only now, so that an error above leaves the model unchanged.
    for variable in vit.weights:
        if variable.path in values:
            variable.assign(values[variable.path])
    report.matched = len(used)
    report.unmatched = [
        name for name in allow if not any(fnmatch(n, name) for n in weight_file.weights)
    ]
    return report


def require_format(weight_file: WeightFile, allow: Iterable[str], new_head: bool) -> WeightFormat:
    """The format of the weights.

    Raises:
        SettingError: an unknown format, or a ViT with a part that `build_vit` does not support.
    """
    weight_format = name_maps.detect_format(weight_file.weights)
    if weight_format is None:
        examples = ", ".join(sorted(weight_file.weights)[:4]) or "none"
        known = ", ".join(known.name for known in name_maps.FORMATS)
        raise SettingError(
            f"handle={weight_file.path} has weights in an unknown format ({examples} ...)"
            f"{families.resemblance(weight_file.weights)}; use a ViT of {known}"
        )
    for name, why in weight_format.refused.items():
        goes_with_head = new_head and why in WITH_HEAD
        if name in weight_file.weights and not goes_with_head and not _is_allowed(name, allow):
            raise SettingError(_left_over(weight_file, name, why))
    return weight_format


def _check_classes(weight_file: WeightFile, inferred: InferredModel) -> None:
    stated = weight_file.metadata.get("num_classes")
    if stated and inferred.num_classes and stated != inferred.num_classes:
        raise SettingError(
            f"handle={weight_file.path} says num_classes={stated}, and its head has "
            f"{inferred.num_classes}; correct its config.json, or pass num_classes= for a new head"
        )


def _is_allowed(name: str, allow: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in allow)


def _left_over(weight_file: WeightFile, name: str, why: str) -> str:
    if why in WITH_HEAD and why != PRE_LOGITS:
        return (
            f"handle={weight_file.path} has {name}: {why}; pass num_classes= for a new head, or 0 "
            "for the features"
        )
    return (
        f'handle={weight_file.path} has {name}: {why}; to load the rest, pass allow=["{name}"], '
        "which changes what the model computes"
    )


def _value(
    weight_file: WeightFile,
    inferred: InferredModel,
    mapping: WeightMapping,
    weights: Weights,
    variable: Any,
) -> np.ndarray:
    weight_format = inferred.weight_format
    missing = [n for n in mapping.names if n not in weights and not weight_format.lacks(n)]
    if missing:
        raise SettingError(
            f"handle={weight_file.path} lacks {', '.join(missing)}, which a ViT of "
            f"{weight_format.name} has; download it again, or use a file of the complete "
            "model"
        )
    shape = list(variable.shape)
    if variable.path == POSITIONS:  # of any grid; it is interpolated later
        shape[1] = weights[mapping.names[0]].shape[-2]
    shape[-1] //= len(mapping.names)
    expected = mapping.layout.to_theirs(np.empty(shape, "float32"), inferred.arch).shape
    arrays = {name: weights.get(name, np.zeros(expected, "float32")) for name in mapping.names}
    for name, array in arrays.items():
        if array.shape != expected:
            raise SettingError(
                f"handle={weight_file.path}: {name} has shape {array.shape}, and this "
                f"model ({variable.path}) needs {expected}; leave out settings that change the "
                "file's own sizes, or download it again"
            )
    return np.concatenate([mapping.layout.to_ours(array) for array in arrays.values()], axis=-1)


def _check_left_over(
    weight_file: WeightFile,
    weight_format: WeightFormat,
    weights: Weights,
    used: set[str],
    dropped: dict[str, str],
    allow: Iterable[str],
    report: ConversionReport,
) -> None:
    """Report the arrays that are left over; raise unless each of them may be."""
    allowed = dict(dropped)
    if dropped:  # a new head also replaces the pre-logits layer before the old head
        allowed |= {name: why for name, why in weight_format.refused.items() if why in WITH_HEAD}
    for name in sorted(set(weights) - used):
        if why := allowed.get(name) or weight_format.drops(name):
            report.left_over[name] = why
        elif _is_allowed(name, allow):
            report.left_over[name] = "allowed"
        else:
            why = f"this ViT has no such weight{families.resemblance([name])}"
            raise SettingError(_left_over(weight_file, name, why))


def _resize_position_embedding(
    embedding: np.ndarray, vit: keras.Model, inferred: InferredModel, report: ConversionReport
) -> np.ndarray:
    new = architecture.grid(vit.input_shape[1:3], inferred.arch.patch_size)
    if inferred.arch.pool == "token" and embedding.shape[1] == math.prod(inferred.grid):
        # DeiT III's class token has no position embedding: zeros.
        embedding = np.pad(embedding, ((0, 0), (1, 0), (0, 0)))
    if new == inferred.grid:
        return embedding
    report.resized.append(f"{POSITIONS} from {inferred.grid} to {new} patches")
    # Hugging Face's DINOv2 with registers is antialiased, and the one without is not.
    how = "bicubic" if inferred.arch.registers else inferred.weight_format.interpolation
    return resize_positions(embedding, inferred.grid, new, how)


def weights_in_format(
    vit: keras.Model, weight_format: WeightFormat, arch: architecture.Architecture
) -> dict[str, Any]:
    """The weights of `vit` with the names and layouts of `weight_format`."""
    mappings = name_maps.weight_mappings(weight_format, arch.depth)
    result = {}
    for variable in vit.weights:
        mapping = mappings[variable.path]
        parts = np.split(keras.ops.convert_to_numpy(variable), len(mapping.names), axis=-1)
        for name, part in zip(mapping.names, parts, strict=True):
            result[name] = np.ascontiguousarray(mapping.layout.to_theirs(part, arch), "float32")
    return stacked_arrays.join(result)
