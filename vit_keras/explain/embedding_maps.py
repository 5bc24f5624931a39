"""What a ViT has learnt about patches and places, and what it makes of them.

Letters: B batch, (X, Y) image height and width, C channels, P patch side, D width, N tokens,
(R, S) rows and columns of patches.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.explain.attention_maps import blocks, patch_grid
from vit_keras.model.patch_embedding import PatchEmbedding
from vit_keras.model.position_embedding import PositionEmbedding, SinCos2D


def position_similarity(model: keras.Model) -> np.ndarray:
    """Cosines between the position embeddings of any two patches: -> (R, S, R, S), 1 at most.

    Dosovitskiy et al. 2021, figure 7 (centre).

    Raises:
        SettingError: the model adds no position embedding (rotary ones turn queries and keys).
    """
    rows, columns = patch_grid(model)
    for layer in model.layers:
        if isinstance(layer, PositionEmbedding):
            table = ops.convert_to_numpy(layer.embedding)[0]
            break
        if isinstance(layer, SinCos2D):
            table = layer.waves
            break
    else:
        raise SettingError(
            f"{model.name} adds no position embedding, so none can be compared; leave this picture "
            "out"
        )
    patches = table[-rows * columns :]  # the class token's stands in front
    unit = patches / np.maximum(np.linalg.norm(patches, axis=-1, keepdims=True), 1e-12)
    return (unit @ unit.T).reshape(rows, columns, rows, columns)


def patch_filters(model: keras.Model, count: int = 28) -> np.ndarray:
    """The principal components of the patch embedding's D filters: -> (count, P, P, C).

    Dosovitskiy et al. 2021, figure 7 (left): what an image is first looked at with. Each is of
    length 1, its sign free; in the order of what they explain, and D or P²C of them at most.

    Raises:
        SettingError: the model does not cut images into patches by one projection.
    """
    layer = next((layer for layer in model.layers if isinstance(layer, PatchEmbedding)), None)
    if layer is None:
        raise SettingError(
            f"{model.name} has no patch embedding of one projection, so no filters can be drawn; "
            "leave this picture out"
        )
    kernel = ops.convert_to_numpy(ops.cast(layer.projection.kernel, "float32"))  # (P²C, D)
    components = _principal(kernel.T)[:count]
    return components.reshape(-1, layer.patch_size, layer.patch_size, model.input_shape[-1])


def feature_pca(model: keras.Model, images: Any) -> np.ndarray:
    """The three main directions of the last layer's patches as colours: -> (B, R, S, 3) in 0..1.

    As DINOv2 is pictured (Oquab et al. 2023): patches of like features get like colours. The
    directions are those of the whole batch, so colours can be compared within it.
    """
    blocks(model)  # refuses what is no ViT of ours
    rows, columns = patch_grid(model)
    features = keras.Model(model.input, model.get_layer("encoder_norm").output)
    tokens = ops.convert_to_numpy(ops.cast(features(images, training=False), "float32"))
    patches = tokens[:, -rows * columns :]
    flat = patches.reshape(-1, patches.shape[-1])
    colours = (flat - flat.mean(axis=0)) @ _principal(flat)[:3].T
    colours = np.pad(colours, ((0, 0), (0, 3 - colours.shape[1])))  # fewer patches than directions
    low, high = colours.min(axis=0), colours.max(axis=0)
    scaled = (colours - low) / np.maximum(high - low, 1e-12)
    return scaled.reshape(-1, rows, columns, 3)


def _principal(samples: np.ndarray) -> np.ndarray:
    """(n, d) -> (min(n, d), d): the directions of most variance first, each of length 1."""
    directions = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)[2]
    # A direction and its opposite are one: the largest entry made positive picks always the same.
    largest = np.abs(directions).argmax(axis=1)
    return directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
