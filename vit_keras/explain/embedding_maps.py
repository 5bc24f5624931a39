"""Views of embeddings: patch filters, similarity of position embeddings, PCA of patch features.

Letters: B batch, (X, Y) image height and width, C channels, P patch side, D width, N tokens,
(R, S) rows and columns of patches.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.explain.attention_maps import encoder_blocks, patch_grid
from vit_keras.model.patch_embedding import PatchEmbedding
from vit_keras.model.position_embedding import PositionEmbedding, SinCos2D


def position_similarity(model: keras.Model) -> np.ndarray:
    """Cosine similarity between the position embeddings of all pairs of patches: -> (R, S, R, S).

    Dosovitskiy et al. 2021, figure 7 (centre).

    Raises:
        SettingError: the model adds no position embedding (rotary ones act in the attention).
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
            f"{model.name} adds no position embedding, so there is none to compare; leave this "
            "plot out"
        )
    patches = table[-rows * columns :]  # that of the class token comes first
    unit = patches / np.maximum(np.linalg.norm(patches, axis=-1, keepdims=True), 1e-12)
    return (unit @ unit.T).reshape(rows, columns, rows, columns)


def patch_filters(model: keras.Model, count: int = 28) -> np.ndarray:
    """Principal components of the D filters of the patch embedding: -> (count, P, P, C).

    Dosovitskiy et al. 2021, figure 7 (left). Unit vectors of arbitrary sign, by descending
    variance; there are at most min(D, P²C) of them.

    Raises:
        SettingError: the patch embedding is not a single projection.
    """
    layer = next((layer for layer in model.layers if isinstance(layer, PatchEmbedding)), None)
    if layer is None:
        raise SettingError(
            f"{model.name} has no patch embedding by a single projection, so it has no filters; "
            "leave this plot out"
        )
    kernel = ops.convert_to_numpy(ops.cast(layer.projection.kernel, "float32"))  # (P²C, D)
    components = _principal_components(kernel.T)[:count]
    return components.reshape(-1, layer.patch_size, layer.patch_size, model.input_shape[-1])


def feature_pca(model: keras.Model, images: Any) -> np.ndarray:
    """First three principal components of the last layer's patches: -> (B, R, S, 3) RGB in 0..1.

    As in DINOv2 (Oquab et al. 2023): patches of similar features have similar colours. The
    components are those of the whole batch, so colours are comparable within it.
    """
    encoder_blocks(model)  # refuses a model without encoder blocks
    rows, columns = patch_grid(model)
    features = keras.Model(model.input, model.get_layer("encoder_norm").output)
    tokens = ops.convert_to_numpy(ops.cast(features(images, training=False), "float32"))
    patches = tokens[:, -rows * columns :]
    flat = patches.reshape(-1, patches.shape[-1])
    colors = (flat - flat.mean(axis=0)) @ _principal_components(flat)[:3].T
    colors = np.pad(colors, ((0, 0), (0, 3 - colors.shape[1])))  # fewer than three patches
    low, high = colors.min(axis=0), colors.max(axis=0)
    scaled = (colors - low) / np.maximum(high - low, 1e-12)
    return scaled.reshape(-1, rows, columns, 3)


def _principal_components(samples: np.ndarray) -> np.ndarray:
    """(n, d) -> (min(n, d), d), unit vectors by descending variance."""
    directions = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)[2]
    # The sign is arbitrary: make the largest entry positive, so that results are reproducible.
    largest = np.abs(directions).argmax(axis=1)
    return directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
