"""Augmentation operations: their names and strengths, and applying one to a part of a batch.

A policy draws steps; `geometric` and `color` carry them out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

# Operation -> the meaning of its strength. The order gives the codes.
STRENGTHS = {
    "identity": "unused",
    "shear_x": "shift of a row to the left, in pixels, relative to the row above",
    "shear_y": "shift of a column upwards, in pixels, relative to the column to its left",
    "translate_x": "pixels to the right",
    "translate_y": "pixels down",
    "rotate": "degrees counter-clockwise",
    "brightness": "enhancement factor - 1, relative to black",
    "contrast": "enhancement factor - 1, relative to the image's mean grey",
    "color": "enhancement factor - 1, relative to the grey image; -1 is greyscale",
    "sharpness": "enhancement factor - 1, relative to the smoothed image",
    "posterize": "bits that are kept",
    "solarize": "threshold from which levels are inverted; 0 inverts all",
    "autocontrast": "unused",
    "equalize": "unused",
    "hue": "shift as a fraction of the color circle",
    "blur": "standard deviation of the Gaussian, in pixels",
}
CODES = {name: code for code, name in enumerate(STRENGTHS)}
GEOMETRIC_OPS = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})

CHUNK = 8  # images per iteration of `apply_to_selected`: fills the cores, wastes little


class Step(NamedTuple):
    """One operation for each image of a batch."""

    operation: Any  # (B,) int32 of CODES
    strength: Any  # (B,) float32, see STRENGTHS
    possible: frozenset[str]  # names of the operations that can occur


def apply_to_selected(function: Callable, images: Any, selected: Any, strength: Any) -> Any:
    """Apply `function` to the selected images of a batch: (B, X, Y, C) -> (B, X, Y, C).

    Args:
        function: of (n, X, Y, C) images and (n,) strengths; acts on each image independently.
        images: (B, X, Y, C).
        selected: (B,) booleans.
        strength: (B,).
    """
    count = ops.sum(ops.cast(selected, "int32"))
    order = ops.argsort(ops.where(selected, 0, 1))  # selected images first

    def chunk(start, result):
        # The last chunk is padded by repeating its last image.
        positions = ops.minimum(start + ops.arange(CHUNK, dtype="int32"), count - 1)
        index = ops.cast(ops.take(order, positions), "int32")
        changed = function(ops.take(result, index, axis=0), ops.take(strength, index))
        return start + CHUNK, ops.scatter_update(result, index[:, None], changed)

    # A loop over chunks of the selected images: computing every operation on every image and
    # selecting afterwards takes five times as long with fourteen operations.
    first = ops.convert_to_tensor(0, "int32")
    return ops.while_loop(lambda start, _: start < count, chunk, (first, images))[1]
