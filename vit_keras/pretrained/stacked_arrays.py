"""Arrays of a file that our ViT has in another division: stacked weights, and layer scale.

Letters: D width.
"""

import re
from fnmatch import fnmatch

import numpy as np

from vit_keras.pretrained.weight_format import WeightFormat

PART = re.compile(r"(.+)/(\d+)")


def split(weights: dict[str, np.ndarray], weight_format: WeightFormat) -> dict[str, np.ndarray]:
    """Each array of `fused`, (n D, ...), as n arrays (D, ...) with the names `name/0`, ..."""
    result: dict[str, np.ndarray] = {}
    for name, array in weights.items():
        counts = [n for pattern, n in weight_format.fused.items() if fnmatch(name, pattern)]
        if counts and array.ndim and array.shape[0] % counts[0] == 0:
            parts = np.split(array, counts[0])
            result |= {f"{name}/{index}": part for index, part in enumerate(parts)}
        else:
            result[name] = array
    return result


def join(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `split`, whatever the order of the parts."""
    result = {name: array for name, array in weights.items() if not PART.fullmatch(name)}
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name in weights.keys() - result.keys():
        stem, index = PART.fullmatch(name).groups()  # type: ignore[union-attr]
        parts.setdefault(stem, {})[int(index)] = weights[name]
    for stem, arrays in parts.items():
        result[stem] = np.concatenate([arrays[index] for index in sorted(arrays)])
    return result


def fold_layer_scale(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fold the layer scale of timm's files into the weights of its branch.

    diag(λ) (W x + b) = (diag(λ) W) x + λ b (CaiT, Touvron et al. 2021, eq. 4).
    """
    result = dict(weights)
    for name in weights:
        if scale := re.fullmatch(r"(blocks\.\d+\.)ls([12])\.gamma", name):
            branch = scale[1] + {"1": "attn.proj", "2": "mlp.fc2"}[scale[2]]
            kernel, bias = (result.get(f"{branch}.{part}") for part in ("weight", "bias"))
            factor = weights[name]
            if kernel is None or bias is None or not factor.shape == bias.shape == kernel.shape[:1]:
                continue  # then the branch's weights are reported missing, or this one left over
            result[f"{branch}.weight"] = kernel * factor[:, None]
            result[f"{branch}.bias"] = bias * factor
            del result[name]
    return result
