"""A ViT on images of another size, with the same weights.

Letters: B batch, (X, Y) image height and width, C channels, N tokens, D width.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.model.architecture import grid
from vit_keras.model.encoder_block import EncoderBlock
from vit_keras.model.patch_embedding import PatchEmbedding, cut_patches
from vit_keras.model.position_embedding import PositionEmbedding, SinCos2D, resize_positions

Grid = tuple[int, int]


def at_image_size(vit: keras.Model, image_size: tuple[int, int]) -> keras.Model:
    """The layers of `vit` on smaller images: (B, X, Y, C) -> (B, num_classes).

    Every variable is shared: training the one model trains the other. Positions follow the grid of
    patches. A learned embedding is interpolated in each step, as the one of a pretrained file is
    when it is loaded, so that its gradient reaches the embedding of the full grid (as FlexiViT
    does, Beyer et al. 2023, https://arxiv.org/abs/2212.08013). A sine-cosine embedding is that of
    the smaller grid, and RoPE rotates by its rows and columns.

    Args:
        vit: a model of `build_vit`.
        image_size: (X, Y), multiples of the patch size and no larger than those of `vit`.
    """
    if tuple(image_size) == vit.input_shape[1:3]:
        return vit
    patch_size = vit.get_layer("patch_embedding").patch_size
    old, new = grid(vit.input_shape[1:3], patch_size), grid(image_size, patch_size)

    def layer_of(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, EncoderBlock) and layer.attention.rotary:
            return BlockOnGrid(layer, new)
        if isinstance(layer, PositionEmbedding):
            return ResizedPositionEmbedding(layer, old, new)
        if isinstance(layer, SinCos2D):
            return SinCos2D.from_config({**layer.get_config(), "grid": new})
        return layer

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, PatchEmbedding):  # which refuses images of another size
            return layer.projection(cut_patches(args[0], layer.patch_size))
        return layer(*args, **kwargs)

    pixels = keras.Input((*image_size, vit.input_shape[-1]), name="pixels")
    return keras.models.clone_model(vit, pixels, clone_function=layer_of, call_function=call)


class ResizedPositionEmbedding(keras.layers.Layer):
    """The learned position embedding of another layer, interpolated: (B, N, D) -> (B, N, D).

    Args:
        full: of the grid `old`.
        old: (rows, columns) of patches that `full` has an embedding of.
        new: those of the input.
    """

    def __init__(self, full: PositionEmbedding, old: Grid, new: Grid) -> None:
        super().__init__(name="resized_position_embedding", dtype=full.dtype_policy)
        self.full = full
        # `resize_positions` is linear: that of the identity is its matrix, (N, N of `full`).
        identity = np.eye(full.embedding.shape[1], dtype="float32")
        self.interpolation = resize_positions(identity[None], old, new)[0]

    def call(self, tokens):
        embedding = ops.matmul(self.interpolation, self.full.embedding)  # (1, N, D)
        return tokens + ops.cast(embedding, tokens.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class BlockOnGrid(keras.layers.Layer):
    """An encoder block with RoPE on the patches of another grid: (B, N, D) -> (B, N, D).

    Args:
        block: an `EncoderBlock` of the other model, whose variables it shares.
        grid: (rows, columns) of patches of the input.
    """

    def __init__(self, block: Any, grid: Grid) -> None:
        super().__init__(name=block.name, dtype=block.dtype_policy)
        self.block = block
        self.grid = grid

    def call(self, z, kept=None, training=None):
        with self.block.attention.rotary.at(self.grid):
            return self.block(z, kept, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape
