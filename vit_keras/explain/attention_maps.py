"""Attention maps: weights of each block, attention rollout and mean attention distance.

Letters: B batch, (X, Y) image height and width, C channels, N tokens, H heads, K width of a head,
(R, S) rows and columns of patches. Class token, distillation token and registers stand before the
patch tokens.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.explain.preflight import check_layer_name
from vit_keras.model.encoder_block import EncoderBlock
from vit_keras.model.ensemble import members_of


def attention(
    model: keras.Model, images: Any, layers: Iterable[str] | None = None
) -> list[np.ndarray]:
    """Images (B, X, Y, C) in 0..255 -> attention weights (B, H, N, N) of each block, eq. 6.

    Rows sum to 1. The weights are exact: computed from each block's own queries and keys.

    Args:
        model: of `build_vit`, or a run's.
        images: a batch, uint8 or float.
        layers: names of blocks, such as `encoder_block_0`; None for all, from first to last.

    Raises:
        SettingError: the model has no encoder blocks of this package, the images do not match its
            input, or a block is unknown.
    """
    names = [block.name for block in encoder_blocks(model)]
    requested = names if layers is None else [check_layer(model, layer) for layer in layers]
    found: dict[str, np.ndarray] = {}

    def record(index: int, weights: Any) -> Any:
        if names[index] in requested:
            found[names[index]] = ops.convert_to_numpy(ops.cast(weights, "float32"))
        return weights

    logits_with_hook(model, images, record)
    return [found[name] for name in requested]


def encoder_blocks(model: keras.Model) -> list[EncoderBlock]:
    """The encoder blocks, from first to last.

    Raises:
        SettingError: there are none.
    """
    if members := members_of(model):
        raise SettingError(
            f"{model.name} is made of several models, of which rollout and relevance alone have a "
            f"common map; explain one of them, such as model.get_layer('{members[0].name}')"
        )
    found = [layer for layer in model.layers if isinstance(layer, EncoderBlock)]
    if not found:
        raise SettingError(
            f"{model.name} has no encoder block of vit_keras (a wrapped SavedModel has none), so "
            "its attention is not available; convert its weights, by load_pretrained with "
            "opaque=False"
        )
    return found


def check_layer(model: keras.Model, layer: str) -> str:
    """Return `layer` if it is the name of a block, otherwise raise a `SettingError`."""
    check_layer_name(layer, [block.name for block in encoder_blocks(model)], model.name)
    return layer


def logits_with_hook(model: keras.Model, images: Any, hook: Callable[[int, Any], Any]) -> Any:
    """(B, X, Y, C) -> (B, classes), with `hook(index, weights)` called in each block's attention.

    The return value of the hook replaces the weights (B, H, N, N). Not thread-safe.
    """
    images = checked_images(model, images)
    with _hooked([block.attention for block in encoder_blocks(model)], hook):
        return model(images, training=False)


def checked_images(model: keras.Model, images: Any) -> np.ndarray:
    """A batch (B, X, Y, C), or a `SettingError` if the model takes other images."""
    shape = tuple(model.input_shape[1:])
    images = np.asarray(images)
    if images.shape[1:] != shape:
        raise SettingError(
            f"images of shape {images.shape} do not fit {model.name}, which takes (B, {shape[0]}, "
            f"{shape[1]}, {shape[2]}); resize them, and pass a single image as images[None]"
        )
    return images


@contextlib.contextmanager
def _hooked(attentions: list[Any], hook: Callable[[int, Any], Any]) -> Iterator[None]:
    """Let the layers use `_attend` below, because fused kernels never expose the weights."""
    for index, layer in enumerate(attentions):
        layer._attend = functools.partial(_attend, layer, functools.partial(hook, index))
    try:
        yield
    finally:
        for layer in attentions:
            del layer._attend  # uncovers the method of the class


def _attend(layer: Any, hook: Callable[[Any], Any], q: Any, k: Any, v: Any, training: Any) -> Any:
    weights = hook(layer.weights_of(q, k))
    return ops.einsum("bhnm,bmhk->bnhk", weights, v)  # eq. 7


def rollout(model: keras.Model, images: Any) -> np.ndarray:
    """Attention rollout (Abnar & Zuidema 2020): (B, X, Y, C) -> (B, R, S).

    How much each patch contributes to the pooled representation, if attention of all blocks is
    followed back to the patches; independent of the class. https://arxiv.org/abs/2005.00928
    Of an ensemble, the mean of its members' maps.
    """
    if members := members_of(model):
        return np.mean([rollout(member, images) for member in members], axis=0)
    return pooled_map(model, images, joint_attention(attention(model, images)))


def joint_attention(weights: list[np.ndarray]) -> np.ndarray:
    """Ā_L ... Ā_2 Ā_1 of the weights (B, H, N, N) of each block: -> (B, N, N), rows summing to 1.

    Ā = (mean over heads + identity) / 2, where the identity stands for the residual connection.
    """
    identity = np.eye(weights[0].shape[-1])
    joint = identity
    for block in weights:
        joint = (block.mean(axis=1) + identity) / 2 @ joint
    return joint


def pooled_map(model: keras.Model, images: Any, joint: np.ndarray) -> np.ndarray:
    """(B, N, N), a row per output token -> (B, R, S), the weight of each patch after pooling.

    Token pooling reads the row of the class token, or the mean of it and of the distillation
    token's, of whose heads the logits are the mean; and sequence pooling weights the rows of all
    tokens as it weights the tokens of `images`. Other poolings average the rows that they read:
    exact for the mean, an approximation for attention pooling.
    """
    rows, columns = patch_grid(model)
    extra = joint.shape[-1] - rows * columns
    pooling = model.get_layer("pooling")
    # A mean over all tokens includes those before the patches, unless it excludes registers.
    first = getattr(pooling, "registers", 0)
    if pooling.pool == "token":
        pooled = joint[:, : getattr(pooling, "tokens", 1)].mean(axis=1)
    elif pooling.pool == "seq":
        pooled = (_pooling_weights(model, images)[..., None] * joint[:, first:]).sum(axis=1)
    else:
        pooled = joint[:, first:].mean(axis=1)
    return pooled[:, extra:].reshape(-1, rows, columns)


def _pooling_weights(model: keras.Model, images: Any) -> np.ndarray:
    """(B, X, Y, C) -> the weight that sequence pooling gives to each patch, (B, RS)."""
    pooling = model.get_layer("pooling")
    tokens = keras.Model(model.input, pooling.input)(images, training=False)
    weights = pooling.weights_of(tokens[:, pooling.registers :])
    return ops.convert_to_numpy(ops.cast(weights, "float32"))


def patch_grid(model: keras.Model) -> tuple[int, int]:
    """(R, S), the rows and columns of patches."""
    side = model.get_layer("patch_embedding").patch_size
    return model.input_shape[1] // side, model.input_shape[2] // side


def attention_distance(model: keras.Model, images: Any) -> np.ndarray:
    """Mean attention distance of each head in pixels: (B, X, Y, C) -> (blocks, H).

    Dosovitskiy et al. 2021, figures 7 (right) and 11: the distance from a patch to the patches it
    attends to, weighted by the attention, averaged over patches and images. Weights on the tokens
    before the patches are ignored, and the others normalised to a sum of 1.
    """
    rows, columns = patch_grid(model)
    positions = np.indices((rows, columns)).reshape(2, -1).T  # (RS, 2)
    patch_distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    pixels = patch_distances * model.get_layer("patch_embedding").patch_size
    distances = []
    for weights in attention(model, images):
        extra = weights.shape[-1] - rows * columns
        patches = weights[..., extra:, extra:]
        normalised = patches / patches.sum(axis=-1, keepdims=True)
        distances.append((normalised * pixels).sum(axis=-1).mean(axis=(0, 2)))
    return np.stack(distances)
