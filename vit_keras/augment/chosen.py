"""An operation on the few images of a batch that it was chosen for."""

from collections.abc import Callable
from typing import Any

from keras import ops

CHUNK = 8  # images at a time: enough to fill the cores, few enough not to be wasted


def for_chosen(function: Callable, images: Any, chosen: Any, strength: Any) -> Any:
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
