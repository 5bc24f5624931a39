"""Patch embedding: from an image to one token per patch.

Letters: B batch, (X, Y) image height and width, C channels, P patch side, D width.
"""

import keras
from keras import ops

from vit_keras.model.quantization import Composite

serializable = keras.saving.register_keras_serializable("vit_keras")


class Stem(Composite):
    """What embeds an image as one token per patch: (B, X, Y, C) -> (B, XY / P², D)."""

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.width = width

    def compute_output_shape(self, input_shape):
        batch, rows, columns, _ = input_shape
        return (batch, (rows // self.patch_size) * (columns // self.patch_size), self.width)

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "width": self.width}


@serializable
class PatchEmbedding(Stem):
    """Linear projection of non-overlapping patches: (B, X, Y, C) -> (B, XY / P², D).

    The x E of Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929), eq. 1: a convolution of
    stride P, computed as one matrix product. `projection.kernel` is the convolution's kernel
    (P, P, C, D) with its first three axes flattened.

    Args:
        patch_size: P.
        width: D.

    Raises:
        ValueError: X or Y is not a multiple of P.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(patch_size, width, **kwargs)
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape):
        check_image(input_shape, self.patch_size)
        self.image_shape = tuple(input_shape[1:])
        self.projection.build((None, None, self.patch_size**2 * input_shape[-1]))

    def call(self, images):
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                "images of shape (B, {}, {}, {}) are needed, not {}; a single image goes in as "
                "images[None]".format(*self.image_shape, tuple(images.shape))
            )
        return self.projection(cut_patches(images, self.patch_size))


@serializable
class ConvStem(Stem):
    """Convolutional stem in place of the patch projection: (B, X, Y, C) -> (B, XY / P², D).

    log2 P blocks of a 3x3 convolution of stride 2, batch normalisation and ReLU, then a 1x1
    convolution (Xiao et al. 2021, "Early Convolutions Help Transformers See Better",
    https://arxiv.org/abs/2106.14881). The channels double from block to block and end at D, as in
    the paper's ViT_C-1GF and -4GF.

    Args:
        patch_size: P, a power of 2.
        width: D, a multiple of P / 2.

    Raises:
        ValueError: X or Y is not a multiple of P.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(patch_size, width, **kwargs)
        num_blocks = patch_size.bit_length() - 1  # log2 P
        dtype = self.dtype_policy
        self.convolutions = [
            keras.layers.Conv2D(
                width // 2 ** (num_blocks - 1 - i),
                kernel_size=3,
                strides=2,
                use_bias=False,  # batch normalisation would subtract it
                dtype=dtype,
                name=f"conv_{i}",
            )
            for i in range(num_blocks)
        ]
        self.norms = [
            # The paper's momentum and epsilon; Keras' default momentum is 0.99.
            keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"norm_{i}"
            )
            for i in range(num_blocks)
        ]
        # A 1x1 convolution is a dense layer on each pixel.
        self.projection = keras.layers.Dense(width, dtype=dtype, name="projection")

    def build(self, input_shape):
        check_image(input_shape, self.patch_size)
        channels = input_shape[-1]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build((None, None, None, channels))
            channels = convolution.filters
            norm.build((None, None, None, channels))
        self.projection.build((None, None, channels))

    def call(self, images, training=None):
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # One pixel on each side, as in the paper's code; padding="same" pads one side only.
            x = convolution(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]))
            x = ops.relu(norm(x, training=training))
        return self.projection(ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])))


@serializable
class ConvTokenizer(Stem):
    """Convolutional tokenizer in place of the patch projection: (B, X, Y, C) -> (B, XY / P², D).

    log2 P blocks of a 3x3 convolution of stride 1, ReLU, and a 3x3 max-pooling of stride 2 (Hassani
    et al. 2021, "Escaping the Big Data Paradigm with Compact Transformers",
    https://arxiv.org/abs/2104.05704, the tokenizer of CCT), as in the paper's code: without biases,
    He-initialised, and of 64 channels in every block before the last.

    Args:
        patch_size: P, a power of 2.
        width: D.

    Raises:
        ValueError: X or Y is not a multiple of P.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(patch_size, width, **kwargs)
        num_blocks = patch_size.bit_length() - 1  # log2 P
        names = [f"conv_{i}" for i in range(num_blocks - 1)] + ["projection"]
        self.convolutions = [
            keras.layers.Conv2D(
                width if name == "projection" else 64,
                kernel_size=3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=self.dtype_policy,
                name=name,
            )
            for name in names
        ]

    def build(self, input_shape):
        check_image(input_shape, self.patch_size)
        channels = input_shape[-1]
        for convolution in self.convolutions:
            convolution.build((None, None, None, channels))
            channels = convolution.filters

    def call(self, images):
        x = images
        for convolution in self.convolutions:
            # ReLU after the pooling gives the same on a quarter of the values: both are monotonic.
            x = ops.relu(max_pool(convolution(x)))
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))


def max_pool(x):
    """3x3 max-pooling of stride 2 of an image of even sides: (B, X, Y, C) -> (B, X / 2, Y / 2, C).

    As torch pads it, with one pixel on each side; padding="same" of Keras pads the other side. The
    padding of zeros changes nothing before a ReLU.
    """
    return ops.max_pool(ops.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]]), 3, strides=2)


# Values of the setting `stem`.
STEMS = {"patch": PatchEmbedding, "conv": ConvStem, "cct": ConvTokenizer}


def cut_patches(images, patch_size):
    """(B, X, Y, C) -> the pixels of each patch, (B, XY / P², P² C)."""
    rows, columns, channels = images.shape[1:]
    p, grid = patch_size, (rows // patch_size, columns // patch_size)
    patches = ops.reshape(images, (-1, grid[0], p, grid[1], p, channels))
    patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
    return ops.reshape(patches, (-1, grid[0] * grid[1], p * p * channels))


def check_image(input_shape, patch_size):
    """Raise a ValueError unless `patch_size` divides the height and width of (B, X, Y, C)."""
    _, rows, columns, channels = input_shape
    if None in (rows, columns, channels):
        raise ValueError(f"the image size must be known, not {rows}x{columns}x{channels}")
    if rows % patch_size or columns % patch_size:
        raise ValueError(f"patch_size={patch_size} does not divide the image {rows}x{columns}")
