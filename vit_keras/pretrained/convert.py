"""Foreign weights into our ViT, and ours into their files: one loader for every dialect."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import keras
import numpy as np

from vit_keras.errors import SettingError
from vit_keras.model import architecture
from vit_keras.model.position_embedding import resize_positions
from vit_keras.pretrained import name_maps
from vit_keras.pretrained.infer_architecture import InferredModel
from vit_keras.pretrained.name_maps import HEAD, POSITIONS, WeightFormat, WeightMapping, Weights
from vit_keras.pretrained.readers import WeightFile


@dataclass
class ConversionReport:
    """What became of every weight.

    Attributes:
        handle: where the weights come from.
        dialect: whose names they have.
        matched: how many arrays of the file are in the model.
        resized: what has another shape now, and from which to which.
        initialised: our weights that the file has nothing for.
        left_over: arrays of the file that are not in the model -> why.
        assumed: what the file does not say and was taken for granted.
        unmatched: patterns that were allowed, and match nothing in the file.
        compared: the largest difference between the logits of the file's own program and ours.
    """

    handle: str
    dialect: str
    matched: int = 0
    resized: list[str] = field(default_factory=list)
    initialised: list[str] = field(default_factory=list)
    left_over: dict[str, str] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    compared: float | None = None

    def __str__(self) -> str:
        lines = [f"{self.handle}: {self.matched} arrays in {self.dialect}'s names"]
        lines += [f"  resized: {line}" for line in self.resized]
        lines += [f"  new: {', '.join(self.initialised)}"] if self.initialised else []
        lines += [f"  left over: {name} ({why})" for name, why in self.left_over.items()]
        lines += [f"  assumed: {line}" for line in self.assumed]
        lines += [f"  allowed, but not in the file: {name}" for name in self.unmatched]
        if self.compared is not None:
            lines += [f"  the file's own program and this model differ by {self.compared:.1e}"]
        return "\n".join(lines)


def load_weights(
    vit: keras.Model,
    foreign: WeightFile,
    found: InferredModel,
    allow: Iterable[str],
    new_head: bool,
) -> ConversionReport:
    """Put the file's weights into `vit`, whose sizes are the file's, its image size aside.

    Args:
        vit: a model by `build_vit`.
        foreign: what was read.
        found: its dialect and sizes.
        allow: patterns (`pooler.*`) of names in the file that may be left over.
        new_head: the file's head is left out, and `vit` keeps its own, if it has one.

    Raises:
        SettingError: a weight is missing, left over or of another shape; nothing was changed then.
    """
    dialect = found.dialect
    if not new_head:
        _check_classes(foreign, found)
    weights = fold_layer_scale(foreign.weights)
    paths = [variable.path for variable in vit.weights]
    table = name_maps.weight_mappings(dialect, found.arch.depth, paths)
    report = ConversionReport(str(foreign.path), dialect.name, assumed=list(found.assumed))
    values: dict[str, np.ndarray] = {}
    for variable in vit.weights:
        ours = variable.path
        if new_head and ours in HEAD:
            report.initialised.append(ours)
            continue
        values[ours] = _value(foreign, found, table[ours], weights, variable)
    used = {name for ours in values for name in table[ours].names}
    dropped = {name: "a new head" for ours in HEAD for name in table[ours].names if new_head}
    _check_left_over(foreign, dialect, weights, used, dropped, allow, report)
    if POSITIONS in values:
        values[POSITIONS] = _on_new_grid(values[POSITIONS], vit, found, report)
    for variable in vit.weights:
        if variable.path in values:
            variable.assign(values[variable.path])
    report.matched = len(used)
    report.unmatched = [
        name for name in allow if not any(fnmatch(n, name) for n in foreign.weights)
    ]
    return report


def format_of(foreign: WeightFile, allow: Iterable[str], new_head: bool) -> WeightFormat:
    """Whose names these are.

    Raises:
        SettingError: nobody's that is known, or a ViT's with something that ours does not have.
    """
    dialect = name_maps.detect_format(foreign.weights)
    if dialect is None:
        some = ", ".join(sorted(foreign.weights)[:4]) or "none"
        known = ", ".join(known.name for known in name_maps.FORMATS)
        raise SettingError(
            f"handle={foreign.path} has weights of a model that is not known ({some} ...); known "
            f"are the ViTs of {known}"
        )
    for name, why in dialect.refused.items():
        goes_with_head = new_head and why == name_maps.PRE_LOGITS
        if name in foreign.weights and not goes_with_head and not _is_allowed(name, allow):
            raise SettingError(_left_over(foreign, name, why))
    return dialect


def _check_classes(foreign: WeightFile, found: InferredModel) -> None:
    said = foreign.facts.get("num_classes")
    if said and found.num_classes and said != found.num_classes:
        raise SettingError(
            f"handle={foreign.path} says num_classes={said}, and its head has {found.num_classes}; "
            "mend its config.json, or pass num_classes= for a new head"
        )


def _is_allowed(name: str, allow: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in allow)


def _left_over(foreign: WeightFile, name: str, why: str) -> str:
    return (
        f'handle={foreign.path} has {name}: {why}; to go on without it, pass allow=["{name}"], '
        "which changes what the model computes"
    )


def _value(
    foreign: WeightFile, found: InferredModel, place: WeightMapping, weights: Weights, variable: Any
) -> np.ndarray:
    missing = [name for name in place.names if name not in weights]
    if missing:
        raise SettingError(
            f"handle={foreign.path} lacks {', '.join(missing)}, which a ViT of "
            f"{found.dialect.name} has; fetch it again, or give a file of the whole model"
        )
    shape = list(variable.shape)
    if variable.path == POSITIONS:  # of any grid
        shape[1] = weights[place.names[0]].shape[-2]
    shape[-1] //= len(place.names)
    expected = place.layout.to_theirs(np.empty(shape, "float32"), found.arch).shape
    for name in place.names:
        if weights[name].shape != expected:
            raise SettingError(
                f"handle={foreign.path}: {name} has shape {weights[name].shape}, and this model "
                f"({variable.path}) needs {expected}; leave out settings that change the file's "
                "own sizes, or fetch it again"
            )
    return np.concatenate([place.layout.to_ours(weights[name]) for name in place.names], axis=-1)


def _check_left_over(
    foreign: WeightFile,
    dialect: WeightFormat,
    weights: Weights,
    used: set[str],
    dropped: dict[str, str],
    allow: Iterable[str],
    report: ConversionReport,
) -> None:
    """Sort what is left over into what may be, and refuse the rest by name."""
    allowed = {**dialect.droppable, **dropped}
    if dropped:  # a new head does without what came before the old one
        hidden = name_maps.PRE_LOGITS
        allowed |= {name: hidden for name, why in dialect.refused.items() if why == hidden}
    for name in sorted(set(weights) - used):
        if name in allowed:
            report.left_over[name] = allowed[name]
        elif _is_allowed(name, allow):
            report.left_over[name] = "allowed"
        else:
            raise SettingError(_left_over(foreign, name, "this ViT has no place for it"))


def fold_layer_scale(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """LayerScale (Touvron et al. 2021, CaiT, eq. 4) of timm's files, multiplied into the weights.

    diag(λ) (W x + b) = (diag(λ) W) x + λ b: the same function without the extra weights.
    """
    result = dict(weights)
    for name in weights:
        if scale := re.fullmatch(r"(blocks\.\d+\.)ls([12])\.gamma", name):
            branch = scale[1] + {"1": "attn.proj", "2": "mlp.fc2"}[scale[2]]
            kernel, bias = (result.get(f"{branch}.{part}") for part in ("weight", "bias"))
            factor = weights[name]
            if kernel is None or bias is None or not factor.shape == bias.shape == kernel.shape[:1]:
                continue  # the branch's weights will be missed, or this one left over
            result[f"{branch}.weight"] = kernel * factor[:, None]
            result[f"{branch}.bias"] = bias * factor
            del result[name]
    return result


def _on_new_grid(
    embedding: np.ndarray, vit: keras.Model, found: InferredModel, report: ConversionReport
) -> np.ndarray:
    new = architecture.grid(vit.input_shape[1:3], found.arch.patch_size)
    if found.arch.pool == "token" and embedding.shape[1] == math.prod(found.grid):
        embedding = np.pad(embedding, ((0, 0), (1, 0), (0, 0)))  # a class token without position
    if new == found.grid:
        return embedding
    report.resized.append(f"{POSITIONS} from {found.grid} to {new} patches")
    return resize_positions(embedding, found.grid, new)


def arrays_of(
    vit: keras.Model, dialect: WeightFormat, arch: architecture.Architecture
) -> dict[str, Any]:
    """The weights of `vit` under `dialect`'s names and in its layouts."""
    table = name_maps.weight_mappings(dialect, arch.depth)
    result = {}
    for variable in vit.weights:
        place = table[variable.path]
        parts = np.split(keras.ops.convert_to_numpy(variable), len(place.names), axis=-1)
        for name, part in zip(place.names, parts, strict=True):
            result[name] = np.ascontiguousarray(place.layout.to_theirs(part, arch), "float32")
    return result
