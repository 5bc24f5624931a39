"""What a ViT looks at: each block's attention on given images, and what follows.

Letters: B batch, (X, Y) image height and width, C channels, N tokens, H heads, K width of a head,
(R, S) rows and columns of patches. Tokens that are no patches (class, registers) stand in front.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.model.encoder_block import EncoderBlock


def attention(
    model: keras.Model, images: Any, layers: Iterable[str] | None = None
) -> list[np.ndarray]:
    """Images (B, X, Y, C) in 0..255 -> for each block (B, H, N, N), rows summing to 1.

    The exact weights (eq. 6), from the queries and keys that each block has of these images.

    Args:
        model: of `build_vit`, or a run's.
        images: a batch, uint8 or float.
        layers: names of blocks, such as `encoder_block_0`; None for all, from first to last.

    Raises:
        SettingError: a model without blocks of ours, images that do not fit, an unknown block.
    """
    names = [block.name for block in blocks(model)]
    chosen = names if layers is None else [named(model, layer) for layer in layers]
    seen: dict[str, np.ndarray] = {}

    def watch(index: int, weights: Any) -> Any:
        if names[index] in chosen:
            seen[names[index]] = ops.convert_to_numpy(ops.cast(weights, "float32"))
        return weights

    logits_of(model, images, watch)
    return [seen[name] for name in chosen]


def blocks(model: keras.Model) -> list[EncoderBlock]:
    """The encoder blocks, from first to last."""
    found = [layer for layer in model.layers if isinstance(layer, EncoderBlock)]
    if not found:
        raise SettingError(
            f"{model.name} has no encoder block of ours (a model that was wrapped whole has none), "
            "so its attention cannot be seen; load its weights into our ViT, by load_pretrained "
            "with opaque=False"
        )
    return found


def named(model: keras.Model, layer: str) -> str:
    """The name of a block, checked."""
    names = [block.name for block in blocks(model)]
    if layer not in names:
        raise SettingError(f"layer={layer} is no block of {model.name}{did_you_mean(layer, names)}")
    return layer


def logits_of(model: keras.Model, images: Any, watch: Callable[[int, Any], Any]) -> Any:
    """(B, X, Y, C) -> (B, classes), while `watch(index, weights)` sees each block's attention.

    What `watch` gives back is used in the weights' place. On JAX too they are written out for it,
    where the model otherwise has a kernel that never holds them. One thread at a time.
    """
    shape = tuple(model.input_shape[1:])
    images = np.asarray(images)
    if images.shape[1:] != shape:
        raise SettingError(
            f"images of shape {images.shape} do not fit {model.name}, which takes (B, {shape[0]}, "
            f"{shape[1]}, {shape[2]}); resize them, and give a single image as images[None]"
        )
    with _watched([block.attention for block in blocks(model)], watch):
        return model(images, training=False)


@contextlib.contextmanager
def _watched(attentions: list[Any], watch: Callable[[int, Any], Any]) -> Iterator[None]:
    """Have the layers pass their weights through `watch`, the model itself staying as it is."""
    for index, layer in enumerate(attentions):
        layer._attend = functools.partial(_attend, layer, functools.partial(watch, index))
    try:
        yield
    finally:
        for layer in attentions:
            del layer._attend  # the method of the class again


def _attend(layer: Any, watch: Callable[[Any], Any], q: Any, k: Any, v: Any, training: Any) -> Any:
    weights = watch(layer.weights_of(q, k))
    return ops.einsum("bhnm,bmhk->bnhk", weights, v)  # eq. 7


def rollout(model: keras.Model, images: Any) -> np.ndarray:
    """Attention rollout (Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928): -> (B, R, S).

    How much of each patch flows into what is pooled, when the attention of all blocks is
    followed back to the patches: see `joint_attention` and `read_by_pooling`. It knows no classes.
    """
    return pooled_map(model, joint_attention(attention(model, images)))


def joint_attention(weights: list[np.ndarray]) -> np.ndarray:
    """Ā_L ... Ā_2 Ā_1 of each block's (B, H, N, N): -> (B, N, N), rows summing to 1.

    Ā is the mean over heads, and half of it the identity, for the path around the attention.
    """
    identity = np.eye(weights[0].shape[-1])
    joint = identity
    for block in weights:
        joint = (block.mean(axis=1) + identity) / 2 @ joint
    return joint


def pooled_map(model: keras.Model, joint: np.ndarray) -> np.ndarray:
    """What is pooled has of each patch: (B, N, N), a row for each output -> (B, R, S).

    With a class token that is its row. Other poolings read every patch, so their rows are averaged
    (exact for the mean; a pooling that has weights of its own is taken to weigh all alike).
    """
    rows, columns = patch_grid(model)
    extra = joint.shape[-1] - rows * columns
    pooling = model.get_layer("pooling")
    # A mean over all tokens takes in what stands before the patches, unless registers are left out.
    first = getattr(pooling, "registers", 0)
    read = joint[:, 0] if pooling.pool == "token" else joint[:, first:].mean(axis=1)
    return read[:, extra:].reshape(-1, rows, columns)


def patch_grid(model: keras.Model) -> tuple[int, int]:
    """(R, S), the rows and columns of patches."""
    side = model.get_layer("patch_embedding").patch_size
    return model.input_shape[1] // side, model.input_shape[2] // side


def attention_distance(model: keras.Model, images: Any) -> np.ndarray:
    """How far each head looks, in pixels: (B, X, Y, C) -> (blocks, H).

    Dosovitskiy et al. 2021, figure 7 (right) and 11: the distance from a patch to those that it
    attends to, weighted by the attention, averaged over patches and images. Only between patches:
    weights on the class token and registers are left out, and the rest brought to a sum of 1.
    """
    rows, columns = patch_grid(model)
    places = np.indices((rows, columns)).reshape(2, -1).T  # (RS, 2)
    steps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    pixels = steps * model.get_layer("patch_embedding").patch_size
    distances = []
    for weights in attention(model, images):
        extra = weights.shape[-1] - rows * columns
        patches = weights[..., extra:, extra:]
        shares = patches / patches.sum(axis=-1, keepdims=True)
        distances.append((shares * pixels).sum(axis=-1).mean(axis=(0, 2)))
    return np.stack(distances)
