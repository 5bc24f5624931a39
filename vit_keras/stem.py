"""Convolutions in the place of the patch projection (Xiao et al. 2021, "Early Convolutions Help
Transformers See Better", https://arxiv.org/abs/2106.14881).

Letters: B batch, (X, Y) image height and width, C channels, P patch side, D width.
"""

import keras
from keras import ops

from vit_keras.tokens import check_image, tokens_shape

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class ConvStem(keras.layers.Layer):
    """Halve an image log2 P times, then project: (B, X, Y, C) -> (B, XY / P², D).

    Each halving is a 3x3 convolution of stride 2, batch normalisation and a ReLU; the channels
    double from one to the next and end at D, as in the paper's ViT_C-1GF and -4GF. The projection
    is a convolution of 1x1, which is a dense layer on each pixel.

    Args:
        patch_size: P, a power of 2.
        width: D, a multiple of P / 2.

    Raises:
        ValueError: X or Y is not a multiple of P.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.width = width
        halvings = patch_size.bit_length() - 1
        dtype = self.dtype_policy
        self.convolutions = [
            # No bias: the normalisation behind it takes the mean away.
            keras.layers.Conv2D(
                width >> above, 3, strides=2, use_bias=False, dtype=dtype, name=f"conv_{i}"
            )
            for i, above in enumerate(reversed(range(halvings)))
        ]
        self.norms = [
            # The paper's, which follow the statistics ten times as fast as Keras' own.
            keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"norm_{i}"
            )
            for i in range(halvings)
        ]
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
            # One pixel on each side, as the paper's code has it; "same" would put it on one alone.
            x = convolution(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]))
            x = ops.relu(norm(x, training=training))
        return self.projection(ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])))

    def compute_output_shape(self, input_shape):
        return tokens_shape(input_shape, self.patch_size, self.width)

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "width": self.width}
