"""Read the variables of a TF Hub ViT, which are unnamed, and name them by their order.

TF Hub's ViTs were exported by jax2tf (https://github.com/sayakpaul/ViT-jax2tf): their variables are
the leaves of the flax tree in the order of its sorted keys, so block 10 comes before block 2.
"""

import re
from pathlib import Path

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.pretrained.name_maps import GOOGLE, weight_mappings
from vit_keras.pretrained.weight_format import HEAD, Weights
from vit_keras.text import first_line

VARIABLE_KEY = re.compile(r"^(.*?)(\d+)/\.ATTRIBUTES/VARIABLE_VALUE$")
PRE_LOGITS = ("pre_logits/bias", "pre_logits/kernel")


def vit_weights(folder: Path) -> dict[str, np.ndarray] | None:
    """The SavedModel's arrays by Google's names; None if they are not those of a ViT.

    Raises:
        SettingError: TensorFlow is not installed, or a part of the checkpoint is missing.
    """
    arrays = _read_variables(folder)
    for names in _flax_names(len(arrays)):
        weights = dict(zip(names, arrays, strict=True))
        if _is_vit(weights):
            return weights
    return None


def run_saved_model(folder: Path, images: np.ndarray) -> np.ndarray | None:
    """Run a SavedModel on pixels in [-1, 1]: (B, X, Y, C) -> (B, units); None if not callable.

    Of several outputs, the first with two axes: the logits or the features.

    Raises:
        SettingError: its function cannot be loaded, or fails.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
        call = loaded if callable(loaded) else loaded.signatures.get("serving_default")
        if call is None:
            return None
        results = []
        for image in images:  # one by one: some were exported for batches of one
            outputs = tf.nest.flatten(call(tf.constant(image[None], tf.float32)))
            results += [output.numpy() for output in outputs if output.shape.rank == 2][:1]
        return np.concatenate(results) if results else None
    except Exception as error:  # OSError, OpError or ValueError
        raise SettingError(
            f"handle={folder}: its program cannot be run ({first_line(error)[:200]}); download it "
            "again"
        ) from None


def _read_variables(folder: Path) -> list[np.ndarray]:
    """The arrays in the order in which they were saved."""
    try:
        import tensorflow as tf
    except ImportError:
        raise SettingError(
            f"handle={folder} is a SavedModel, which needs TensorFlow; pip install tensorflow"
        ) from None
    prefix = folder / "variables" / "variables"
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        found = [
            match
            for name in reader.get_variable_to_shape_map()
            if (match := VARIABLE_KEY.match(name))
        ]
        found.sort(key=lambda match: (match[1], int(match[2])))
        return [reader.get_tensor(match[0]) for match in found]
    except Exception as error:  # ValueError, DataLossError or NotFoundError
        raise SettingError(
            f"handle={folder}: its variables cannot be read ({first_line(error)[:200]}); download "
            "it again"
        ) from None


def _flax_names(count: int) -> list[list[str]]:
    """Possible names of `count` variables of a ViT, with and without head and pre-logits layer."""
    head = [name for ours in HEAD for name in GOOGLE.mappings[ours].names]
    per_block = sum(len(p.names) for ours, p in GOOGLE.mappings.items() if "{i}" in ours)
    result = []
    for extra in ([*head], [], [*head, *PRE_LOGITS], [*PRE_LOGITS]):
        around = len(_names(0)) - len(head) + len(extra)
        depth, rest = divmod(count - around, per_block)
        if depth > 0 and not rest:
            names = [name for name in _names(depth) if name not in head] + extra
            result.append(sorted(names, key=lambda name: name.split("/")))
    return result


def _names(depth: int) -> list[str]:
    return [name for mapping in weight_mappings(GOOGLE, depth).values() for name in mapping.names]


def _is_vit(weights: Weights) -> bool:
    width = weights["cls"].shape[-1:]
    kernel = weights["embedding/kernel"].shape
    return (
        weights["cls"].shape == (1, 1, *width)
        and len(kernel) == 4
        and kernel[0] == kernel[1]
        and kernel[3:] == width
        and weights["Transformer/posembed_input/pos_embedding"].shape[::2] == (1, *width)
        and weights["Transformer/encoder_norm/scale"].shape == width
    )
