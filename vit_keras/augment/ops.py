"""An operation on the few images of a batch that it was chosen for.

What each image of a batch gets, one operation after another.

A policy draws steps; `warp` knows what those that move pixels do, `colour` what the others do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

CHUNK = 8  # images at a time: enough to fill the cores, few enough not to be wasted


def apply_where_chosen(function: Callable, images: Any, chosen: Any, strength: Any) -> Any:
    """(B, X, Y, C) -> (B, X, Y, C): `function` of the `chosen` images, the others as they are.

    A loop over so many chunks as it takes: what is computed grows with what was chosen, where to
    compute everything and choose afterwards costs five times as much with fourteen operations.

    Args:
        function: of (n, X, Y, C) images and (n,) strengths; each image a matter of its own.
        images: (B, X, Y, C).
        chosen: (B,) booleans.
        strength: (B,).
    """
    count = ops.sum(ops.cast(chosen, "int32"))
    order = ops.argsort(ops.where(chosen, 0, 1))  # the chosen ones first

    def chunk(start, result):
        # The last chunk is filled up with its last image, which then is made several times.
        places = ops.minimum(start + ops.arange(CHUNK, dtype="int32"), count - 1)
        index = ops.cast(ops.take(order, places), "int32")
        made = function(ops.take(result, index, axis=0), ops.take(strength, index))
        return start + CHUNK, ops.scatter_update(result, index[:, None], made)

    first = ops.convert_to_tensor(0, "int32")
    return ops.while_loop(lambda start, _: start < count, chunk, (first, images))[1]


# Operation -> what its strength is.
STRENGTHS = {
    "identity": "nothing",
    "shear_x": "pixels to the left, of a row for each row above it",
    "shear_y": "pixels up, of a column for each column left of it",
    "translate_x": "pixels to the right",
    "translate_y": "pixels down",
    "rotate": "degrees counter-clockwise",
    "brightness": "the factor less one, away from black",
    "contrast": "the factor less one, away from the image's mean grey",
    "colour": "the factor less one, away from grey; -1 is grey itself",
    "sharpness": "the factor less one, away from smooth",
    "posterize": "the bits that stay",
    "solarize": "the level from which on it is inverted; at 0 all is",
    "autocontrast": "nothing",
    "equalize": "nothing",
    "hue": "the part of the colour circle that it is turned by",
    "blur": "the Gaussian's standard deviation in pixels",
}
CODES = {name: code for code, name in enumerate(STRENGTHS)}
MOVES = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})


class Step(NamedTuple):
    """One operation of each image."""

    operation: Any  # (B,) int32 of CODES
    strength: Any  # (B,) float32, see STRENGTHS
    among: frozenset[str]  # the names that can occur
