"""Initial weights of the encoder blocks, in place of each layer's own (Glorot, uniform).

They are assigned once, when a model is built from scratch: no layer knows of them, so that saved
models and pretrained weights load as ever. Letters: D width, H heads, K = D / H width of a head.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from vit_keras.model.encoder_block import EncoderBlock

# (alpha, beta): a product is alpha Z + beta I, where Z has normal values of variance 1 / D.
QUERY_KEY = (0.7, 0.7)
VALUE_PROJECTION = (0.4, -0.4)


def initialize(model: keras.Model, initialization: str) -> None:
    """Assign new weights to the encoder blocks of `model`, as `initialization` says.

    They follow Keras' global seed (`keras.utils.set_random_seed`), like those of its layers.

    Args:
        model: of `build_vit`.
        initialization: `default`, which leaves the layers' own, `mimetic` or `zero_output`.
    """
    if initialization == "default":
        return
    seed = keras.random.SeedGenerator()
    for layer in model.layers:
        if isinstance(layer, EncoderBlock):
            INITIALIZERS[initialization](layer, seed)


def mimetic(block: EncoderBlock, seed: Any) -> None:
    """Attention like that of trained ViTs: patches look at similar patches.

    W_q W_kᵀ ≈ 0.7 (Z + I) in each head, and W_v W_projection ≈ 0.4 (Z - I), each factored by an SVD
    (Trockman & Kolter 2023, "Mimetic Initialization of Self-Attention Layers",
    https://arxiv.org/abs/2305.09828, section 3), with its values for ViTs. The product of a head
    has rank K: it is the best approximation of that rank.
    """
    attention = block.attention
    width = attention.projection.kernel.shape[0]
    head_width = width // attention.num_heads
    queries, keys = [], []
    for _ in range(attention.num_heads):
        query, key = _factors(_near_identity(width, *QUERY_KEY, seed), head_width)
        queries.append(query)
        keys.append(key.T)
    value, projection = _factors(_near_identity(width, *VALUE_PROJECTION, seed), width)
    attention.qkv.kernel.assign(np.concatenate([*queries, *keys, value], axis=1))  # (D, 3D)
    attention.projection.kernel.assign(projection)


def zero_output(block: EncoderBlock, seed: Any) -> None:
    """The last layer of each residual branch begins at 0, so that a block begins as the identity.

    As in Fixup (Zhang et al. 2019, https://arxiv.org/abs/1901.09321, section 3).
    """
    for layer in (block.attention.projection, block.mlp.output_projection):
        layer.kernel.assign(np.zeros(layer.kernel.shape, "float32"))


INITIALIZERS: dict[str, Callable[[EncoderBlock, Any], None]] = {
    "mimetic": mimetic,
    "zero_output": zero_output,
}


def _near_identity(width: int, alpha: float, beta: float, seed: Any) -> np.ndarray:
    """alpha Z + beta I, (D, D)."""
    noise = keras.random.normal((width, width), stddev=width**-0.5, dtype="float32", seed=seed)
    return alpha * keras.ops.convert_to_numpy(noise) + beta * np.eye(width, dtype="float32")


def _factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(D, D) -> L (D, rank) and R (rank, D) of equal norms, whose product is nearest to it."""
    left, values, right = np.linalg.svd(matrix)
    roots = np.sqrt(values[:rank])
    return left[:, :rank] * roots, roots[:, None] * right[:rank]
